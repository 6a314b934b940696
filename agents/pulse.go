package agents

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/epic-swf/testbed/swf"
)

// pulse gets the agent a name and then beats until ctx ends. All heartbeats
// but the last come from here, one at a time, so none is ever queued and none
// overtakes another.
func (b *Base) pulse(ctx context.Context) {
	if !b.allocate(ctx) {
		return
	}
	registered := false
	healthy := true
	ticker := time.NewTicker(b.o.Beat)
	defer ticker.Stop()
	for {
		err := b.beat(ctx)
		if back := !b.heard.Swap(err == nil) && err == nil; back {
			b.outbox.Hurry()
			b.logs.Hurry()
		}
		if err == nil && !registered {
			err = b.register(ctx)
			registered = err == nil
		}
		if ctx.Err() != nil {
			return
		}
		if ok := err == nil; ok != healthy {
			healthy = ok
			if ok {
				b.log.Info("the monitor answers again")
			} else {
				b.log.Warn("the monitor did not take a heartbeat; work goes on", "err", err)
			}
		}
		select {
		case <-ticker.C:
		case <-b.kick:
		case <-ctx.Done():
			return
		}
	}
}

// allocate takes the agent's id from the monitor, for as long as it takes.
func (b *Base) allocate(ctx context.Context) bool {
	for n := 0; ; n++ {
		id, err := within(ctx, b.o.Monitor.NextAgentID)
		if err == nil {
			b.mu.Lock()
			b.name, b.named = agentName(b.kind, b.o.Username, strconv.FormatInt(id, 10)), true
			b.mu.Unlock()
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		if n == 0 {
			b.log.Warn("the monitor gave no agent id; work goes on without one", "err", err)
		}
		if !pause(ctx, backoff(n)) {
			return false
		}
	}
}

// register makes the namespace and the subscriber known. Upstream agents do it
// before they listen; here a dead monitor must not keep an agent from working.
func (b *Base) register(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if b.o.Namespace != "" {
		if err := b.o.Monitor.EnsureNamespace(ctx, b.o.Namespace, b.o.Username, ""); err != nil {
			return err
		}
	}
	return b.o.Monitor.RegisterSubscriber(ctx, b.Name(), b.kind+" agent")
}

func (b *Base) beat(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return b.o.Monitor.Heartbeat(ctx, b.heartbeat())
}

// lastBeat tells EXITED, if the monitor ever knew the agent.
func (b *Base) lastBeat() {
	b.mu.Lock()
	known := b.seq > 0
	b.mu.Unlock()
	if !known {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), exitedTime)
	defer cancel()
	if err := b.o.Monitor.Heartbeat(ctx, b.heartbeat()); err != nil {
		b.log.Warn("the monitor did not hear that this agent exited", "err", err)
	}
}

// heartbeat describes the present moment. Its seq lets the monitor tell a late
// heartbeat from a new one.
func (b *Base) heartbeat() swf.Heartbeat {
	untold, dropped := b.outbox.waiting()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seq++
	up := b.o.Bus.Up()
	status, link := swf.StatusOK, "connected"
	if !up {
		status, link = swf.StatusWarning, "disconnected"
	}
	description := fmt.Sprintf("%s agent. MQ: %s", b.kind, link)
	for _, k := range slices.Sorted(maps.Keys(b.details)) {
		description += fmt.Sprintf(". %s: %v", k, b.details[k])
	}
	if b.op == swf.OpExited {
		status, description = swf.StatusExited, fmt.Sprintf("%s agent. Agent shutdown", b.kind)
	}
	metadata := maps.Clone(b.details)
	if metadata == nil {
		metadata = make(map[string]any, 4)
	}
	metadata["instance"], metadata["seq"] = b.instance, b.seq
	if untold > 0 {
		metadata["untold"], metadata["untold_dropped"] = untold, dropped
	}
	if b.o.StartID != "" {
		metadata["start_id"] = b.o.StartID
	}
	if b.o.Program != "" {
		metadata["program"] = b.o.Program
	}
	h := swf.Heartbeat{
		InstanceName: b.name, AgentType: b.kind, Status: status, Description: description,
		OperationalState: b.op, PID: os.Getpid(), MQConnected: &up, Metadata: metadata,
	}
	if b.o.Namespace != "" {
		ns := b.o.Namespace
		h.Namespace = &ns
	}
	h.Hostname, _ = os.Hostname()
	h.Hostname = strings.ToValidUTF8(h.Hostname, "?")
	return h
}

// within gives one call to the monitor its time.
func within[T any](ctx context.Context, call func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return call(ctx)
}

// backoff is 0.5 s doubled n times, at most 15 s, less up to a quarter so that
// the agents of one testbed do not come in step.
func backoff(n int) time.Duration {
	d := 500 * time.Millisecond << min(n, 5)
	d = min(d, 15*time.Second)
	return d - rand.N(d/4)
}

// pause waits and reports whether ctx still lives.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
