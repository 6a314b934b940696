package agents

import (
	"context"
	"maps"
	"strconv"
	"time"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/swf"
)

// take takes a result off the queue that all users' agents share. A stranger's
// is passed on by a topic that every agent hears.
func (f *Fast) take(ctx context.Context, d *amq.Delivery) {
	ack := func() {
		if err := d.Ack(); err != nil {
			f.base.Log().Warn("could not acknowledge a result; the broker sends it again", "err", err)
		}
	}
	m, err := swf.DecodeMessage(d.Body)
	switch {
	case err != nil:
		f.base.Log().Warn("dropped a result that is no JSON object", "err", err)
		ack()
	case !m.ForNamespace(f.base.o.Namespace):
		if err := f.base.o.Bus.Publish(ctx, amq.Message{Destination: swf.TopicSliceResults, Body: d.Body}); err == nil {
			ack()
		}
	default:
		f.result(m, ack)
	}
}

// sliceResult is one answer of a worker.
type sliceResult struct {
	runAt
	message swf.Message
	content map[string]any
	sample  string
	name    string // of the slice
	place   int    // within the sample
	status  string
}

// readResult reads a slice_result.
func readResult(m swf.Message) (r sliceResult, ok bool) {
	content, _ := m["content"].(map[string]any)
	outer, _ := content["result"].(map[string]any)
	inner, _ := outer["result"].(map[string]any)
	name, _ := inner["tf_filename"].(string)
	sample, place, named := ofSlice(name)
	number, err := strconv.ParseInt(runID(m), 10, 64)
	if m.Type() != swf.MsgSliceResult || !named || err != nil || number <= 0 {
		return r, false
	}
	r = sliceResult{runAt: runAt{run: runID(m), number: number, execution: m.ExecutionID()}, message: m, content: content,
		sample: sample, name: name, place: place, status: swf.SliceFailed}
	if done, _ := inner["processed"].(bool); done {
		r.status = swf.SliceCompleted
	}
	return r, true
}

// result books one answer. One that can be acknowledged is when the monitor has
// it: until then the broker keeps it for the agent that comes after a crash. What
// nobody keeps waits in the outbox.
func (f *Fast) result(m swf.Message, ack func()) {
	r, ok := readResult(m)
	switch {
	case !ok:
		f.base.Log().Warn("ignored what is no slice_result of a run", "msg_type", m.Type(), "run_id", runID(m))
		if ack != nil {
			ack()
		}
	case ack == nil:
		f.base.Outbox().Add(eventResult, "result of "+r.name, m)
	default:
		f.base.Outbox().AddThen(eventResult, "result of "+r.name, m, ack)
	}
}

// booking is a result that is new.
type booking struct {
	sliceResult
	l *ledger
	e *entry
}

// book tells the monitor of answers; copies of what it knows are dropped.
func (f *Fast) book(ctx context.Context, answers []swf.Message) error {
	var fresh []booking
	var patches []monitor.SlicePatch
	at := make(map[*entry]int)
	for _, m := range answers {
		r, ok := readResult(m)
		if !ok {
			continue
		}
		l := f.ledger(r.runAt)
		e, err := f.find(ctx, l, r)
		if err != nil {
			return err
		}
		if e == nil || e.status == r.status {
			continue
		}
		b := booking{r, l, e}
		if i, twice := at[e]; !twice {
			at[e], fresh, patches = len(fresh), append(fresh, b), append(patches, b.patch())
		} else if r.status == swf.SliceCompleted {
			fresh[i], patches[i] = b, b.patch()
		}
	}
	if err := f.base.o.Monitor.PatchTFSlices(ctx, patches); err != nil {
		return err
	}
	for _, b := range fresh {
		b.l.settle(b.e, b.status)
		f.count(b.l)
		f.event(b.l.runAt, b.message, "running", "physics", map[string]any{"tf_filename": b.name, "slice_id": b.place, "status": b.status})
	}
	return nil
}

// find returns the slice of a result, nil when it is completed or unknown.
func (f *Fast) find(ctx context.Context, l *ledger, r sliceResult) (*entry, error) {
	if l.slices[r.name] == nil && !l.done(r.sample, r.place) {
		if err := f.load(ctx, l, r.sample); err != nil {
			return nil, err
		}
		if l.slices[r.name] == nil && !l.done(r.sample, r.place) {
			f.base.Log().Warn("a result of a slice that nobody knows", "tf_filename", r.name, "run_id", r.run)
		}
	}
	return l.slices[r.name], nil
}

// patch is what the monitor is to have of a slice after its result.
func (b booking) patch() monitor.SlicePatch {
	result := maps.Clone(b.content)
	delete(result, "result")
	metadata := make(map[string]any, len(b.e.metadata)+1)
	maps.Copy(metadata, b.e.metadata)
	metadata["result"] = result
	fields := map[string]any{"status": b.status, "completed_at": swf.At(time.Now()), "processed_at": b.content["processed_at"], "metadata": metadata}
	if host, ok := b.content["hostname"].(string); ok && host != "" {
		fields["assigned_worker"] = host
	}
	return monitor.SlicePatch{ID: b.e.id, Fields: fields}
}
