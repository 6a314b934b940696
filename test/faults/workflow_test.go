package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/config"
	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/manager"
	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/workflows"
)

// runnerVariable makes a copy of this test binary a workflow runner.
const runnerVariable = "TESTBED_FAULTS_RUNNER"

// runnerRole says whose runner it is. It dies as it asks its monitor for what
// the file DieAt names.
type runnerRole struct {
	User, Link, DieAt string
	Paths             config.Paths
}

// What a runner asks of its monitor before its claim, and once that stands.
const (
	beforeLink = "next-workflow-execution-id"
	afterLink  = "workflow-executions"
)

// TestRunner is no test but the real runner of those below, under supervisord.
func TestRunner(t *testing.T) {
	text := os.Getenv(runnerVariable)
	if text == "" {
		return
	}
	var r runnerRole
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		t.Fatal(err)
	}
	if err := r.run(); err != nil {
		t.Fatal(err)
	}
}

func (r runnerRole) run() error {
	away := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		if at, err := os.ReadFile(r.DieAt); err == nil && strings.Contains(q.URL.Path, string(at)) {
			_ = os.Remove(r.DieAt)
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			pause(time.Hour)
		}
		panic(http.ErrAbortHandler)
	}))
	key, err := control.ReadKey(r.Paths.RunnerKey())
	if err != nil {
		return err
	}
	sources := config.Sources{Dir: r.Paths.Dir, Embedded: workflows.Files, Getenv: os.Getenv}
	tb, err := config.Load(sources, "")
	if err != nil {
		return err
	}
	bus := amq.New(brisk(r.Link, r.User))
	go func() { _ = bus.Run(context.Background()) }()
	w, err := workflows.New(workflows.Options{
		Bus: bus, Monitor: monitor.New(monitor.Options{URL: away.URL, Timeout: time.Second}), Key: key, Runs: control.Runs{Dir: r.Paths.Runs()},
		Testbed: tb, Sources: sources, Username: r.User, Namespace: tb.Namespace, StartID: os.Getenv("SWF_START_ID"), Program: "workflow-runner",
		Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		return err
	}
	return w.Run(context.Background())
}

// realRunner makes the user's workflow-runner the real one; it writes its line
// into the effect log first.
func (u *user) realRunner() {
	u.s.t.Helper()
	role, err := json.Marshal(runnerRole{User: u.name, Link: u.link.addr(), DieAt: u.dieAt(), Paths: u.paths})
	if err != nil {
		u.s.t.Fatal(err)
	}
	conf, err := os.ReadFile(filepath.Join(u.paths.Dir, "agents.supervisord.conf"))
	if err != nil {
		u.s.t.Fatal(err)
	}
	head, rest, found := strings.Cut(string(conf), "[program:workflow-runner]\n")
	_, rest, more := strings.Cut(rest, "\n")
	if !found || !more {
		u.s.t.Fatal("no workflow-runner in the configuration")
	}
	command := fmt.Sprintf(`command=/bin/sh -c 'echo "start $SWF_START_ID $$ $(date +%%%%s%%%%N)" >>%s; exec %s -test.run=^TestRunner$'`, u.effects(), os.Args[0])
	u.write("agents.supervisord.conf", head+"[program:workflow-runner]\n"+command+"\nenvironment="+runnerVariable+"='"+string(role)+"'\n"+rest)
}

func (u *user) dieAt() string { return filepath.Join(u.paths.Dir, "die-at") }

// run is a workflow that lasts longer than any test.
var run = control.Command{Verb: control.RunWorkflow, Params: json.RawMessage(`{"workflow_name":"stf_datataking","realtime":true,"duration":3600}`)}

func runnerUp(s *site, u *user, c *control.Client) {
	s.want(c, u, stop, control.Succeeded)
	u.wrote(s.want(c, u, start(""), control.Succeeded))
}

func runnerDoomed(s *site, u *user, c *control.Client) {
	runnerUp(s, u, c)
	u.write(filepath.Base(u.dieAt()), beforeLink)
}

// TestWorkflowCrashes kills the real runner and its manager around the link
// that commits a run (design, rule 9).
func TestWorkflowCrashes(t *testing.T) {
	giveUp := func(points ...manager.Point) []killing {
		var all []killing
		for _, p := range points {
			all = append(all, killing{p, 0, control.Failed, swf.CodeUnconfirmed})
		}
		return all
	}
	begins := succeedsAt(manager.AtReceived, manager.AtJournaled, manager.AtAccepted, manager.AtAcked, manager.AtAnswered, manager.AtConclude, manager.AtDone)
	real := func(run func(*site, *user, *control.Client)) func(*site, *user, *control.Client) {
		return func(s *site, u *user, c *control.Client) {
			u.realRunner()
			run(s, u, c)
			s.want(c, u, stop, control.Succeeded)
			u.standing(nil)
		}
	}
	runRows(t, []row{
		{name: "runner killed before and after the link", run: real(runnerKilled)},
		{name: "manager killed at each point of a run", run: real(kills(append(begins, giveUp(manager.AtBegun, manager.AtAsking)...), always(run), runnerUp))},
		{name: "manager killed as it withdraws a run", run: real(kills(giveUp(manager.AtWithdraw, manager.AtWithdrawn), always(run), runnerDoomed))},
	})
}

func runnerKilled(s *site, u *user, c *control.Client) {
	for _, at := range []string{beforeLink, afterLink} {
		runnerUp(s, u, c)
		s.counts.Faults++
		u.write(filepath.Base(u.dieAt()), at)
		op := s.ask(c, u, run, patience)
		claim, err := (control.Runs{Dir: u.paths.Runs()}).Read(op.cmd.ID)
		if err != nil {
			s.t.Fatal(err)
		}
		switch {
		case at == beforeLink && (code(op.heard) != swf.CodeUnconfirmed || claim.Withdrawn == ""):
			s.t.Errorf("killed before the link it is %s; the claim is %+v", shown(op.heard), claim)
		case at == afterLink && (op.heard.Outcome != control.Succeeded || op.heard.ExecutionID != claim.ExecutionID || claim.ExecutionID == ""):
			s.t.Errorf("killed after the link it is %s; the claim is %+v", shown(op.heard), claim)
		}
	}
}

// TestWithdrawAgainstLink: of a runner that claims a run and a manager that
// withdraws it one wins, and both say who.
func TestWithdrawAgainstLink(t *testing.T) {
	t.Parallel()
	runs := control.Runs{Dir: filepath.Join(t.TempDir(), "runs")}
	var ran atomic.Int64
	for i := range 1000 {
		id := fmt.Sprint("run-", i)
		claims := []control.Claim{{CommandID: id, ExecutionID: "wf-ann-0001"}, {CommandID: id, Withdrawn: "expired"}}
		var stands [2]control.Claim
		var won [2]bool
		var both sync.WaitGroup
		for j, c := range claims {
			both.Go(func() {
				var err error
				if stands[j], won[j], err = runs.Claim(c); err != nil {
					t.Error(err)
				}
			})
		}
		both.Wait()
		if won[0] == won[1] || stands[0].ExecutionID != stands[1].ExecutionID || stands[0].Withdrawn != stands[1].Withdrawn || won[0] != (stands[0].ExecutionID != "") {
			t.Fatalf("round %d: %v, %+v", i, won, stands)
		}
		if won[0] {
			ran.Add(1)
		}
	}
	t.Logf("the runner won %d of 1,000", ran.Load())
}
