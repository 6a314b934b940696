package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/swf"
)

// TestBrokerGoesAndComesBack: nobody is restarted, nobody has to be told.
func TestBrokerGoesAndComesBack(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.start("testbed")
	id := b.call("start_workflow", endless).want("outcome", "succeeded").get("execution_id")
	b.execution(id, swf.ExecutionRunning)

	b.broker.stop()
	b.call("get_testbed_status", `{}`).want("state", "unknown", "programs", "null").has("error.code", "broker_unavailable")
	b.call("start_user_testbed", `{}`).want("outcome", "refused", "error.code", "broker_unavailable")
	b.startBroker()

	eventually(t, "the manager answers again", func() error {
		if a := b.call("check_agent_manager", `{}`); a.get("alive") != "true" {
			return errors.New(shown(a.doc))
		}
		return nil
	})
	b.call("get_testbed_status", `{}`).want("state", "running", "running_executions.0", id)
	eventually(t, "the runner is back, by a back-off of its own", func() error {
		log := b.log("workflow-runner")
		if n := strings.Count(log, "msg=\"broker connected\""); n < 4 { // two connections, twice
			return errors.New(log)
		}
		return nil
	})
	b.call("stop_workflow", fmt.Sprintf(`{"execution_id":%q}`, id)).want("outcome", "succeeded", "execution_id", id)
	b.execution(id, swf.ExecutionTerminated)
	b.stop()
	b.nothingRuns()
}

// TestControlGoesOnWithoutMonitor: what is not known is said, and nothing else
// fails.
func TestControlGoesOnWithoutMonitor(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.monitor.stop()
	b.call("check_agent_manager", `{}`).want("alive", "true", "monitor.available", "false")
	b.start("plain").want("programs.0.state", "RUNNING")
	b.call("get_testbed_status", `{}`).want("state", "running", "agents", "null", "monitor.available", "false", "manager.alive", "true")
	b.stop()
	b.nothingRuns()
}

// TestRunGoesOnWithoutMonitor: what it missed it is told when it is back.
func TestRunGoesOnWithoutMonitor(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.write("workflows/brief.toml", brief)
	b.start("testbed")
	const files = 20
	id := b.call("start_workflow", fmt.Sprintf(`{"config":"brief","realtime":true,"stf_count":%d}`, files)).want("outcome", "succeeded").get("execution_id")
	b.execution(id, swf.ExecutionRunning)

	b.monitor.stop()
	eventually(t, "the run completes", func() error {
		if !strings.Contains(b.log("workflow-runner"), "Workflow completed: "+id) {
			return errors.New("not yet")
		}
		return nil
	})
	b.startMonitor()

	if x := b.execution(id, swf.ExecutionCompleted); x.EndTime == nil {
		t.Error("it has no end_time")
	}
	eventually(t, "the data agent tells of its files", func() error {
		list, err := b.history.STFFiles(context.Background(), monitor.FileFilter{})
		if err == nil && len(list) != files {
			err = fmt.Errorf("%d of %d", len(list), files)
		}
		return err
	})
	b.stop()
}

// brief is a workflow that a person could wait for.
const brief = `[workflow]
name = "stf_datataking"
version = "1.0"
includes = ["daq_state_machine.toml"]

[stf_datataking]
no_beam_not_ready_delay = 0.1
broadcast_delay = 0.05
beam_not_ready_delay = 0.1
beam_ready_delay = 0.1
stf_generation_time = 0.01
stf_interval = 0.05
standby_duration = 0.1
beam_not_ready_end_delay = 0.1
`

// TestRunsBeginAndEndWithoutMonitor: ids are made without it.
func TestRunsBeginAndEndWithoutMonitor(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.start("testbed")
	first := b.call("start_workflow", endless).want("outcome", "succeeded").get("execution_id")
	b.execution(first, swf.ExecutionRunning)

	b.monitor.stop()
	b.call("stop_workflow", fmt.Sprintf(`{"execution_id":%q}`, first)).want("outcome", "succeeded")
	second := b.call("start_workflow", quick).want("outcome", "succeeded").get("execution_id")
	b.startMonitor()

	if x := b.execution(first, swf.ExecutionTerminated); x.EndTime == nil {
		t.Error("it has no end_time")
	}
	b.execution(second, swf.ExecutionCompleted)
	b.stop()
}

// TestLateCommandIsExpired: it was sent while no manager lived and comes to
// one when its time is over.
func TestLateCommandIsExpired(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.manager.stop()

	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	now := time.Now()
	cmd := control.Command{Verb: control.StartTestbed, ID: control.NewID(), Username: b.user, ConfigName: "plain", IssuedBy: b.user, IssuedAt: now, ExpiresAt: now.Add(300 * time.Millisecond)}
	replies := make(chan control.Reply, 1)
	asked := run("", func(context.Context) error {
		r, err := b.client.Ask(ctx, cmd, nil)
		replies <- r
		return err
	})
	defer asked.stop()
	<-time.After(time.Until(cmd.ExpiresAt)) // the command's own clock, not ours
	b.startManager()

	select {
	case r := <-replies:
		if r.Outcome != control.Expired || r.Error == nil || r.Error.Code != swf.CodeExpired {
			t.Fatalf("the outcome is %s", shown(r))
		}
	case <-ctx.Done():
		t.Fatal("no outcome")
	}
	b.nothingRuns()
	b.call("get_testbed_status", fmt.Sprintf(`{"command_id":%q}`, cmd.ID)).want("state", "stopped", "command.outcome", "expired", "command.error.code", "expired")
}
