package agents

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/swf"
)

// Times of an agent's life.
const (
	beatEvery   = 10 * time.Second
	callTimeout = 10 * time.Second       // one call to the monitor
	settleTime  = 400 * time.Millisecond // at the end: for what the monitor has not heard yet
	exitedTime  = 400 * time.Millisecond // at the end: for the EXITED heartbeat
)

// Options say who an agent is and whom it talks to.
type Options struct {
	// Bus carries the messages. Whoever made it runs it, and lets it live
	// until the agent's Run has returned: the last messages go out then.
	Bus       *amq.Conn
	Monitor   *monitor.Client
	Username  string
	Namespace string // no namespace: every message is accepted, none is stamped
	StartID   string // of the testbed start that launched this process (SWF_START_ID)
	Program   string // supervisord's name of this process, "" when there is none
	Log       *slog.Logger
	Beat      time.Duration // between heartbeats; default 10 s
	// Parameters are those of the testbed's own workflow, for runs whose
	// record the monitor does not give.
	Parameters Parameters
	// Outbox is a folder for what the monitor has not heard yet, in files named
	// after Program. "": it is lost with the process.
	Outbox string
}

// Base is what all agents have in common. Its methods may be called from any
// goroutine.
type Base struct {
	o        Options
	kind     string
	instance string // new at each start of the process
	log      *slog.Logger
	outbox   *Outbox
	logs     *Outbox       // of log records, which must not hold up what matters
	heard    atomic.Bool   // the monitor took the last heartbeat
	kick     chan struct{} // asks for a heartbeat now

	interim string // its name until the monitor gives one

	mu        sync.Mutex
	name      string
	named     bool // by the monitor
	op        string
	details   map[string]any
	execution string
	run       string
	seq       int64
}

// New returns the base of an agent whose agent_type is kind. It refuses a
// username or namespace that is no valid name.
func New(kind string, o Options) (*Base, error) {
	if err := swf.CheckName(swf.KindUsername, o.Username); err != nil {
		return nil, err
	}
	if o.Namespace != "" {
		if err := swf.CheckName(swf.KindNamespace, o.Namespace); err != nil {
			return nil, err
		}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Beat <= 0 {
		o.Beat = beatEvery
	}
	interim := agentName(kind, o.Username, fmt.Sprintf("x%d", os.Getpid()))
	b := &Base{
		o: o, kind: kind, instance: uuid.NewString(), kick: make(chan struct{}, 1),
		op: swf.OpStarting, interim: interim, name: interim,
	}
	b.logs = NewOutbox(b.outboxFile("logs"), o.Log)
	b.logs.most, b.logs.alive = logsSize, b.heard.Load
	Handle(b.logs, eventLog, b.postLog)
	b.log = slog.New(tee{o.Log.Handler(), shipHandler{b: b}})
	b.outbox = NewOutbox(b.outboxFile("events"), b.log)
	b.outbox.alive = b.heard.Load
	return b, nil
}

// outboxFile is where a kind of what the monitor has not heard waits: for the
// next process that supervisord starts under our name.
func (b *Base) outboxFile(kind string) string {
	name := b.o.Program
	if b.o.Outbox == "" || name == "" {
		return ""
	}
	return filepath.Join(b.o.Outbox, url.PathEscape(name)+"."+kind)
}

func agentName(kind, username, id string) string {
	return strings.ToLower(kind) + "-agent-" + username + "-" + id
}

// Name returns the agent's name: {type}-agent-{user}-{id}. Until the monitor
// has given an id, x and the process id stand in its place.
func (b *Base) Name() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.name
}

// isMe reports whether a name that something bears is this agent's, or was until
// the monitor named it.
func (b *Base) isMe(name any) bool { return name == b.Name() || name == b.interim }

// Instance identifies this process among all of the same name.
func (b *Base) Instance() string { return b.instance }

// Log returns a logger whose records also reach the monitor.
func (b *Base) Log() *slog.Logger { return b.log }

// Outbox returns the queue of what the monitor must hear in order.
func (b *Base) Outbox() *Outbox { return b.outbox }

// SetState changes the operational state; a change is told at once.
func (b *Base) SetState(op string) {
	b.mu.Lock()
	changed := b.op != op
	b.op = op
	b.mu.Unlock()
	if changed {
		b.BeatNow()
	}
}

func (b *Base) state() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.op
}

// SetDetails replaces the counters that heartbeats carry as metadata and, in
// words, in their description, and tells them at once.
func (b *Base) SetDetails(details map[string]any) {
	b.mu.Lock()
	b.details = details
	b.mu.Unlock()
	b.BeatNow()
}

// Count replaces the counters without telling them before the next heartbeat.
func (b *Base) Count(details map[string]any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.details = details
}

// SetContext names the execution and run that log records belong to.
func (b *Base) SetContext(executionID, runID string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.execution, b.run = executionID, runID
}

// BeatNow asks for a heartbeat without waiting for it.
func (b *Base) BeatNow() {
	select {
	case b.kick <- struct{}{}:
	default:
	}
}

// Send publishes m with the agent's name as sender and its namespace. It waits
// for the broker until ctx ends and does not change m.
func (b *Base) Send(ctx context.Context, destination string, m swf.Message) error {
	return b.SendWith(ctx, destination, m, nil)
}

// SendWith is Send with STOMP headers.
func (b *Base) SendWith(ctx context.Context, destination string, m swf.Message, headers map[string]string) error {
	stamp := swf.Message{"sender": b.Name()}
	if b.o.Namespace != "" {
		stamp["namespace"] = b.o.Namespace
	}
	body, err := m.With(stamp).Encode()
	if err != nil {
		return err
	}
	return b.o.Bus.Publish(ctx, amq.Message{Destination: destination, Headers: headers, Body: body})
}

// Listen subscribes to a topic and hands every message of the agent's
// namespace to h, in order. The caller closes the subscription.
func (b *Base) Listen(topic string, h func(context.Context, swf.Message)) *amq.Subscription {
	o := amq.SubscribeOptions{AutoAck: true, Prefetch: 100, OnSubscribed: b.BeatNow}
	return b.o.Bus.Subscribe(topic, o, func(ctx context.Context, d *amq.Delivery) {
		m, err := swf.DecodeMessage(d.Body)
		if err != nil {
			b.log.Warn("dropped a message that is no JSON object", "topic", topic, "err", err)
			return
		}
		if m.ForNamespace(b.o.Namespace) {
			h(ctx, m)
		}
	})
}

// Run lives the agent's life around serve, which is to subscribe, set the
// state to READY, work until ctx ends and then return. Whatever serve left in
// the outbox gets a last chance, and a heartbeat EXITED is the last that the
// monitor hears. Run returns serve's error and leaves no goroutine behind.
func (b *Base) Run(ctx context.Context, serve func(context.Context) error) error {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	var helpers sync.WaitGroup
	helpers.Go(func() { b.outbox.Run(life) })
	helpers.Go(func() { b.pulse(life) })
	shipping, endShipping := context.WithCancel(context.WithoutCancel(ctx))
	defer endShipping()
	var shipped sync.WaitGroup
	shipped.Go(func() { b.logs.Run(shipping) })

	err := serve(ctx)

	b.mu.Lock()
	b.op = swf.OpExited
	b.mu.Unlock()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	if !b.outbox.Settle(last) {
		b.log.Warn("ended before the monitor heard everything; the next one of this name tells the rest", "untold", b.outbox.Len())
	}
	cancel()
	end()
	helpers.Wait()
	b.lastBeat()
	last, cancel = context.WithTimeout(context.WithoutCancel(ctx), shipLast)
	b.logs.Settle(last)
	cancel()
	endShipping()
	shipped.Wait()
	return err
}
