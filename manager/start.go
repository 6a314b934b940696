package manager

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/epic-swf/testbed/config"
	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/supervisor"
	"github.com/epic-swf/testbed/swf"
)

// StartRequest says what to start.
type StartRequest struct {
	ID         string       // the start's id, which its supervisord carries
	ConfigName string       // "" is SWF_TESTBED_CONFIG, else testbed.toml
	Acting     func() error // called once, right before the first change; may be nil
	Progress   Progress     // may be nil
}

// Started is what a start saw last.
type Started struct {
	Programs  []swf.Program
	Namespace string
	Config    string
	Acted     bool // false: refused, nothing was touched
}

// rollbackTime bounds the undoing of a start that failed.
const rollbackTime = 2 * time.Minute

// Start brings a testbed up: the named configuration is loaded strictly before
// anything else, a testbed that runs is refused, supervisord is replaced by one
// with a fresh environment, and the start succeeds only when every program has
// been seen RUNNING in one snapshot. What fails is undone, and the error comes
// with each failed program's state and the end of its log.
//
// A context that ends with the cause errOvertaken leaves the undoing to the
// stop that overtook it.
func (t *Testbed) Start(ctx context.Context, req StartRequest) (Started, error) {
	var s Started
	plan, err := t.plan(req)
	if err != nil {
		return s, err
	}
	s.Namespace, s.Config = plan.testbed.Namespace, plan.testbed.Name
	lock, err := TryLock(t.execLockPath(plan.daemon))
	if held := new(HeldError); errors.As(err, &held) {
		return s, swf.E(swf.CodeBusy, "another start or stop of this testbed is under way, by "+held.Holder, "wait until it has ended, then look: testbed status").Because(err)
	}
	if err != nil {
		return s, err
	}
	defer lock.Unlock()
	ctx, heeded := t.heedStops(ctx, plan.daemon)
	defer heeded()
	t.at(AtHeld)
	s.Programs, err = t.refuseIfRunning(ctx, plan)
	if ctx.Err() != nil {
		return s, cancelled(ctx, err)
	}
	if err != nil {
		return s, err
	}
	if req.Acting != nil {
		if err := req.Acting(); err != nil {
			return s, err
		}
	}
	s.Acted = true
	if req.Progress == nil {
		req.Progress = func(string, []swf.Program) {}
	}
	s.Programs, err = t.bringUp(ctx, plan, req.Progress)
	if err == nil {
		return s, nil
	}
	if context.Cause(ctx) == errOvertaken { // and not by a stop elsewhere, which may never come
		return s, cancelled(ctx, err)
	}
	t.at(AtUndoing)
	left, err := t.undo(ctx, plan, err)
	for i, q := range s.Programs { // what failed stays as it failed; the others were stopped
		if j := slices.IndexFunc(left, func(l swf.Program) bool { return l.Name == q.Name }); j >= 0 && q.Reason == "" {
			s.Programs[i] = left[j]
		}
	}
	return s, err
}

// cancelled says why the context of a start ended.
func cancelled(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), errOvertaken) {
		return swf.E(swf.CodeCancelled, "a stop overtook this start", "if the testbed is still wanted, start it again once it has stopped").Because(err)
	}
	return swf.E(swf.CodeInterrupted, fmt.Sprintf("the start was undone: %v", context.Cause(ctx)), "start it again").Because(err)
}

// plan is all that a start needs, resolved and checked before it acts.
type plan struct {
	id         string
	testbed    *config.Testbed
	configPath string
	programs   []string
	env        []string
	daemon     *supervisor.Daemon
}

func (t *Testbed) plan(req StartRequest) (*plan, error) {
	tb, err := config.Load(t.o.Sources, req.ConfigName)
	if err != nil {
		return nil, err
	}
	p := &plan{id: req.ID, testbed: tb, programs: tb.EnabledPrograms(), configPath: t.o.Paths.Resolved(req.ID)}
	extra := map[string]string{"SWF_TESTBED_CONFIG": p.configPath, "SWF_START_ID": req.ID}
	if p.env, err = t.environ(nil, extra); err != nil {
		return nil, err
	}
	binary, err := t.o.Binary()
	if err != nil {
		return nil, err
	}
	if p.daemon, err = t.describe(p.env, binary); err != nil {
		return nil, err
	}
	names := programNames(p.daemon.Conf())
	for _, name := range p.programs {
		if !slices.Contains(names, name) {
			return nil, swf.E(swf.CodeUnknownProgram, fmt.Sprintf("%s has no program %q, which %s needs", t.confPath, name, tb.Name),
				"it has "+strings.Join(names, ", ")+`; add the program, or name another with program = "…" in the agent's section`)
		}
	}
	return p, nil
}

// refuseIfRunning returns agents_running when any program is active.
func (t *Testbed) refuseIfRunning(ctx context.Context, p *plan) ([]swf.Program, error) {
	processes, err := p.daemon.Observe(ctx)
	switch {
	case errors.Is(err, supervisor.ErrNotRunning):
		return nil, nil
	case errors.Is(err, supervisor.ErrHung):
		return nil, hung(err)
	case err != nil:
		return nil, supervisorFailed("supervisord could not be asked", err)
	}
	programs := t.programs(processes, nil)
	active := activeNames(programs)
	if len(active) == 0 {
		return nil, nil
	}
	programs = slices.DeleteFunc(programs, func(q swf.Program) bool { return !q.State.Active() })
	return programs, swf.E(swf.CodeAgentsRunning, "agents already running: "+strings.Join(active, ", "),
		"call stop_user_testbed first (Run testbed stop-agents first)")
}

// bringUp changes things: it prepares the files, replaces supervisord and
// starts every program at once.
func (t *Testbed) bringUp(ctx context.Context, p *plan, progress Progress) ([]swf.Program, error) {
	if err := t.prepare(p); err != nil {
		return nil, err
	}
	t.at(AtPrepared)
	if err := p.daemon.Shutdown(ctx); err != nil {
		return nil, supervisorFailed("the old supervisord could not be shut down", err)
	}
	t.at(AtCleared)
	if err := p.daemon.Spawn(ctx, p.env); err != nil {
		return nil, supervisorFailed("supervisord could not be started", err)
	}
	t.at(AtSpawned)
	progress(fmt.Sprintf("supervisord restarted, 0 of %d programs running", len(p.programs)), nil)
	last := 0
	processes, err := p.daemon.StartPrograms(ctx, p.programs, func(now []supervisor.Process) {
		running := 0
		for _, q := range now {
			if slices.Contains(p.programs, q.Name) && q.State == supervisor.Running {
				running++
			}
		}
		if running > last {
			last = running
			t.at(AtRunning)
			progress(fmt.Sprintf("%d of %d programs running", running, len(p.programs)), t.wanted(now, p))
		}
	})
	programs := t.wanted(processes, p)
	if err != nil {
		return t.withReasons(ctx, p, programs, err), startFailed(err, programs)
	}
	t.at(AtUp)
	note := p.note()
	note.PIDs = make(map[string]int)
	for _, q := range programs {
		note.PIDs[q.Name] = q.PID
	}
	err = t.writeStarted(note)
	t.at(AtNoted)
	return programs, err
}

// prepare writes what the programs will read. What an earlier start left may
// run until bringUp has cleared it away, so the note names that start too.
func (t *Testbed) prepare(p *plan) error {
	if err := t.o.Paths.Make(); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(t.o.Paths.Dir, "logs"), 0o755); err != nil {
		return err
	}
	if err := sweepConfigs(filepath.Dir(p.configPath)); err != nil {
		return err
	}
	if err := p.testbed.WriteResolved(p.configPath); err != nil {
		return err
	}
	if err := os.Remove(t.o.Paths.RunnerKey()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := control.WriteKey(t.o.Paths.RunnerKey(), control.NewKey()); err != nil {
		return err
	}
	note := p.note()
	if old, err := t.readStarted(); err == nil && old != nil {
		note.Replaces = old.starts()
	}
	return t.writeStarted(note)
}

// note is what is left on disk of this start.
func (p *plan) note() *started {
	return &started{StartID: p.id, Config: p.testbed.Name, ConfigPath: p.configPath, Namespace: p.testbed.Namespace, StartedAt: time.Now()}
}

// sweepConfigs removes the resolved files of earlier starts.
func sweepConfigs(folder string) error {
	old, err := filepath.Glob(filepath.Join(folder, "*.toml"))
	if err != nil {
		return err
	}
	for _, f := range old {
		if err := os.Remove(f); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// wanted keeps the programs of the plan.
func (t *Testbed) wanted(processes []supervisor.Process, p *plan) []swf.Program {
	return slices.DeleteFunc(t.programs(processes, nil), func(q swf.Program) bool { return !slices.Contains(p.programs, q.Name) })
}

// withReasons adds to each program that did not come up why, and how its log
// ends.
func (t *Testbed) withReasons(ctx context.Context, p *plan, programs []swf.Program, err error) []swf.Program {
	var failed *supervisor.StartError
	if !errors.As(err, &failed) {
		return programs
	}
	for i, q := range programs {
		for _, f := range failed.Programs {
			if f.Name != q.Name {
				continue
			}
			programs[i].Reason = f.Reason
			if q.State == swf.ProgramRunning || q.State == swf.ProgramStarting {
				programs[i].State = swf.ProgramState(f.State.String())
			}
			if text, err := p.daemon.Tail(f.Process, 2048); err == nil {
				programs[i].LogTail = text
			}
		}
	}
	return programs
}

func startFailed(err error, programs []swf.Program) error {
	var failed *supervisor.StartError
	if !errors.As(err, &failed) {
		return supervisorFailed("the programs could not be started", err)
	}
	var names []string
	for _, f := range failed.Programs {
		names = append(names, fmt.Sprintf("%s (%s)", f.Name, f.Reason)) // it names the state
	}
	return swf.E(swf.CodeStartFailed, fmt.Sprintf("%d of %d programs did not come up: %s; the others were stopped again", len(names), len(programs), strings.Join(names, ", ")),
		"read log_tail of the programs named, mend their command or configuration, then start again").Because(err)
}

// undo stops what a failed start left and returns that and why it failed.
func (t *Testbed) undo(ctx context.Context, p *plan, why error) ([]swf.Program, error) {
	if ctx.Err() != nil {
		why = cancelled(ctx, why)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTime)
	defer cancel()
	left, err := t.takeDown(ctx, p.daemon, func(string, []swf.Program) {})
	if err != nil {
		e := swf.AsError(why)
		return left.Programs, swf.E(e.Code, e.Message+"; and undoing the start failed too", "call stop_user_testbed (testbed stop-agents), then start again").Because(errors.Join(why, err))
	}
	return left.Programs, why
}
