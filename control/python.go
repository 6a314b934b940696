package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/swf"
)

// IsPython reports whether the manager behind a control queue is a Python one,
// or is to be treated as such: its queue has a name of its own. A Python
// manager runs every copy of a command that it gets, answers nothing but ping
// and status, and these without an id (contract 3).
func IsPython(queue, username string) bool { return queue == swf.LegacyControlQueue(username) }

// IsPython reports whether the pong is of a Python manager, which tells no
// protocol.
func (p *Pong) IsPython() bool { return p.Protocol < Protocol }

// pythonPong is what a Python manager answers to ping, and pythonStatus to
// status. Both stamps are naive and not read.
type (
	pythonPong struct {
		Status   string `json:"status"`
		Username string `json:"username"`
	}
	pythonStatus struct {
		Username string  `json:"username"`
		Running  bool    `json:"agents_running"`
		Text     *string `json:"supervisord_status"`
	}
)

// pythonReply reads an answer by its shape. It reports false for one that is
// of another shape or about another user.
func pythonReply(verb Verb, username string, body []byte, now time.Time) (Reply, bool) {
	r := Reply{Kind: Final, Outcome: Succeeded, Inferred: true, Pong: &Pong{Username: username, Now: now, State: swf.TestbedUnknown}}
	if verb == Ping {
		var p pythonPong
		ok := decode(body, &p) == nil && p.Status == "alive" && (p.Username == "" || p.Username == username)
		return r, ok
	}
	var s pythonStatus
	if decode(body, &s) != nil || s.Text == nil || (s.Username != "" && s.Username != username) {
		return Reply{}, false
	}
	r.Text = *s.Text
	r.Programs, r.Pong.State, r.Pong.Supervisor = readSupervisorctl(*s.Text, s.Running)
	if r.Pong.State == swf.TestbedUnknown {
		r.Outcome, r.Error = Failed, swf.E(swf.CodeSupervisorFailed, "the status that the Python agent manager sent cannot be understood: "+strconv.QuoteToASCII(clip(r.Text, 200)),
			"look on that user's host: supervisorctl -c agents.supervisord.conf status")
	}
	return r, true
}

// supervisorctlRE matches a line of "supervisorctl status". It is made when the
// first Python manager answers.
var supervisorctlRE = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(\S+)\s+(STOPPED|STARTING|RUNNING|BACKOFF|STOPPING|EXITED|FATAL|UNKNOWN)(?:\s+(.*))?$`)
})

var pidRE = regexp.MustCompile(`^pid (\d+), uptime `)

// readSupervisorctl reads what "supervisorctl status" printed. A text without
// a program is of a supervisord that is not there, if it says so.
func readSupervisorctl(text string, running bool) (programs []swf.Program, state swf.TestbedState, supervisord string) {
	programs = []swf.Program{}
	active, trouble := 0, 0
	for line := range strings.Lines(text) {
		m := supervisorctlRE().FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			continue
		}
		p := swf.Program{Name: m[1], State: swf.ProgramState(m[2])}
		if _, name, grouped := strings.Cut(p.Name, ":"); grouped && name != "" {
			p.Name = name
		}
		switch {
		case p.State.Active():
			active++
			if pid := pidRE.FindStringSubmatch(m[3]); pid != nil {
				p.PID, _ = strconv.Atoi(pid[1])
			} else {
				p.Reason = m[3]
			}
		case p.State != swf.ProgramStopped:
			trouble++
			p.Reason = m[3]
		}
		if p.State != swf.ProgramRunning && p.State.Active() {
			trouble++
		}
		programs = append(programs, p)
	}
	switch {
	case active > 0 && trouble > 0:
		return programs, swf.TestbedPartial, "running"
	case active > 0:
		return programs, swf.TestbedRunning, "running"
	case len(programs) > 0:
		return programs, swf.TestbedStopped, "running"
	case !running && absentRE.MatchString(text):
		return programs, swf.TestbedStopped, "stopped"
	}
	return nil, swf.TestbedUnknown, ""
}

// absentRE matches what supervisorctl prints where no supervisord answers.
var absentRE = regexp.MustCompile(`(?i)no such file|refused`)

// pythonMessage makes the one message by which a Python user's testbed is told
// of a command with an effect. Workflow commands go to the queue that all
// Python runners share (contract 2.5).
func pythonMessage(cmd *Command, queue string, key Key) (amq.Message, error) {
	m := amq.Message{Destination: queue, Once: true, Headers: map[string]string{
		// The receiver knows no expiry, so the broker's is the only one; and not
		// persistent, for a broker that comes back must not deliver it again.
		"expires": fmt.Sprint(cmd.ExpiresAt.UnixMilli()), "persistent": "false"}}
	var err error
	switch cmd.Verb {
	case StartTestbed, StopTestbed:
		m.Body, err = cmd.Encode()
		if err == nil && !key.IsZero() {
			m.Headers[SignatureHeader] = key.Sign(DomainCommand, m.Body)
		}
		return m, err
	case RunWorkflow, StopWorkflow:
		m.Destination = swf.QueueLegacyWorkflow
		m.Body, err = pythonWorkflow(cmd)
		return m, err
	}
	return m, swf.E(swf.CodeUnsupported, fmt.Sprintf("a Python agent manager does not take %s safely: its old process may outlive it", cmd.Verb),
		"restart it on that user's host")
}

// pythonWorkflow writes a workflow command as the Python tools do. Its runner
// understands no absent namespace and has defaults of its own.
func pythonWorkflow(cmd *Command) ([]byte, error) {
	body := map[string]any{"timestamp": cmd.Timestamp, "source": cmd.Source}
	var err error
	switch cmd.Verb {
	case RunWorkflow:
		var p RunParams
		err = unmarshalParams(cmd.Params, &p)
		params := map[string]any{}
		for k, v := range p.Params {
			params[k] = v
		}
		params["namespace"] = p.Namespace
		body["msg_type"], body["namespace"], body["workflow_name"] = "run_workflow", p.Namespace, p.Workflow
		body["config"], body["realtime"], body["duration"], body["params"] = nil, true, p.Duration, params
		if p.Config != "" {
			body["config"] = p.Config
		}
		if p.Realtime != nil {
			body["realtime"] = *p.Realtime
		}
		if p.Workflow == "" || p.Namespace == "" {
			err = errors.New("the message needs a workflow and a namespace")
		}
	default:
		var p StopParams
		err = unmarshalParams(cmd.Params, &p)
		body["msg_type"], body["namespace"], body["execution_id"] = "stop_workflow", p.Namespace, p.ExecutionID
		if p.ExecutionID == "" || p.Namespace == "" { // without an id it would stop whatever runs
			err = errors.New("the message needs an execution and a namespace")
		}
	}
	if err != nil {
		return nil, swf.E(swf.CodeInvalidArgument, "the workflow command cannot be written for a Python runner: "+err.Error(), "name the namespace")
	}
	b, err := json.Marshal(body)
	return swf.ASCIIJSON(b), err
}

func unmarshalParams(raw json.RawMessage, into any) error {
	if len(raw) == 0 {
		return nil
	}
	return json.Unmarshal(raw, into)
}
