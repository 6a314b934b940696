package hosts

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/tools"
)

// TestHosts is the life of two users' testbeds over seven hosts, whose links
// are cut and healed.
func TestHosts(t *testing.T) {
	s := newSite(t)
	began := time.Now() // from here on nothing is built
	ann := s.account("ann", uidAnn, s.net.host("ann"))
	bob := s.account("bob", uidBob, s.net.host("bob"))
	ann.newTestbed()
	bob.newTestbed()
	as := s.serve(ann, bob)
	bob.refusesToListen("swf-mcp", "--dir", bob.testbed(), "serve")
	bob.refusesToListen("testbed", "--dir", bob.testbed(), "monitor")
	managers := map[string]*process{"ann": ann.manager(), "bob": bob.manager()}
	for _, p := range managers {
		p.says("taking commands")
	}
	// Bob's host is away for long; Ann's testbed goes through the rest meanwhile.
	var bobs sync.WaitGroup
	bobs.Go(func() {
		as["bob"].startAndStop(t)
		as["bob"].isCutOff(t, bob.host, managers["bob"])
	})
	defer func() {
		bobs.Wait()
		t.Log("it took ", time.Since(began))
	}()
	as["ann"].startAndStop(t)
	as["ann"].isCutInAStart(t, ann.host)
	second := s.account("ann", uidAnn, s.net.host("elsewhere"))
	second.newTestbed()
	second.shareKey(ann)
	second.isRefused()
	as["ann"].meetsAgain(t, ann, second, managers["ann"])
}

func (c *assistant) startAndStop(t *testing.T) {
	start := c.want(t, "start_user_testbed", nil, control.Succeeded, "")
	if len(start.Programs) != 2 {
		t.Errorf("started %+v", start.Programs)
	}
	var status tools.StatusOut
	if err := c.call("get_testbed_status", nil, &status); err != nil || status.State != swf.TestbedRunning || status.Manager.Alive == nil || !*status.Manager.Alive {
		t.Errorf("status %+v, %v", status, err)
	}
	c.want(t, "stop_user_testbed", nil, control.Succeeded, "")
}

// want calls a tool and wants that outcome, which may take a busy machine
// longer than the call waits.
func (c *assistant) want(t *testing.T, tool string, arguments map[string]any, outcome control.Outcome, code swf.Code) tools.StartOut {
	t.Helper()
	var out tools.StartOut
	if err := c.call(tool, arguments, &out); err != nil {
		t.Error(err)
		return out
	}
	if out.Outcome == control.Pending && outcome != control.Pending {
		view := c.outcome(t, out.CommandID)
		out.Outcome, out.Error, out.Programs = view.Outcome, view.Error, view.Programs
	}
	got := swf.Code("")
	if out.Error != nil {
		got = out.Error.Code
	}
	if out.Outcome != outcome || got != code {
		t.Errorf("%s %v: %s %s, want %s %s: %+v", tool, arguments, out.Outcome, got, outcome, code, out)
	}
	return out
}

// outcome asks for the outcome of a command until there is one.
func (c *assistant) outcome(t *testing.T, id string) tools.CommandView {
	t.Helper()
	for deadline := time.Now().Add(patience); ; pause(200 * time.Millisecond) {
		var status tools.StatusOut
		err := c.call("get_testbed_status", map[string]any{"command_id": id}, &status)
		if err == nil && status.Command != nil && status.Command.Outcome != control.Pending && status.Command.Outcome != tools.Unknown {
			return *status.Command
		}
		if time.Now().After(deadline) {
			t.Errorf("no outcome of %s: %+v %v", id, status.Command, err)
			return tools.CommandView{}
		}
	}
}

// pause lets time pass between two looks, or where it is the fault itself.
func pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	<-timer.C
}

// lease is for how long a heartbeat tells of a living manager.
const lease = 30 * time.Second

// isCutOff: the manager cannot be reached. While its last heartbeat is fresh a
// start is pending, and may yet run; then nothing is sent any more. Once it is
// back the pending one has an outcome, and the truth about it is told.
func (c *assistant) isCutOff(t *testing.T, h *host, manager *process) {
	h.cut()
	pending := c.want(t, "start_user_testbed", nil, control.Pending, "")
	if pending.Success || pending.CommandID == "" {
		t.Errorf("pending: %+v", pending)
	}
	for check, deadline := (tools.CheckOut{}), time.Now().Add(patience); check.LastHeartbeat == nil || time.Since(*check.LastHeartbeat) <= lease; pause(500 * time.Millisecond) {
		if err := c.call("check_agent_manager", nil, &check); err != nil || time.Now().After(deadline) {
			t.Errorf("long after the last heartbeat: %+v %v", check, err)
			break
		}
	}
	if refused := c.want(t, "start_user_testbed", map[string]any{"config_name": "slow"}, control.Refused, swf.CodeNoManager); refused.HowToStart == "" {
		t.Errorf("nobody is told how to start a manager: %+v", refused)
	}
	h.heal()
	if !manager.lives() {
		t.Error("the manager ended: ", manager.stderr.String())
	}
	view := c.outcome(t, pending.CommandID)
	state := swf.TestbedStopped // it came too late
	if view.Outcome == control.Succeeded {
		state = swf.TestbedRunning
	}
	var status tools.StatusOut
	if err := c.call("get_testbed_status", nil, &status); err != nil || status.State != state {
		t.Errorf("the start is %s, and the testbed is %s: %v", view.Outcome, status.State, err)
	}
	c.want(t, "stop_user_testbed", nil, control.Succeeded, "")
}

// isCutInAStart: the answer waits for the link, the start does not.
func (c *assistant) isCutInAStart(t *testing.T, h *host) {
	id := control.NewID()
	answer := make(chan tools.StartOut, 1)
	go func() {
		var out tools.StartOut
		if err := c.call("start_user_testbed", map[string]any{"config_name": "slow", "command_id": id}, &out); err != nil {
			t.Error(err)
		}
		answer <- out
	}()
	for status, deadline := (tools.StatusOut{}), time.Now().Add(patience); status.State != swf.TestbedStarting; pause(50 * time.Millisecond) {
		if err := c.call("get_testbed_status", nil, &status); err != nil || time.Now().After(deadline) {
			t.Errorf("it does not start: %+v %v", status, err)
			break
		}
	}
	h.cut()
	pause(2 * time.Second)
	h.heal()
	out := <-answer
	if out.Outcome == control.Pending {
		if view := c.outcome(t, out.CommandID); view.Outcome != control.Succeeded {
			t.Errorf("the start: %+v", view)
		}
	} else if out.Outcome != control.Succeeded {
		t.Errorf("the start: %+v", out)
	}
	c.want(t, "stop_user_testbed", nil, control.Succeeded, "")
}

// shareKey gives the account the control key that the same user has elsewhere.
func (a *account) shareKey(other *account) {
	a.s.t.Helper()
	a.write(a.keyPath(), other.do("", "testbed", "--dir", other.testbed(), "key", "export"))
}

func (a *account) keyPath() string { return a.home + "/.config/swf-testbed/control.key" }

// isRefused: while one manager of a user can be heard, a second one ends with
// the code that no service restarts.
func (a *account) isRefused() {
	p := a.manager()
	if code := p.wait(); code != 78 || !strings.Contains(p.stderr.String(), "on host ann") {
		a.s.t.Errorf("the second manager ended with %d:\n%s", code, p.stderr.String())
	}
}

// meetsAgain: a second manager takes over where the first cannot be heard, and
// each side has programs. When the link is back exactly one stays, and the
// other names what it left running.
func (c *assistant) meetsAgain(t *testing.T, near, far *account, first *process) {
	c.want(t, "start_user_testbed", nil, control.Succeeded, "")
	near.host.cut()
	second := far.manager()
	second.says("taking commands")
	started := c.outcome(t, c.start(t).CommandID)
	near.host.heal()
	if started.Outcome != control.Succeeded || len(started.Programs) == 0 || started.Programs[0].Host != far.host.name {
		t.Errorf("the start on the other host: %+v", started)
	}
	loser, at, winner := first, near, far
	select {
	case <-first.ended:
	case <-second.ended:
		loser, at, winner = second, far, near
	case <-time.After(patience):
		t.Fatal("both managers stay")
	}
	t.Logf("on %s the manager gave way", at.host.name)
	said := loser.stderr.String()
	if code := loser.wait(); code != 78 || !strings.Contains(said, "On host "+at.host.name+" go on running: example-data-agent, workflow-runner") {
		t.Errorf("the loser ended with %d:\n%s", code, said)
	}
	var status tools.StatusOut
	if err := c.call("get_testbed_status", nil, &status); err != nil || status.State != swf.TestbedRunning || len(status.Programs) == 0 || status.Programs[0].Host != winner.host.name {
		t.Errorf("status after the meeting, of %s: %+v %v", winner.host.name, status, err)
	}
	c.want(t, "stop_user_testbed", nil, control.Succeeded, "")
	if out := at.do("", "testbed", "--dir", at.testbed(), "stop-agents"); !strings.Contains(out, "stopped") {
		t.Errorf("stop-agents on %s said %q", at.host.name, out)
	}
	for _, a := range []*account{near, far} {
		if left := a.host.runs("supervisord"); len(left) > 0 {
			t.Errorf("on %s is left: %s", a.host.name, left)
		}
	}
	if !first.lives() && !second.lives() {
		t.Error("no manager stays")
	}
}

// start begins a start without waiting for more than an answer.
func (c *assistant) start(t *testing.T) tools.StartOut {
	t.Helper()
	var out tools.StartOut
	if err := c.call("start_user_testbed", nil, &out); err != nil {
		t.Error(err)
	}
	return out
}
