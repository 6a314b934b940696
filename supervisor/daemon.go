package supervisor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Options describe one supervisord.
type Options struct {
	Conf   string       // its configuration file
	Binary string       // the supervisord to execute; only Spawn needs it
	Dir    string       // its working directory; "": the folder of Conf
	Env    []string     // with which Conf names its socket; nil: os.Environ()
	Log    *slog.Logger // nil: nothing is logged
}

// limits are the waits of a Daemon, shorter in some tests.
type limits struct {
	spawn     time.Duration // from exec to exit status 0
	answer    time.Duration // from there to the first answer
	start     time.Duration // beyond the largest startsecs
	stop      time.Duration // beyond the largest stopwaitsecs
	hung      time.Duration // no answer for so long: it never will
	settle    time.Duration // a fork needs this long to hear its signals
	sigAgain  time.Duration // STOPPING for so long: the signal was lost
	shutdown  time.Duration // from shutdown to the end of the process
	lastWords time.Duration // for processes to follow their supervisord
}

var defaultLimits = limits{
	spawn: 15 * time.Second, answer: 5 * time.Second, start: 20 * time.Second, stop: 10 * time.Second,
	hung: 5 * time.Second, settle: 200 * time.Millisecond, sigAgain: 500 * time.Millisecond,
	shutdown: 10 * time.Second, lastWords: 300 * time.Millisecond,
}

// Daemon is the life of the one supervisord that a configuration file
// describes, whoever started it. Safe for concurrent use: what changes
// anything is done one after the other, with one exception that is meant: a
// StopPrograms or Shutdown overtakes a StartPrograms that waits for RUNNING.
// Nothing keeps another Daemon, in this process or elsewhere, from acting on
// the same supervisord; a lock for that is the caller's.
type Daemon struct {
	opts   Options
	client *Client
	log    *slog.Logger
	limits limits

	acting chan struct{} // holds a token while somebody changes something

	mu        sync.Mutex
	conf      *Conf
	known     identity // supervisord as last seen, dead or alive
	knownAs   string   // its command line
	lastSpawn time.Time
	rested    bool      // all programs were at rest when a stop last looked, and nothing was started here since
	silent    time.Time // since when it has not answered; zero: it did when last asked
	lastAsk   time.Time // of those that were not answered
}

// New reads the configuration as far as needed to reach the supervisord. It
// neither starts nor asks anything. Errors are *ConfError.
func New(o Options) (*Daemon, error) {
	if o.Env == nil {
		o.Env = os.Environ()
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	conf, err := readConf(o.Conf, o.Dir, o.Env, false)
	if err != nil {
		return nil, err
	}
	if o.Dir == "" {
		o.Dir = conf.Dir
	}
	if conf.inPublic() {
		o.Log.Warn("supervisord's socket is in a folder for everybody, where another user could take its name first",
			"socket", conf.Socket)
	}
	return &Daemon{
		opts: o, client: NewClient(conf.Endpoint), log: o.Log, limits: defaultLimits,
		acting: make(chan struct{}, 1), conf: conf,
	}, nil
}

// Conf is the configuration as it was last read: by New or the last Spawn.
func (d *Daemon) Conf() *Conf {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.conf
}

// Client is the protocol below, for what the Daemon has no words for.
func (d *Daemon) Client() *Client { return d.client }

// Observe is one snapshot of all programs. ErrNotRunning when there is no
// supervisord, ErrHung when it does not answer within 2 s, ErrShuttingDown,
// ErrForbidden when the socket is another user's.
func (d *Daemon) Observe(ctx context.Context) ([]Process, error) {
	return d.observeWithin(ctx, readTimeout)
}

func (d *Daemon) observeWithin(ctx context.Context, limit time.Duration) ([]Process, error) {
	if err := d.reachable(); err != nil {
		return nil, err
	}
	asked := time.Now()
	ps, err := d.client.processesWithin(ctx, limit)
	d.heard(ctx, asked, err)
	return ps, err
}

// reachable finds out what connecting would, at a hundredth of its cost: the
// socket is not ours, or there is none.
func (d *Daemon) reachable() error {
	there, err := d.Conf().hasSocket()
	if err == nil && !there {
		d.heard(context.Background(), time.Now(), ErrNotRunning)
		return fmt.Errorf("%w at %s: %w", ErrNotRunning, d.client.endpoint, syscall.ENOENT)
	}
	return err
}

// heard notes what a question asked at that time has shown: all who ask before
// a stop share the patience that ends in a kill, else each would wait anew. What
// went unanswered long before counts no more.
func (d *Daemon) heard(ctx context.Context, asked time.Time, err error) {
	if ctx.Err() != nil {
		return // it was not given its time
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !errors.Is(err, ErrHung) {
		d.silent = time.Time{}
		return
	}
	if d.silent.IsZero() || asked.Sub(d.lastAsk) > d.limits.hung {
		d.silent = asked
	}
	d.lastAsk = time.Now()
}

// patience is how long a supervisord may go on being silent.
func (d *Daemon) patience() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.silent.IsZero() || time.Since(d.lastAsk) > d.limits.hung {
		return d.limits.hung
	}
	return time.Until(d.silent.Add(d.limits.hung))
}

// shortest is what a supervisord gets to answer at least, also when those who
// asked before have used up the patience with it.
const shortest = 200 * time.Millisecond

// nextWait is how long the next question may take without an answer, when so
// much of the patience is to be left.
func (d *Daemon) nextWait(left time.Duration) time.Duration {
	return min(readTimeout, max(d.patience()-left, shortest))
}

// observe is Observe with the patience to tell a slow supervisord from a hung one.
func (d *Daemon) observe(ctx context.Context) ([]Process, error) {
	for {
		ps, err := d.observeWithin(ctx, d.nextWait(shortest))
		if !errors.Is(err, ErrHung) || d.patience() <= shortest { // which is left to who ends it, for a last question
			return ps, err
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

// act waits until nobody else changes anything, and returns what ends that.
func (d *Daemon) act(ctx context.Context) (release func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	select {
	case d.acting <- struct{}{}:
		return func() { <-d.acting }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// PID is the live supervisord's, also when it is hung; ErrNotRunning otherwise.
func (d *Daemon) PID(ctx context.Context) (int, error) {
	id, err := d.identify(ctx)
	return id.pid, err
}

// Environ is the environment that the live supervisord was executed with, also
// when it is hung.
func (d *Daemon) Environ(ctx context.Context) (map[string]string, error) {
	id, err := d.identify(ctx)
	if err != nil {
		return nil, err
	}
	env, err := readEnviron(id.pid)
	if err == nil && !id.alive() {
		err = ErrNotRunning
	}
	if err != nil {
		return nil, fmt.Errorf("environment of supervisord (pid %d): %w", id.pid, err)
	}
	return env, nil
}

// identify finds the live supervisord: by asking it, else by what was seen
// before, else by who holds its socket.
func (d *Daemon) identify(ctx context.Context) (identity, error) {
	if err := d.reachable(); err != nil {
		return identity{}, err
	}
	pid, err := d.client.PID(ctx)
	if err == nil {
		s, serr := readStat(pid)
		if serr != nil {
			return identity{}, fmt.Errorf("supervisord calls itself pid %d, which is not a process here: %w", pid, serr)
		}
		d.remember(s.identity)
		return s.identity, nil
	}
	if ctx.Err() != nil || errors.Is(err, ErrNotRunning) || errors.Is(err, ErrForbidden) {
		return identity{}, err
	}
	if id, ok := d.locate(); ok {
		return id, nil
	}
	return identity{}, err
}

// locate finds a live supervisord without asking it.
func (d *Daemon) locate() (identity, bool) {
	d.mu.Lock()
	known, conf := d.known, d.conf
	d.mu.Unlock()
	if known.alive() {
		return known, true
	}
	if conf.Socket == "" {
		return identity{}, false
	}
	s, err := readStat(holder(conf.Socket, conf.pidFromFile()))
	if err != nil || s.gone() {
		return identity{}, false
	}
	d.remember(s.identity)
	return s.identity, true
}

func (d *Daemon) remember(id identity) {
	cmd := commandLine(id.pid)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.known, d.knownAs = id, cmd
}

func (d *Daemon) spawned() {
	d.mu.Lock()
	d.lastSpawn, d.rested = time.Now(), false
	d.mu.Unlock()
}

// pidFromFile is a hint, never the truth: the file outlives its supervisord.
func (c *Conf) pidFromFile() int {
	b, err := os.ReadFile(c.PIDFile)
	if err != nil || len(b) > 32 {
		return 0
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(b)))
	return pid
}

// FindBinary finds the supervisord for the testbed folder dir: its own virtual
// environment, $SWF_SUPERVISORD, PATH, then the environment that set-up makes
// (.cache/venv of dir, or of the folder of this program or the one above it).
// A set but wrong $SWF_SUPERVISORD is an error, not passed over. ErrNoBinary
// when there is none.
func FindBinary(dir string, getenv func(string) string) (string, error) {
	const name = "supervisord"
	if p := filepath.Join(dir, ".venv", "bin", name); dir != "" && executable(p) {
		return filepath.Abs(p)
	}
	if p := getenv("SWF_SUPERVISORD"); p != "" {
		if !executable(p) {
			return "", fmt.Errorf("%w: SWF_SUPERVISORD=%s is not a program", ErrNoBinary, p)
		}
		return filepath.Abs(p)
	}
	for _, folder := range filepath.SplitList(getenv("PATH")) {
		// A relative entry would execute what happens to lie around.
		if p := filepath.Join(folder, name); filepath.IsAbs(folder) && executable(p) {
			return p, nil
		}
	}
	roots := []string{dir}
	if exe, err := os.Executable(); err == nil {
		roots = append(roots, filepath.Dir(exe), filepath.Dir(filepath.Dir(exe)))
	}
	for _, root := range roots {
		if p := filepath.Join(root, ".cache", "venv", "bin", name); root != "" && executable(p) {
			return filepath.Abs(p)
		}
	}
	return "", fmt.Errorf("%w: neither in %s/.venv/bin, nor by SWF_SUPERVISORD, nor on PATH", ErrNoBinary, dir)
}

func executable(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular() && st.Mode().Perm()&0o111 != 0
}
