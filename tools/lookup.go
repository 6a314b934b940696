package tools

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"time"

	"github.com/google/uuid"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

// keyedRE matches the ids that control.KeyedID makes.
var keyedRE = regexp.MustCompile(`^k-[0-9a-f]{32}$`)

// lookup asks the user's manager what became of a command, given its id or
// the key under which the principal sent it. It returns nil for "".
func (s *Set) lookup(ctx context.Context, p swf.Principal, user, given string) *CommandView {
	if given == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.o.PingWait)
	defer cancel()
	if keyedRE.MatchString(given) {
		return s.outcomeOf(ctx, p, user, given)
	}
	keyed := control.KeyedID(p.Name, user, given)
	if _, ok := issuedAt(given); !ok {
		return s.outcomeOf(ctx, p, user, keyed)
	}
	// It looks like one of our own ids, but callers use such for keys too. The
	// key is tried first: asking for an id that was never sent makes the
	// manager write it down as expired.
	v := s.outcomeOf(ctx, p, user, keyed)
	switch {
	case !v.heard():
		w := &CommandView{CommandID: given}
		s.silent(w, v.Error)
		return w
	case v.Outcome == Unknown:
		return s.outcomeOf(ctx, p, user, given)
	}
	return v
}

// withExecution adds how the run goes that the command began, if the monitor
// can tell.
func (s *Set) withExecution(ctx context.Context, v *CommandView) *CommandView {
	if v == nil || v.ExecutionID == "" {
		return v
	}
	ctx, cancel := context.WithTimeout(ctx, s.o.PingWait)
	defer cancel()
	e, err := s.o.Monitor.Execution(ctx, v.ExecutionID)
	if err != nil || e == nil {
		return v
	}
	var metrics struct {
		Reason string `json:"reason"`
	}
	_ = json.Unmarshal(e.PerformanceMetrics, &metrics) // free form: no reason is none
	v.Execution = &ExecutionView{Status: clean(e.Status, 64), StartTime: e.StartTime.Time, Reason: clean(metrics.Reason, 256)}
	if e.EndTime != nil {
		v.Execution.EndTime = &e.EndTime.Time
	}
	if e.Status == swf.ExecutionRunning {
		v.NextPollMS = nextPollMS
	}
	return v
}

// heard reports whether a manager stands behind the view.
func (v *CommandView) heard() bool {
	return v.Error == nil || (v.Error.Code != swf.CodeNoManager && v.Error.Code != swf.CodeBrokerUnavailable)
}

// outcomeOf asks for one id on the wire.
func (s *Set) outcomeOf(ctx context.Context, p swf.Principal, user, id string) *CommandView {
	if s.python(user) {
		return s.guessed(ctx, p, user, id)
	}
	v := &CommandView{CommandID: id}
	r, err := s.o.Commander.Ask(ctx, control.Command{Verb: control.Status, Username: user, IssuedBy: p.Name, Of: &control.Of{CommandID: id}}, nil)
	switch {
	case err != nil:
		s.silent(v, cleanError(swf.AsError(err)))
	case r.Of == nil && r.Outcome == control.Pending:
		s.silent(v, swf.E(swf.CodeNoManager, fmt.Sprintf("the agent manager of %s did not answer", user), "ask again; if it is down, start it. "+howToStart(user)))
	case r.Of == nil:
		v.Outcome, v.Error = Unknown, cleanError(r.Error)
	default:
		v.fill(cleanReply(*r.Of))
		if v.Outcome != control.Pending && v.Outcome != Unknown {
			s.pending.forget(id)
		}
	}
	return v
}

func (v *CommandView) fill(of control.Reply) {
	v.Outcome, v.Message, v.Error = of.Outcome, of.Message, of.Error
	v.Programs, v.ExecutionID, v.FinishedAt = of.Programs, of.ExecutionID, of.FinishedAt
	switch v.Outcome {
	case control.Succeeded, control.Failed, control.Refused, control.Expired:
	case control.Pending:
		if v.Error != nil && v.Error.Code == swf.CodeUnknownID {
			v.Outcome = Unknown
			return
		}
		v.NextPollMS = nextPollMS
	default:
		v.Outcome = Unknown
	}
}

// silent says what can be said without the manager: until it expires the
// command may still begin; afterwards nobody here knows whether it did.
func (s *Set) silent(v *CommandView, err *swf.Error) {
	v.Outcome, v.Error = Unknown, err
	if s.o.Now().Before(s.pending.expiry(v.CommandID)) {
		v.Outcome, v.NextPollMS = control.Pending, nextPollMS
	}
}

// issuedAt returns when one of our own ids was made.
func issuedAt(id string) (time.Time, bool) {
	u, err := uuid.Parse(id)
	if err != nil || u.Version() != 7 || len(id) != 36 {
		return time.Time{}, false
	}
	return time.Unix(u.Time().UnixTime()), true
}
