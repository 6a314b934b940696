package tools

import (
	"context"
	"sync"
	"time"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/swf"
)

// look is everything that can be found out about a testbed at once.
type look struct {
	reach
	python     bool           // the manager is a Python one
	status     *control.Reply // nil: the manager did not say
	agents     []swf.Agent    // of lookAround; nil with agentErr: the monitor did not say
	running    []swf.Execution
	runningErr error
	at         time.Time
}

// pingAfter is how long a status may take before the manager is asked for a sign
// of life beside it: a pong needs no supervisord.
const pingAfter = 100 * time.Millisecond

// lookAround is look, and then asks for the agents among which the testbed's
// are: those of its namespace. A Python manager need not say which that is, so
// there it is all that the monitor lists.
func (s *Set) lookAround(ctx context.Context, p swf.Principal, user string) look {
	l := s.look(ctx, p, user)
	ctx, cancel := context.WithTimeout(ctx, s.o.PingWait)
	defer cancel()
	switch namespace := l.namespace(); {
	case l.agentErr != nil:
		return l
	case l.python:
		l.agents, l.agentErr = s.o.Monitor.Agents(ctx)
	case namespace != "":
		l.agents, l.agentErr = s.o.Monitor.AgentsIn(ctx, namespace)
	}
	if l.agentErr == nil && l.agents == nil {
		l.agents = []swf.Agent{}
	}
	return l
}

// look asks manager and monitor at the same time and takes as long as the
// slowest of them, PingWait at most. The monitor is asked for the one manager:
// it lists no more than those that beat last, which among thousands need not
// be this one. A status brings the pong with it, so most
// looks are one command, not two.
func (s *Set) look(ctx context.Context, p swf.Principal, user string) look {
	ctx, cancel := context.WithTimeout(ctx, s.o.PingWait)
	defer cancel()
	l := look{python: s.python(user)}
	var wg sync.WaitGroup
	wg.Go(func() { l.agent, l.agentErr = s.o.Monitor.Agent(ctx, swf.ManagerInstance(user)) })
	wg.Go(func() {
		l.running, l.runningErr = s.o.Monitor.Executions(ctx, monitor.Filter{Status: swf.ExecutionRunning, ExecutedBy: user})
	})
	l.ask(ctx, s, p, user)
	wg.Wait()
	l.at = s.o.Now()
	if l.status != nil && l.status.Pong != nil {
		pong := cleanPong(*l.status.Pong) // it tells more than a ping's
		l.pong, l.brokerErr = &pong, nil
	}
	l.fresh, l.age = s.fresh(l.agent)
	return l
}

// ask asks the manager for its status, and for a sign of life beside it when
// that takes its time or brings none.
func (l *look) ask(ctx context.Context, s *Set, p swf.Principal, user string) {
	ping := sync.OnceFunc(func() {
		pong, err := s.o.Commander.Ping(ctx, user)
		switch {
		case err == nil:
			pong = cleanPong(pong)
			l.pong = &pong
		case !swf.IsCode(err, swf.CodeNoManager):
			l.brokerErr = swf.AsError(err)
		}
	})
	patience := pingAfter
	if l.python { // its status is slow, and tells no pong
		patience = 0
	}
	late := time.AfterFunc(patience, ping)
	r, err := s.o.Commander.Ask(ctx, control.Command{Verb: control.Status, Username: user, IssuedBy: p.Name}, nil)
	if err == nil && r.Outcome != control.Pending {
		r = cleanReply(r)
		l.status = &r
	}
	if asked := !late.Stop(); asked || l.status == nil || l.status.Pong == nil {
		ping()
	}
}

// programs is nil unless the manager told what it saw.
func (l *look) programs() []swf.Program {
	if l.status == nil || l.status.Outcome != control.Succeeded {
		return nil
	}
	if l.status.Programs == nil {
		return []swf.Program{}
	}
	return l.status.Programs
}

func (l *look) state() swf.TestbedState {
	if l.status == nil || l.pong == nil {
		return swf.TestbedUnknown
	}
	switch l.pong.State {
	case swf.TestbedStarting, swf.TestbedStopping: // what the manager does, whatever supervisord says
		return l.pong.State
	case swf.TestbedStopped, swf.TestbedRunning, swf.TestbedPartial:
		if l.programs() != nil {
			return l.pong.State
		}
	}
	return swf.TestbedUnknown
}

func (l *look) namespace() string {
	switch {
	case l.status != nil && l.status.Namespace != "":
		return l.status.Namespace
	case l.pong != nil && l.pong.Namespace != "":
		return l.pong.Namespace
	case l.agent != nil && l.agent.Namespace != nil:
		return clean(*l.agent.Namespace, 128)
	}
	return ""
}

func (l *look) config() string {
	switch {
	case l.status != nil && l.status.Config != "":
		return l.status.Config
	case l.pong != nil:
		return l.pong.Config
	}
	return ""
}

// alive is nil when the broker is down: nobody could be asked.
func (l *look) alive() *bool {
	if l.pong == nil && l.brokerErr != nil {
		return nil
	}
	alive := l.pong != nil
	return &alive
}

// Manager is what is known of an agent manager.
type Manager struct {
	Alive     *bool        `json:"alive" doc:"it answered just now; null: nobody could be asked"`
	AsOf      *time.Time   `json:"as_of" doc:"when it was last heard"`
	Host      string       `json:"host,omitempty"`
	PID       int          `json:"pid,omitempty"`
	Version   string       `json:"version,omitempty"`
	BusyWith  control.Verb `json:"busy_with,omitempty"`
	BusyID    string       `json:"busy_id,omitempty"`
	BusySince *time.Time   `json:"busy_since,omitempty"`
	Sealed    string       `json:"sealed,omitempty" doc:"why it takes no commands"`
}

func (l *look) manager() Manager {
	m := Manager{Alive: l.alive()}
	switch {
	case l.pong != nil:
		m.AsOf = &l.at
		m.Host, m.PID, m.Version = l.pong.Host, l.pong.PID, l.pong.Version
		m.BusyWith, m.BusyID, m.BusySince = l.pong.BusyWith, l.pong.BusyID, l.pong.BusySince
		m.Sealed = l.pong.Sealed
	case l.agent != nil && l.agent.LastHeartbeat != nil:
		m.AsOf = &l.agent.LastHeartbeat.Time
	}
	return m
}

// MonitorState says whether the monitor's part of an answer is there.
type MonitorState struct {
	Available bool       `json:"available"`
	Error     *swf.Error `json:"error,omitempty"`
}

func (l *look) monitor() MonitorState {
	for _, err := range []error{l.agentErr, l.runningErr} {
		if err != nil {
			return MonitorState{Error: monitorError(err)}
		}
	}
	return MonitorState{Available: true}
}

// monitorError shows that the monitor failed, not how it says so.
func monitorError(err error) *swf.Error {
	if e := swf.AsError(err); e.Code == swf.CodeMonitorUnavailable {
		return cleanError(e)
	}
	return swf.E(swf.CodeMonitorUnavailable, "the monitor did not answer as it should", "look at the monitor's log, and check SWF_MONITOR_URL and SWF_API_TOKEN").Because(err)
}

// supervisordHealthy is nil unless the manager told.
func (l *look) supervisordHealthy() *bool {
	if l.status == nil || l.pong == nil || l.pong.Supervisor == "" {
		return nil
	}
	healthy := l.pong.Supervisor != "hung"
	return &healthy
}

// text returns nil for "".
func text(s string, limit int) *string {
	s = clean(s, limit)
	if s == "" {
		return nil
	}
	return &s
}
