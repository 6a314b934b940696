package manager

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/audit"
	"github.com/epic-swf/testbed/config"
	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

// ErrRestart is what Run returns when a restart command wants the daemon
// started anew.
var ErrRestart = errors.New("restart")

// Monitor is what a manager tells the monitor; *monitor.Client is one.
type Monitor interface {
	Heartbeat(ctx context.Context, h swf.Heartbeat) error
	PatchExecution(ctx context.Context, id string, fields map[string]any) error
	PostLog(ctx context.Context, e swf.LogEntry) error
}

// Options make a Manager.
type Options struct {
	Username       string
	Paths          config.Paths
	Testbed        *Testbed
	Broker         amq.Options
	Monitor        Monitor             // nil: none is configured
	Keys           func() control.Ring // asked for each message; nil or none: commands are taken unsigned, and said so
	AcceptUnsigned bool                // take unsigned commands although there is a key
	LegacyQueue    bool                // take the unsigned commands of Python senders from their queue; without keys it does anyway
	Heartbeat      time.Duration       // between two; default 10 s
	KeepOutcomes   time.Duration       // how long answers are kept; default 7 days
	Settle         time.Duration       // how long to listen for another manager of the user before a command is taken; default 1 s
	Version        string
	Beat           <-chan struct{} // each receive sends a heartbeat now; may be nil
	Ready          func()          // called once, when commands are taken; may be nil
	Service        Service         // the service manager that watches this process, if any
	Life           *Lock           // the life lock that the manager before a restart kept; nil: take it
	Keep           func(*Lock)     // is given the life lock when Run returns ErrRestart; nil: it is unlocked
	Audit          *audit.Trail    // what was refused and what came of the rest; nil: none
	Log            *slog.Logger
	Metrics        prometheus.Registerer // nil: nothing is exposed; see metrics.go
	Tracer         trace.TracerProvider  // nil: nothing is traced
}

// Manager is the daemon of one user. Make it with New and call Run once.
type Manager struct {
	o        Options
	log      *slog.Logger
	instance string

	journal *journal
	exec    *executor
	count   *metrics
	traces  *traces
	bus     *amq.Conn
	self    *control.Client // asks this user's own control queue
	runner  Runner
	tenure  *tenure
	newID   func() string // of tenures
	left    *[]string     // what a manager that gave way left running; nil: it did not

	accepting sync.Mutex // orders acceptance; see accept
	looks     chan struct{}
	beside    chan struct{}
	outbox    chan outbound
	told      chan *record // outcomes for the monitor
	restarts  tally        // of the programs; the heartbeats' own
	local     listeners
	soon      chan struct{}
	abandon   chan struct{}
	patience  time.Duration                    // until abandon
	bound     func(control.Verb) time.Duration // of the executor's jobs
	fresh     time.Duration                    // how old a self-probe may be
	joining   chan struct{}                    // once joined, the watchdog says so at once
	joined    atomic.Bool

	busCtx  context.Context // outlives Run's, so that last words are heard
	lookCtx context.Context // ends when looks and workflow commands must
	leave   context.CancelCauseFunc
	side    side

	callerCtx context.Context // ends when nothing more will be told to local callers
	callers   side

	seq     atomic.Int64
	probed  atomic.Int64 // unix nanoseconds of the last self-probe that came back
	dropped atomic.Int64

	unknownKeys atomic.Int64 // messages whose signature was none of ours
	notices     notices      // to their senders; of the goroutine that receives
	lostBefore  atomic.Int64
	monitorUp   atomic.Bool
}

// How long leaving may take, per part.
const (
	leaveTime = 60 * time.Second // an executor that undoes or stops
	lastWords = 3 * time.Second  // replies and the last heartbeat
)

// New makes a Manager. Nothing is opened yet.
func New(o Options) *Manager {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	m := &Manager{
		o: o, log: o.Log, instance: control.NewID(),
		exec:   newExecutor(),
		count:  newMetrics(),
		traces: newTraces(o.Tracer),
		looks:  make(chan struct{}, maxLookAtOnce),
		beside: make(chan struct{}, maxAtOnce),
		outbox: make(chan outbound, replyQueue),
		told:   make(chan *record, toldQueue),
		local:  listeners{byID: make(map[string][]func(control.Reply))},
		soon:   make(chan struct{}, 1), abandon: make(chan struct{}), patience: leaveTime,
	}
	if m.o.Heartbeat == 0 {
		m.o.Heartbeat = beatEvery
	}
	if m.o.KeepOutcomes == 0 {
		m.o.KeepOutcomes = keepOutcomes
	}
	if m.o.Keys == nil {
		m.o.Keys = control.Key{}.Ring
	}
	if m.o.Settle == 0 {
		m.o.Settle = settleTime
	}
	m.newID = control.NewID
	m.bound, m.fresh, m.joining = m.jobBound, probeFresh, make(chan struct{}, 1)
	m.monitorUp.Store(true)
	return m
}

// LocalSocket is where the manager with those paths takes commands of the
// same host.
func LocalSocket(p config.Paths) (string, error) { return p.Socket("manager") }

// Run works until ctx ends (nil), a restart command wants it gone (ErrRestart),
// or it must not run: manager_running when another manager of the user is in
// charge, here or, as long as the two can hear each other, elsewhere. A start under way is undone, a stop is finished; agents
// that run go on running.
func (m *Manager) Run(ctx context.Context) (err error) {
	if err := m.o.Paths.Make(); err != nil {
		return err
	}
	socket, err := LocalSocket(m.o.Paths)
	if err != nil {
		return err
	}
	life, err := m.takeLife()
	if held := new(HeldError); errors.As(err, &held) {
		return swf.E(swf.CodeManagerRunning, fmt.Sprintf("an agent manager of %s runs here already: %s", m.o.Username, held.Holder),
			"use that one, or stop it: testbed agent-manager stop").Because(err)
	}
	if err != nil {
		return err
	}
	defer func() { m.leaveLife(life, err) }()
	m.journal = openJournal(m.o.Paths.Journal())
	m.journal.ended = m.report
	defer m.journal.Close()
	if err := m.journal.Sealed(); err != nil {
		m.log.Error("the journal is sealed: only ping and status are answered", "err", err)
	}
	if m.o.Keys().IsZero() {
		m.log.Warn("NO CONTROL KEY: commands are taken from anybody who reaches the broker; testbed init makes a key")
	}
	ln, err := listenLocal(socket)
	if err != nil {
		return fmt.Errorf("local socket: %w", err)
	}
	defer os.Remove(socket)
	m.bus = amq.New(m.o.Broker)
	defer m.expose()()
	return m.work(ctx, func(ctx context.Context) { m.serveLocal(ctx, ln) })
}

// work starts the goroutines, waits for the end, and ends them in order:
// first nothing more comes in, then what is under way ends, then the last
// words are said.
func (m *Manager) work(ctx context.Context, serveLocal func(context.Context)) error {
	run, leave := context.WithCancelCause(ctx)
	m.leave = leave
	lookCtx, endLooks := context.WithCancel(context.WithoutCancel(ctx))
	callerCtx, endCallers := context.WithCancel(context.WithoutCancel(ctx))
	busCtx, endBus := context.WithCancel(context.WithoutCancel(ctx))
	m.lookCtx, m.callerCtx, m.busCtx = lookCtx, callerCtx, busCtx
	m.meetOthers()

	var bus, execs, words sync.WaitGroup
	m.recover(run) // before a door is open: what comes in later is not an earlier manager's
	bus.Go(func() { _ = m.bus.Run(busCtx) })
	execs.Go(func() { m.exec.Run(run) })
	speak, silence := context.WithCancel(busCtx)
	words.Go(func() { m.sendReplies(speak) })
	beating, stopBeating := context.WithCancel(busCtx)
	words.Go(func() { m.beat(beating) })
	words.Go(func() { m.tenure.run(beating) })
	words.Go(func() { m.tellOutcomes(beating) })
	words.Go(func() { m.watch(beating) })
	m.side.Go(func() { serveLocal(run) })
	m.side.Go(func() { m.housekeeping(run) })

	subs, err := m.join(run)
	if err == nil {
		<-run.Done()
		err = context.Cause(run)
	}
	leave(err)
	if !errors.Is(err, ErrRestart) { // a restart is the same service, and the same process
		m.notify("STOPPING=1\nSTATUS=leaving")
	}
	for _, s := range subs {
		s.Close()
	}
	m.tenure.resign()
	giveUp := time.AfterFunc(m.patience, func() { close(m.abandon) })
	execs.Wait()
	if why := new(swf.Error); m.tenure.gaveWayTo() != nil && errors.As(err, &why) {
		err = m.leftBehind(busCtx, why)
	}
	endLooks()
	m.side.Close()
	endCallers() // what ended above has told them
	m.callers.Close()
	giveUp.Stop()
	stopBeating()
	silence()
	time.AfterFunc(lastWords, endBus)
	words.Wait()
	m.self.Close()
	m.runner.Client.Close()
	endBus()
	bus.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// meetOthers makes what speaks with other managers of this user, with this
// one through its own queue, and with the user's runner.
func (m *Manager) meetOthers() {
	m.tenure = m.newTenure()
	m.self = control.NewClient(control.ClientOptions{Bus: m.bus, Keys: func(string) control.Ring { return m.o.Keys() }, Login: m.o.Broker.Login, Source: "agent-manager", Log: m.log})
	m.runner = Runner{m.o.Testbed, control.NewClient(control.ClientOptions{
		Bus: m.bus, Keys: m.o.Testbed.RunnerKey, Login: m.o.Broker.Login, Queue: swf.WorkflowQueue, Source: "agent-manager", Log: m.log})}
}

// housekeeping forgets what is past its retention, every ten minutes, and
// every minute while the journal is crowded.
func (m *Manager) housekeeping(ctx context.Context) {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for minute := 0; ; minute++ {
		if m.journal.Sealed() == nil && (minute%10 == 0 || m.journal.Crowded()) {
			if err := m.journal.Sweep(time.Now(), m.o.KeepOutcomes); err != nil {
				m.log.Error("journal sweep", "err", err)
			}
			if err := m.o.Testbed.Runs().Sweep(time.Now().Add(-keepOutcomes)); err != nil {
				m.log.Error("runs sweep", "err", err)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
