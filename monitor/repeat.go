package monitor

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
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

// HasStateEvent reports whether the monitor has an event of that run and type.
func (c *Client) HasStateEvent(ctx context.Context, e swf.StateEvent) (bool, error) {
	have, err := c.alike(ctx, e)
	return len(have) > 0, err
}

// NewStateEvents returns those of the events that the monitor does not have: one
// of their run, type, time and data. Where it does not say, it has none.
func (c *Client) NewStateEvents(ctx context.Context, all []swf.StateEvent) []swf.StateEvent {
	type kind struct {
		run  int64
		name string
	}
	looked, fresh := make(map[kind][]swf.StateEvent), []swf.StateEvent(nil)
	for _, e := range all {
		k := kind{e.RunNumber, e.EventType}
		if _, ok := looked[k]; !ok {
			looked[k], _ = c.alike(ctx, e)
		}
		if !slices.ContainsFunc(looked[k], func(have swf.StateEvent) bool {
			return have.Timestamp.Equal(e.Timestamp.Truncate(time.Microsecond)) && sameJSON(have.EventData, e.EventData)
		}) {
			fresh = append(fresh, e)
		}
	}
	return fresh
}

// alike are the events of the same run and type, as many as the monitor gives.
func (c *Client) alike(ctx context.Context, e swf.StateEvent) ([]swf.StateEvent, error) {
	q := filter("run_number", strconv.FormatInt(e.RunNumber, 10), "event_type", e.EventType)
	found, err := list[swf.StateEvent](ctx, c, "system-state-events/", q)
	return slices.DeleteFunc(found, func(have swf.StateEvent) bool {
		return have.RunNumber != e.RunNumber || have.EventType != e.EventType
	}), err
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
