package monitor

import (
	"bytes"
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/epic-swf/testbed/swf"
)

// What is posted may have arrived although the answer was lost. Most records
// have names of their own and the monitor refuses a second one; these have
// none, so that whoever repeats looks first. The Django monitor ignores some of
// the filters: what comes back is filtered again.

// HasLog reports whether the monitor has a log record with that time, process
// and message.
func (c *Client) HasLog(ctx context.Context, e swf.LogEntry) (bool, error) {
	at := e.Timestamp.Truncate(time.Microsecond)
	q := filter("instance_name", e.InstanceName, "since", stampOr(at), "before", stampOr(at.Add(time.Microsecond)))
	found, err := list[swf.LogEntry](ctx, c, "logs/", q)
	for _, have := range found {
		if have.Timestamp.Equal(at) && have.Process == e.Process && have.Message == e.Message {
			return true, err
		}
	}
	return false, err
}

// HasStateEvent reports whether the monitor has an event of that run and type:
// any, or else one with just that time and data.
func (c *Client) HasStateEvent(ctx context.Context, e swf.StateEvent, any bool) (bool, error) {
	q := filter("run_number", strconv.FormatInt(e.RunNumber, 10), "event_type", e.EventType)
	found, err := list[swf.StateEvent](ctx, c, "system-state-events/", q)
	for _, have := range found {
		if have.RunNumber == e.RunNumber && have.EventType == e.EventType &&
			(any || have.Timestamp.Equal(e.Timestamp.Truncate(time.Microsecond)) && sameJSON(have.EventData, e.EventData)) {
			return true, err
		}
	}
	return false, err
}

// sameJSON compares two objects whatever their order and spaces.
func sameJSON(a, b json.RawMessage) bool {
	var x, y any
	if json.Unmarshal(objectOr(a), &x) != nil || json.Unmarshal(objectOr(b), &y) != nil {
		return false
	}
	p, err1 := json.Marshal(x)
	q, err2 := json.Marshal(y)
	return err1 == nil && err2 == nil && bytes.Equal(p, q)
}
