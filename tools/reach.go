package tools

import (
	"context"
	"fmt"
	"time"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

// reach is what can be said of a user's manager right now.
type reach struct {
	pong      *control.Pong // nil: silent, or the broker is down
	brokerErr *swf.Error    // nothing could be asked
	agent     *swf.Agent    // what the monitor last heard; nil: never, or not asked
	agentErr  error         // the monitor did not tell
	fresh     bool          // a heartbeat within its lease, not EXITED
	age       time.Duration // of the heartbeat
}

// reach pings the manager and asks the monitor at the same time. A pong makes
// the monitor's answer needless and is not held up by it: what the monitor
// tells is only there without one. Monitors must heed their context.
func (s *Set) reach(ctx context.Context, username string) reach {
	ctx, cancel := context.WithTimeout(ctx, s.o.PingWait)
	defer cancel()
	type heard struct {
		agent *swf.Agent
		err   error
	}
	beat := make(chan heard, 1)
	go func() {
		a, err := s.o.Monitor.Agent(ctx, swf.ManagerInstance(username))
		beat <- heard{a, err}
	}()
	var r reach
	pong, err := s.o.Commander.Ping(ctx, username)
	switch {
	case err == nil:
		pong = cleanPong(pong)
		r.pong = &pong
		cancel()
	case !swf.IsCode(err, swf.CodeNoManager):
		r.brokerErr = swf.AsError(err)
	}
	h := <-beat // it ends with ctx
	r.agent, r.agentErr = h.agent, h.err
	r.fresh, r.age = s.fresh(r.agent)
	return r
}

// fresh reports whether a manager's or an agent's heartbeat counts, and its
// age.
func (s *Set) fresh(a *swf.Agent) (bool, time.Duration) {
	if a == nil || a.LastHeartbeat == nil {
		return false, 0
	}
	age := max(0, s.o.Now().Sub(a.LastHeartbeat.Time))
	lease := s.o.Lease
	if s.python(swf.AgentOwner(a.InstanceName)) {
		lease = max(lease, pythonLease)
	}
	return age <= lease && !exited(a), age
}

func exited(a *swf.Agent) bool {
	return a.OperationalState == swf.OpExited || a.Status == swf.StatusExited
}

// refusal is the Error of a command that must not be published, or nil.
func (r *reach) refusal(username string) *swf.Error {
	switch {
	case r.brokerErr != nil:
		return r.brokerErr
	case r.pong != nil && r.pong.Sealed != "":
		return nil // the manager says itself what it does not take
	case r.pong != nil || r.fresh:
		return nil
	}
	return swf.E(swf.CodeNoManager, fmt.Sprintf("no agent manager of %s answered, and %s; nothing was sent", username, r.lastHeard()),
		howToStart(username))
}

// lastHeard says what the monitor knows of the manager.
func (r *reach) lastHeard() string {
	switch {
	case r.agentErr != nil:
		return "the monitor could not be asked"
	case r.agent == nil || r.agent.LastHeartbeat == nil:
		return "the monitor has never heard of it"
	case exited(r.agent):
		return fmt.Sprintf("the monitor heard that it has exited (last heartbeat %s ago)", ago(r.age))
	}
	return fmt.Sprintf("the monitor last heard of it %s ago", ago(r.age))
}

// ago says how long something is past, as precisely as anybody needs.
func ago(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < 2*time.Hour:
		return fmt.Sprintf("%.0f min", d.Minutes())
	}
	return fmt.Sprintf("%.0f h", d.Hours())
}

func cleanPong(p control.Pong) control.Pong {
	p.Instance, p.Host = clean(p.Instance, 128), clean(p.Host, 256)
	p.Version, p.Dir = clean(p.Version, 64), clean(p.Dir, 512)
	p.Namespace, p.Config = clean(p.Namespace, 128), clean(p.Config, 256)
	p.BusyID, p.BusyWith = clean(p.BusyID, 128), control.Verb(clean(string(p.BusyWith), 64))
	p.Supervisor, p.Sealed = clean(p.Supervisor, 64), clean(p.Sealed, maxText)
	return p
}
