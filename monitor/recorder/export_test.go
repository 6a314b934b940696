package recorder

import (
	"context"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/swf"
)

// Hear gives the recorder a message as the bus would.
func (r *Recorder) Hear(body []byte) {
	r.hear(amq.Message{Destination: swf.TopicWorkflow, Body: body})
}

// Flush writes what waits.
func (r *Recorder) Flush(ctx context.Context) {
	for batch := r.waiting(nil, 0); len(batch) > 0; batch = r.waiting(nil, 0) {
		r.write(ctx, batch)
	}
}
