package manager

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/epic-swf/testbed/config"
	"github.com/epic-swf/testbed/supervisor"
	"github.com/epic-swf/testbed/swf"
)

// TestbedOptions say which testbed, and where its things are.
type TestbedOptions struct {
	Username string
	Paths    config.Paths
	Sources  config.Sources

	// Environ builds, freshly from the files, the environment that supervisord
	// and the agents get; extra wins over everything.
	Environ func(extra map[string]string) ([]string, error)
	// Binary finds supervisord.
	Binary func() (string, error)
	At     func(Point) // called at each Point that a command comes to; nil but in tests
	Log    *slog.Logger
}

// Testbed drives the supervisord of one user: the same code for the manager
// and for the CLI when no manager runs. Start and Stop exclude each other, also
// between processes; everything else may be called at any time.
type Testbed struct {
	o                     TestbedOptions
	confPath, startedPath string
	kept                  kept
}

// NewTestbed returns a Testbed; nothing is touched yet.
func NewTestbed(o TestbedOptions) *Testbed {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Testbed{o: o, confPath: o.Paths.SupervisordConf(), startedPath: filepath.Join(o.Paths.State, "started.json"), kept: kept{tick: fileTick}}
}

// Progress hears how far a start or a stop is, in the user's words.
type Progress func(text string, programs []swf.Program)

// Dir returns the testbed folder.
func (t *Testbed) Dir() string { return t.o.Paths.Dir }

// started is what a start leaves on disk for those who look later.
type started struct {
	StartID    string         `json:"start_id"`
	Config     string         `json:"config"`
	ConfigPath string         `json:"config_path"` // the resolved file that the agents read
	Namespace  string         `json:"namespace"`
	StartedAt  time.Time      `json:"started_at"`
	PIDs       map[string]int `json:"pids,omitempty"`     // as all were seen RUNNING
	Replaces   []string       `json:"replaces,omitempty"` // earlier starts of which something may run, until all are
}

// starts are those of which something may run.
func (s *started) starts() []string { return append([]string{s.StartID}, s.Replaces...) }

func (t *Testbed) readStarted() (*started, error) {
	b, err := os.ReadFile(t.startedPath)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var s started
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, swf.E(swf.CodeEnvironment, fmt.Sprintf("%s, the note of the last start, cannot be read", t.startedPath),
			"stop the testbed (testbed stop-agents), which removes it, then start again").Because(err)
	}
	return &s, nil
}

// lastStart is readStarted for those who look: the note as it was read before
// while its file is the same. Nobody may change it.
func (t *Testbed) lastStart() (*started, error) {
	return t.kept.lastStart(t.startedPath, t.readStarted)
}

func (t *Testbed) writeStarted(s *started) error {
	tmp := t.startedPath + ".new"
	if err := os.WriteFile(tmp, rawJSON(s), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, t.startedPath)
}

// Current returns the namespace and the configuration of the last start, ""
// when the testbed is stopped.
func (t *Testbed) Current() (namespace, configName string) {
	s, _ := t.lastStart()
	return s.where()
}

// where is the namespace and the configuration of a start, "" of none.
func (s *started) where() (namespace, configName string) {
	if s == nil {
		return "", ""
	}
	return s.Namespace, s.Config
}

// adopted stands for the start id of a supervisord that somebody else started.
const adopted = "-"

// StartID returns the id that the live supervisord carries in its
// environment, adopted when it carries none, or "" when none lives.
func (t *Testbed) StartID() string {
	d, err := t.daemon()
	if err != nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second) // one that hangs is asked for 2 s first
	defer cancel()
	env, err := d.Environ(ctx)
	if err != nil {
		return ""
	}
	if id := env["SWF_START_ID"]; id != "" {
		return id
	}
	return adopted
}

// daemon gives the life cycle of this testbed's supervisord, read afresh, for
// all but its start.
func (t *Testbed) daemon() (*supervisor.Daemon, error) {
	s, _ := t.readStarted() // what cannot be read is told by those who need it
	env, err := t.environ(s, nil)
	if err != nil {
		return nil, err
	}
	return t.describe(env, "")
}

// lookDaemon is daemon for those who only look: as it was read before while the
// file and the environment are the same.
func (t *Testbed) lookDaemon(s *started) (*supervisor.Daemon, error) {
	env, err := t.environ(s, nil)
	if err != nil {
		return nil, err
	}
	return t.kept.supervisor(t.confPath, env, func() (*supervisor.Daemon, error) { return t.describe(env, "") })
}

// describe reads the configuration file as a supervisord with that environment
// would. binary may be "" for what does not spawn.
func (t *Testbed) describe(env []string, binary string) (*supervisor.Daemon, error) {
	if _, err := os.Stat(t.confPath); err != nil {
		return nil, swf.E(swf.CodeEnvironment, fmt.Sprintf("there is no %s", t.confPath),
			"run testbed init in that folder, or name the right one with --dir").Because(err)
	}
	d, err := supervisor.New(supervisor.Options{Conf: t.confPath, Binary: binary, Dir: t.o.Paths.Dir, Env: env, Log: t.o.Log})
	if err != nil {
		return nil, swf.E(swf.CodeInvalidConfig, err.Error(), "mend the file, then try again").Because(err)
	}
	return d, nil
}

// environ is what supervisord gets; s is the last start, or nil.
func (t *Testbed) environ(s *started, extra map[string]string) ([]string, error) {
	all := map[string]string{"SWF_STATE_DIR": t.o.Paths.State}
	if s != nil {
		all["SWF_TESTBED_CONFIG"] = s.ConfigPath
	}
	for k, v := range extra {
		all[k] = v
	}
	if all["SWF_TESTBED_CONFIG"] == "" {
		all["SWF_TESTBED_CONFIG"] = "workflows/testbed.toml"
	}
	return t.o.Environ(all)
}

// Observation is the testbed as seen at one moment.
type Observation struct {
	State      swf.TestbedState
	Programs   []swf.Program
	Supervisor string // running, stopped or hung
	Namespace  string
	Config     string
	note       *started // of the last start, whatever runs; nil: none
}

// Observe asks supervisord. A supervisord that does not run is not an error;
// one that hangs is supervisor_failed.
func (t *Testbed) Observe(ctx context.Context) (Observation, error) {
	seen := Observation{State: swf.TestbedUnknown}
	seen.note, _ = t.lastStart() // what is wrong with it matters where something runs
	d, err := t.lookDaemon(seen.note)
	if err != nil {
		return seen, err
	}
	processes, err := d.Observe(ctx)
	switch {
	case errors.Is(err, supervisor.ErrNotRunning):
		seen.State, seen.Supervisor = swf.TestbedStopped, "stopped"
		return seen, nil
	case errors.Is(err, supervisor.ErrHung):
		seen.Supervisor = "hung"
		return seen, hung(err)
	case err != nil:
		return seen, supervisorFailed("supervisord could not be asked", err)
	}
	seen.Supervisor = "running"
	seen.note, err = t.lastStart() // again: supervisord took its time
	seen.Programs = t.programs(processes, seen.note)
	if err != nil {
		return seen, err
	}
	seen.State = sumUp(seen.Programs, seen.note)
	seen.Namespace, seen.Config = seen.note.where()
	return seen, nil
}

// programs translates what supervisord says into our words.
func (t *Testbed) programs(processes []supervisor.Process, s *started) []swf.Program {
	host, _ := os.Hostname()
	out := make([]swf.Program, 0, len(processes))
	for _, p := range processes {
		q := swf.Program{Name: p.Name, State: swf.ProgramState(p.State.String()), PID: p.PID, Reason: p.SpawnErr, LogFile: p.LogFile, Host: host}
		if p.PID != 0 && !p.Start.IsZero() {
			since := p.Start
			q.Since = &since
		}
		if s != nil && q.State == swf.ProgramRunning {
			was, ok := s.PIDs[p.Name]
			q.Restarted = ok && was != p.PID
		}
		out = append(out, q)
	}
	sort.Slice(out, func(a, b int) bool { return out[a].Name < out[b].Name })
	return out
}

// sumUp makes one word of many: running means that every program the start
// brought up runs still.
func sumUp(programs []swf.Program, s *started) swf.TestbedState {
	active, running := 0, 0
	up := make(map[string]bool)
	for _, p := range programs {
		if p.State.Active() {
			active++
		}
		if p.State == swf.ProgramRunning {
			running++
			up[p.Name] = true
		}
	}
	switch {
	case active == 0:
		return swf.TestbedStopped
	case running < active:
		return swf.TestbedPartial
	}
	if s != nil {
		for name := range s.PIDs {
			if !up[name] {
				return swf.TestbedPartial
			}
		}
	}
	return swf.TestbedRunning
}

func activeNames(programs []swf.Program) []string {
	var names []string
	for _, p := range programs {
		if p.State.Active() {
			names = append(names, p.Name)
		}
	}
	return names
}

// Log returns the last n bytes of a program's own log, also after everything
// has stopped: that is when one wants to know why.
func (t *Testbed) Log(ctx context.Context, program string, n int) (string, error) {
	s, _ := t.lastStart()
	d, err := t.lookDaemon(s)
	if err != nil {
		return "", err
	}
	names := programNames(d.Conf())
	if !slices.Contains(names, program) {
		return "", swf.E(swf.CodeUnknownProgram, fmt.Sprintf("there is no program %q", program), "the programs are "+strings.Join(names, ", "))
	}
	if processes, err := d.Observe(ctx); err == nil { // supervisord knows best: the file may have changed since
		for _, p := range processes {
			if p.Name == program {
				return d.Tail(p, n)
			}
		}
	}
	for _, p := range d.Conf().Programs {
		if p.Name == program && p.LogFile != "" {
			return d.Tail(supervisor.Process{Name: p.Name, Group: p.Group, LogFile: p.LogFile}, n)
		}
	}
	return "", swf.E(swf.CodeSupervisorFailed, fmt.Sprintf("supervisord does not run, and %s names no log file for %s", t.confPath, program),
		"start the testbed, or give the program a stdout_logfile")
}

// ResolvedConfig returns what the present start resolved its configuration to.
func (t *Testbed) ResolvedConfig() (json.RawMessage, error) {
	s, err := t.readStarted()
	if err != nil {
		return nil, err
	}
	if s == nil {
		return nil, swf.E(swf.CodeNotRunning, "the testbed is not running, so no configuration is in force", "call start_user_testbed first")
	}
	text, err := os.ReadFile(s.ConfigPath)
	if err != nil {
		return nil, err
	}
	return rawJSON(map[string]string{"config": s.Config, "namespace": s.Namespace, "start_id": s.StartID, "toml": string(text)}), nil
}

func programNames(c *supervisor.Conf) []string {
	var names []string
	for _, p := range c.Programs {
		names = append(names, p.Name)
	}
	sort.Strings(names)
	return names
}

func hung(err error) error {
	return swf.E(swf.CodeSupervisorFailed, "supervisord does not answer", "stop_user_testbed (testbed stop-agents) ends it by force").Because(err)
}

func supervisorFailed(what string, err error) error {
	var e *swf.Error
	if errors.As(err, &e) {
		return err
	}
	return swf.E(swf.CodeSupervisorFailed, fmt.Sprintf("%s: %v", what, err), "look at the supervisord log in the testbed folder, then try again").Because(err)
}
