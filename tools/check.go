package tools

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/epic-swf/testbed/swf"
)

const checkDoc = `Tells whether a user's agent manager is alive (it is asked directly and answers within 2 s) and what the monitor last heard of it; if not, how to start it. Without a manager no testbed can be started or stopped remotely. Changes nothing.`

// CheckIn is what check_agent_manager takes.
type CheckIn struct {
	Username string `json:"username" kind:"username" doc:"Whose agent manager; default: your own."`
}

// CheckOut is what check_agent_manager answers: the keys of contract 6.1, and
// manager, monitor and error. What is not known is null.
type CheckOut struct {
	Alive              *bool        `json:"alive" doc:"null: not known, see error"`
	Username           string       `json:"username"`
	InstanceName       string       `json:"instance_name"`
	Namespace          *string      `json:"namespace"`
	LastHeartbeat      *time.Time   `json:"last_heartbeat"`
	OperationalState   *string      `json:"operational_state"`
	Status             *string      `json:"status"`
	Description        *string      `json:"description"`
	ControlQueue       string       `json:"control_queue"`
	AgentsRunning      *bool        `json:"agents_running"`
	SupervisordHealthy *bool        `json:"supervisord_healthy"`
	Manager            Manager      `json:"manager" schema:"brief"`
	Monitor            MonitorState `json:"monitor" schema:"brief"`
	HowToStart         string       `json:"how_to_start,omitempty"`
	Error              *swf.Error   `json:"error,omitempty"`
	Note               string       `json:"note,omitempty"`
}

// CheckAgentManager asks the manager and the monitor.
func (s *Set) CheckAgentManager(ctx context.Context, p swf.Principal, in CheckIn, _ func(string)) CheckOut {
	user, err := target(p, in.Username)
	out := CheckOut{Username: user, InstanceName: swf.ManagerInstance(user), ControlQueue: s.o.Queue(user)}
	if err != nil {
		out.refuse(err)
		return out
	}
	l := s.look(ctx, p, user)
	out.Alive, out.Manager, out.Monitor = l.alive(), l.manager(), l.monitor()
	out.Namespace = text(l.namespace(), 128)
	out.SupervisordHealthy = l.supervisordHealthy()
	if l.programs() != nil {
		running := len(active(l.programs())) > 0
		out.AgentsRunning = &running
	}
	if l.agent != nil {
		out.OperationalState, out.Status = text(l.agent.OperationalState, 64), text(l.agent.Status, 64)
		out.Description = text(l.agent.Description, 512)
		if l.agent.LastHeartbeat != nil {
			out.LastHeartbeat = &l.agent.LastHeartbeat.Time
		}
	}
	out.explain(&l)
	return out
}

func (o *CheckOut) explain(l *look) {
	switch {
	case l.pong != nil && l.python:
		o.Note = pythonNote
	case l.pong != nil:
	case l.brokerErr != nil:
		o.Error = l.brokerErr
		o.Note = "The manager could not be asked; " + l.lastHeard() + "."
	case l.fresh:
		o.Note = fmt.Sprintf("It did not answer within 2 s, but its last heartbeat is only %s old: it may be restarting. Check again.", ago(l.age))
	default:
		o.Error = swf.E(swf.CodeNoManager, fmt.Sprintf("no agent manager of %s answered, and %s", o.Username, l.lastHeard()), howToStart(o.Username))
		o.HowToStart = howToStart(o.Username)
	}
}

func (o *CheckOut) refuse(err error) { o.Error = swf.AsError(err) }

// Failed reports whether the question was refused. That there is no manager
// is an answer.
func (o *CheckOut) Failed() bool { return failedLook(o.Error) }

// failedLook reports whether a look gave nothing because it was not allowed or
// not understood.
func failedLook(e *swf.Error) bool {
	return e != nil && e.Code != swf.CodeNoManager && e.Code != swf.CodeBrokerUnavailable
}

func (o *CheckOut) facts() facts {
	return facts{target: o.Username, outcome: tri(o.Alive), err: o.Error}
}

// Text says the same for people.
func (o *CheckOut) Text() string {
	var b strings.Builder
	if o.Failed() {
		b.WriteString("check_agent_manager: refused\n")
		writeError(&b, o.Error)
		return b.String()
	}
	fmt.Fprintf(&b, "agent manager of %s: %s", o.Username, map[string]string{"yes": "alive", "no": "not alive", "unknown": "not known"}[tri(o.Alive)])
	if o.Manager.Host != "" {
		fmt.Fprintf(&b, " on %s, pid %d", o.Manager.Host, o.Manager.PID)
	}
	b.WriteByte('\n')
	writeError(&b, o.Error)
	line(&b, "note", o.Note)
	if o.Manager.BusyWith != "" {
		fmt.Fprintf(&b, "busy with %s %s\n", o.Manager.BusyWith, o.Manager.BusyID)
	}
	line(&b, "agents running", tri(o.AgentsRunning))
	line(&b, "namespace", deref(o.Namespace))
	if !o.Monitor.Available && o.Monitor.Error != nil {
		line(&b, "monitor", o.Monitor.Error.Message)
	}
	return b.String()
}

func tri(b *bool) string {
	switch {
	case b == nil:
		return "unknown"
	case *b:
		return "yes"
	}
	return "no"
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
