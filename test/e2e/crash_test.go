package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"sync"
	"syscall"
	"testing"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/manager"
	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/swf"
)

// TestKilledRunnerLosesItsExecution: supervisord starts it anew, and what it
// was doing does not stay "running" for ever.
func TestKilledRunnerLosesItsExecution(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.start("testbed")
	id := b.call("start_workflow", endless).want("outcome", "succeeded").get("execution_id")
	b.execution(id, swf.ExecutionRunning)

	b.kill("swf-agent", "runner")
	if x := b.execution(id, swf.ExecutionLost); x.EndTime == nil {
		t.Error("it has no end_time")
	}
	// It is not run again, and the next run is not held up by it.
	next := b.call("start_workflow", quick).want("outcome", "succeeded").get("execution_id")
	b.execution(next, swf.ExecutionCompleted)
	b.execution(id, swf.ExecutionLost)
	b.call("get_testbed_status", `{}`).want("running_workflows", "0")
	b.stop()
}

// TestKilledSupervisordLeavesNoAgentTwice: what it leaves behind is swept by
// the next start or stop.
func TestKilledSupervisordLeavesNoAgentTwice(t *testing.T) {
	t.Parallel()
	b := newBench(t, map[string]string{"workflow-runner": sleeper})
	b.start("plain")
	b.kill("supervisord", "")
	b.start("plain")
	eventually(t, "every program is itself", func() error { // RUNNING comes before its exec, in whose midst it has no environment
		if all := processes(b.dir); len(all) < 3 {
			return fmt.Errorf("these run: %v", all)
		}
		return nil
	})
	if all := processes(b.dir); len(all) > 3 { // supervisord and two programs
		t.Errorf("these run: %v", all)
	}
	b.kill("supervisord", "")
	b.stop()
	b.nothingRuns()
}

// kill sends SIGKILL to the one live program of that name and argument.
func (b *bench) kill(name, arg string) {
	b.t.Helper()
	for _, p := range named(b.dir, name) {
		if arg == "" || p.command[len(p.command)-1] == arg {
			p.kill()
			eventually(b.t, "it dies", func() error {
				if _, ok := look(p.pid); ok {
					return errors.New("alive")
				}
				return nil
			})
			return
		}
	}
	b.t.Fatalf("no %s %s runs: %v", name, arg, processes(b.dir))
}

// daemon is an agent manager or a monitor that is a process of its own.
type daemon struct {
	cmd *exec.Cmd
	out safeBuffer
}

// spawn runs one of our programs until it is killed.
func (b *bench) spawn(name string, args ...string) *daemon {
	b.t.Helper()
	d := &daemon{cmd: exec.Command(ours(name), args...)}
	d.cmd.Env, d.cmd.Stdout, d.cmd.Stderr = b.environ(nil), &d.out, &d.out
	if err := d.cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		d.kill()
		if b.t.Failed() {
			b.t.Logf("%s said:\n%s", name, d.out.String())
		}
	})
	return d
}

// startDaemon runs the real agent-manager in the bench's folder, in place of
// the one in this process, and waits until it takes commands.
func (b *bench) startDaemon() *daemon {
	b.t.Helper()
	d := b.spawn("agent-manager", "--dir", b.dir)
	eventually(b.t, "the agent manager takes commands", func() error {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		pong, err := b.client.Ping(ctx, b.user)
		if err == nil && pong.PID != d.cmd.Process.Pid {
			err = fmt.Errorf("pid %d answers", pong.PID)
		}
		return err
	})
	return d
}

// kill ends it as a crash would.
func (d *daemon) kill() {
	if d.cmd.ProcessState == nil {
		_ = d.cmd.Process.Signal(syscall.SIGKILL)
		_ = d.cmd.Wait()
	}
}

// TestMonitorAndAgentKilledInMidRun: the run completes, and each of its files
// is registered once.
func TestMonitorAndAgentKilledInMidRun(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.write("workflows/brief.toml", brief)
	b.monitor.stop()
	monitorProcess := func() *daemon {
		d := b.spawn("testbed", "monitor", "--dir", b.dir, "--listen", b.monitorAddr, "--insecure-no-auth")
		eventually(t, "the monitor answers", func() error { return b.history.Healthy(context.Background()) })
		return d
	}
	first := monitorProcess()
	b.start("testbed")
	const files = 60 // four seconds
	id := b.call("start_workflow", fmt.Sprintf(`{"config":"brief","realtime":true,"stf_count":%d}`, files)).want("outcome", "succeeded").get("execution_id")
	count := func() int {
		list, err := b.history.STFFiles(context.Background(), monitor.FileFilter{Status: "processed"})
		if err != nil {
			return -1
		}
		return len(list)
	}
	atLeast := func(n int) {
		eventually(t, fmt.Sprintf("%d files are registered", n), func() error {
			if got := count(); got < n {
				return fmt.Errorf("%d", got)
			}
			return nil
		})
	}
	atLeast(3)
	first.kill()
	monitorProcess()
	atLeast(10)
	b.kill("swf-agent", "data")
	if x := b.execution(id, swf.ExecutionCompleted); x.EndTime == nil {
		t.Error("it has no end_time")
	}
	// What was broadcast while the agent was away is nobody's file; what is
	// there, is there once.
	list, err := b.history.STFFiles(context.Background(), monitor.FileFilter{})
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for _, f := range list {
		if seen[f.STFFilename] {
			t.Errorf("%s is registered twice", f.STFFilename)
		}
		seen[f.STFFilename] = true
	}
	if len(list) < 11 || len(list) > files {
		t.Errorf("%d files of %d", len(list), files)
	}
	b.stop()
}

// TestManagerKilledInMidStart: the next one undoes the start, and says so.
func TestManagerKilledInMidStart(t *testing.T) {
	t.Parallel()
	b := newBench(t, map[string]string{"workflow-runner": sleeper})
	b.manager.stop()
	d := b.startDaemon()

	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := control.Command{Verb: control.StartTestbed, ID: control.NewID(), Username: b.user, ConfigName: "slow", IssuedBy: b.user}
	begun := make(chan struct{})
	var once sync.Once
	replies := make(chan control.Reply, 1)
	asked := run("", func(context.Context) error {
		r, err := b.client.Ask(ctx, cmd, func(r control.Reply) {
			if r.Kind == control.Progress { // supervisord is up, the programs are being started
				once.Do(func() { close(begun) })
			}
		})
		replies <- r
		return err
	})
	defer asked.stop()
	select {
	case <-begun:
	case <-ctx.Done():
		t.Fatal("the start does not begin")
	}
	d.kill()
	if n := programs(b.dir, "supervisord"); n != 1 {
		t.Fatalf("%d supervisord run: nothing is left that could be undone", n)
	}

	b.startDaemon()
	var told control.Reply
	select {
	case told = <-replies:
	case <-ctx.Done():
		t.Fatal("no outcome")
	}
	if told.Outcome != control.Failed || told.Error == nil || told.Error.Code != swf.CodeInterrupted {
		t.Fatalf("the outcome is %s", shown(told))
	}
	b.nothing("supervisord", "sleep")
	b.call("get_testbed_status", fmt.Sprintf(`{"command_id":%q}`, cmd.ID)).want("state", "stopped", "command.outcome", "failed", "command.error.code", "interrupted")

	// The same command once more finds its outcome, and acts no more.
	again, err := b.client.Ask(ctx, cmd, nil)
	if err != nil || again.Outcome != told.Outcome || !again.FinishedAt.Equal(*told.FinishedAt) {
		t.Errorf("asked again it is %s, %v", shown(again), err)
	}
	b.nothing("supervisord", "sleep")

	// The manager is well.
	b.start("plain")
	b.stop()
}

// nothing checks that none of these live.
func (b *bench) nothing(names ...string) {
	b.t.Helper()
	for _, name := range names {
		if n := programs(b.dir, name); n != 0 {
			b.t.Fatalf("%d %s run: %v", n, name, processes(b.dir))
		}
	}
}

// TestOneManager: a second one, on the same host with the same folder, refuses
// and disturbs nothing.
func TestOneManager(t *testing.T) {
	t.Parallel()
	b := newBench(t, map[string]string{"workflow-runner": sleeper})
	b.start("plain")
	second := startManager(manager.Options{Username: b.user, Paths: b.paths, Testbed: b.testbed(), Broker: b.brokerOptions(), Keys: b.key.Ring})
	second.stop()
	if !swf.IsCode(second.err, swf.CodeManagerRunning) {
		t.Errorf("it ended with %v", second.err)
	}
	b.call("get_testbed_status", `{}`).want("state", "running", "manager.alive", "true")
	b.stop()
}

// safeBuffer takes what a process says.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
