package workflows

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/epic-swf/testbed/agents"
	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/config"
	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/swf"
)

// agentType is what the runner beats as (contract 7.1).
const agentType = "DAQ_Simulator"

// Times of a runner.
const (
	callTime     = 3 * time.Second        // a call to the monitor that somebody waits for
	noteTime     = 500 * time.Millisecond // an answer that a run has begun, for the monitor to have it
	publishTime  = 5 * time.Second        // a broadcast, while the broker is away
	endTime      = time.Second            // the same once the run is being ended
	replyTime    = 2 * time.Second        // a reply
	tellTime     = time.Second            // at the end of a run, until the monitor has heard of it
	readyTime    = 10 * time.Second       // for the agents to be ready
	readyEvery   = 250 * time.Millisecond // between two looks at them
	unheardEvery = time.Second            // from the first broadcast of an earlier runner's end_run to the next
	unheardMost  = 15 * time.Second       // between two later ones
	unheardTime  = 10 * time.Minute       // then nobody listens who would close that run
	keepAnswers  = 256                    // outcomes kept for repeated commands
	keepClaims   = 8 * 24 * time.Hour     // longer than managers keep answers
)

// Options say whose runner it is and what it works with.
type Options struct {
	// Bus must live until Run has returned: the end of a run is told last.
	Bus         *amq.Conn
	Monitor     *monitor.Client
	Key         control.Key  // the only key whose commands count; a zero Key obeys nobody
	Runs        control.Runs // where command ids are claimed
	Testbed     *config.Testbed
	Sources     config.Sources
	Username    string
	Namespace   string
	StartID     string              // of the testbed start that launched this process
	Program     string              // supervisord's name of this process
	LegacyQueue bool                // also obey unsigned commands on /queue/workflow_control
	Getenv      func(string) string // for machines whose texts name variables; default os.Getenv
	Outbox      string              // a folder for what the monitor has not heard yet; "": it is lost with the process
	Log         *slog.Logger
}

// Runner executes one workflow at a time for one user. It mirrors the
// contract's sections 7.1 and 7.2, without the weaknesses 32 to 34, 42 and 43.
type Runner struct {
	o    Options
	base *agents.Base
	log  *slog.Logger
	born time.Time

	serial  sync.Mutex // one effect at a time, whichever queue it came by
	wait    sync.WaitGroup
	mu      sync.Mutex
	nonce   control.Nonce // of the shared queue
	closing bool
	current *execution
	answers map[string]control.Reply        // by command id
	stops   map[string]func() control.Reply // by command id: each waits until the stop is answered
	order   []string
}

// New returns a runner; Run makes it work.
func New(o Options) (*Runner, error) {
	base, err := agents.New(agentType, agents.Options{
		Bus: o.Bus, Monitor: o.Monitor, Username: o.Username, Namespace: o.Namespace,
		StartID: o.StartID, Program: o.Program, Outbox: o.Outbox, Log: o.Log,
	})
	if err != nil {
		return nil, err
	}
	if o.Testbed == nil {
		return nil, swf.E(swf.CodeInternal, "the workflow runner was given no testbed", "load its configuration first")
	}
	if o.Namespace == "" {
		return nil, swf.E(swf.CodeInvalidConfig, "the workflow runner has no namespace", "set [testbed] namespace in testbed.toml")
	}
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	r := &Runner{o: o, base: base, log: base.Log(), born: time.Now(), answers: make(map[string]control.Reply), stops: make(map[string]func() control.Reply)}
	r.handleEvents()
	return r, nil
}

// Run serves until ctx ends. A workflow that runs then is ended: end_run is
// broadcast and its execution is terminated, within about two seconds.
func (r *Runner) Run(ctx context.Context) error { return r.base.Run(ctx, r.serve) }

func (r *Runner) serve(ctx context.Context) error {
	r.endLost(ctx)
	subs := []*amq.Subscription{
		r.o.Bus.Subscribe(swf.WorkflowQueue(r.o.Username), amq.SubscribeOptions{Prefetch: 10, OnSubscribed: r.base.BeatNow},
			func(_ context.Context, d *amq.Delivery) { r.receive(ctx, d) }),
		r.base.Listen(swf.TopicWorkflow, r.hear),
	}
	if r.o.LegacyQueue {
		r.log.Warn("obeying unsigned commands of everybody on " + swf.QueueLegacyWorkflow)
		subs = append(subs, r.o.Bus.Subscribe(swf.QueueLegacyWorkflow, amq.SubscribeOptions{OnSubscribed: func() { r.markLegacy(ctx) }},
			func(_ context.Context, d *amq.Delivery) { r.receiveLegacy(ctx, d) }))
	}
	for _, s := range subs {
		defer s.Close()
		select {
		case <-s.Ready():
		case <-ctx.Done():
		}
	}
	if ctx.Err() == nil {
		r.base.SetState(swf.OpReady)
		r.log.Info("workflow runner ready", "queue", swf.WorkflowQueue(r.o.Username), "namespace", r.o.Namespace)
	}
	<-ctx.Done()
	for _, s := range subs {
		s.Close()
	}
	r.mu.Lock()
	r.closing = true
	r.mu.Unlock()
	r.wait.Wait()
	return nil
}

// running returns the execution under way, or nil.
func (r *Runner) running() *execution {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.current
}

// free makes the runner ready for the next run.
func (r *Runner) free() {
	r.base.SetContext("", "")
	r.base.SetState(swf.OpReady)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.current = nil
}

// pong tells what the runner is and does.
func (r *Runner) pong() *control.Pong {
	host, _ := os.Hostname()
	p := &control.Pong{
		Protocol: control.Protocol, Instance: r.base.Instance(), Username: r.o.Username, Host: host, PID: os.Getpid(),
		Now: time.Now().UTC(), State: swf.TestbedRunning, Namespace: r.o.Namespace, Config: r.o.Testbed.Name,
	}
	if x := r.running(); x != nil {
		since := x.since
		p.BusyWith, p.BusyID, p.BusySince = control.RunWorkflow, x.id, &since
	}
	return p
}

var (
	errQuit = errors.New("the workflow runner was told to quit")
	errStop = errors.New("stopped")
)

// stopped is the cause of a run's end by command.
func stopped(by string) error {
	if by == "" {
		return fmt.Errorf("%w by command", errStop)
	}
	return fmt.Errorf("%w by %s", errStop, by)
}
