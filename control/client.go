package control

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/swf"
)

// Bus is what a Client needs of the broker; *amq.Conn is one.
type Bus interface {
	Publish(ctx context.Context, m amq.Message) error
	Subscribe(destination string, o amq.SubscribeOptions, h func(context.Context, *amq.Delivery)) *amq.Subscription
}

// ClientOptions say whom a Client asks and how.
type ClientOptions struct {
	Bus    Bus
	Keys   func(username string) Ring   // the addressed user's keys; the zero Ring sends and accepts unsigned
	Queue  func(username string) string // default ControlQueue
	Login  string                       // at the broker: replies come to queues that it alone may read
	Source string                       // who sends, for logs: "mcp", "cli"
	Log    *slog.Logger
}

// How long a silence lasts before the same bytes go out again: each pause is
// twice the one before it.
const (
	firstPause    = time.Second     // until anything verified came
	acceptedPause = 4 * time.Second // it is under way; only an outcome that was lost is still to be had
	longestPause  = 16 * time.Second
)

// Client publishes commands and waits for their outcomes. One Client has one
// private reply queue, subscribed at its first command. Safe for concurrent
// use.
type Client struct {
	o       ClientOptions
	replyTo string

	mu      sync.Mutex
	sub     *amq.Subscription
	joined  bool                          // it has been asked for once; from then on anew
	waiting map[string]map[*call]struct{} // by command id
	known   map[string][]string           // the ids of the keys that each user's manager last said it holds

	lines lines // on which Python managers answer
}

// call is one Ask under way.
type call struct {
	username string
	ring     Ring
	intent   string
	replies  chan *Reply   // pointers, and few: a ping needs one
	rejoined chan struct{} // holds one when the broker has just begun to deliver replies again
	rejected *swf.Error    // what a manager said of a copy that it did not let in; guarded by Client.mu
}

// NewClient returns a Client that has not touched the broker yet.
func NewClient(o ClientOptions) *Client {
	if o.Queue == nil {
		o.Queue = swf.ControlQueue
	}
	if o.Keys == nil {
		o.Keys = func(string) Ring { return Ring{} }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Client{o: o, replyTo: swf.ReplyQueue(o.Login, randomHex()), waiting: make(map[string]map[*call]struct{}),
		known: make(map[string][]string), lines: lines{login: o.Login}}
}

// Close ends the subscriptions to the reply queues.
func (c *Client) Close() {
	c.lines.close()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sub != nil {
		c.sub.Close()
	}
}

// randomHex is 128 random bits.
func randomHex() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// NewID returns a fresh command id (UUIDv7: ids sort by time).
func NewID() string { return uuid.Must(uuid.NewV7()).String() }

// KeyedID turns a caller's idempotency key into a command id that nobody else
// can hit upon (design, rule 1).
func KeyedID(principal, target, key string) string {
	sum := sha256.Sum256([]byte(principal + "\n" + target + "\n" + key))
	return "k-" + hex.EncodeToString(sum[:])[:32]
}

// Ask publishes the command and waits for the outcome. Until that comes it
// publishes the same bytes again: after 1, 2, 4, 8 and 16 s of silence, and when
// the reply queue has been subscribed anew, for what was said in between is lost. progress, if not nil, sees
// accepted and progress replies, one at a time. The user of a Python manager
// (IsPython) is sent each command once; what has an effect is then Pending at
// once, and Inferred.
//
// When ctx ends first the command goes on: Ask then returns a Reply with
// Outcome Pending and the command id, and no error. An error means that the
// command was never published (broker_unavailable) or could not be
// (invalid_argument).
func (c *Client) Ask(ctx context.Context, cmd Command, progress func(Reply)) (r Reply, err error) {
	cmd.Complete(time.Now())
	ctx, ended := traced(ctx, &cmd)
	defer func() { ended(r, err) }()
	cmd.ReplyTo = c.replyTo
	if cmd.Source == "" {
		cmd.Source = c.o.Source
	}
	if err := cmd.Check(); err != nil {
		return Reply{}, err
	}
	if IsPython(c.o.Queue(cmd.Username), cmd.Username) {
		return c.askPython(ctx, &cmd)
	}
	body, err := cmd.Encode()
	if err != nil {
		return Reply{}, err
	}
	if err := c.subscribe(ctx); err != nil {
		return Reply{}, err
	}
	w := &call{username: cmd.Username, ring: c.o.Keys(cmd.Username), intent: cmd.Intent(), replies: make(chan *Reply, 16), rejoined: make(chan struct{}, 1)}
	copies, err := c.copies(ctx, &cmd, w.ring, body)
	if err != nil {
		return Reply{}, err
	}
	c.enter(cmd.ID, w)
	defer c.leave(cmd.ID, w)
	return c.exchange(ctx, &cmd, copies, w, progress)
}

// Ping asks the user's manager whether it is alive and waits at most until
// ctx ends. When nothing verified came the error is bad_signature where
// somebody there says that our keys are not the manager's, else no_manager.
func (c *Client) Ping(ctx context.Context, username string) (Pong, error) {
	r, err := c.Ask(ctx, Command{Verb: Ping, Username: username}, nil)
	if err != nil {
		return Pong{}, err
	}
	if r.Pong == nil && r.Error != nil {
		return Pong{}, r.Error
	}
	if r.Pong == nil {
		return Pong{}, swf.E(swf.CodeNoManager, fmt.Sprintf("no agent manager of %s answered", username),
			"start it on that user's host: testbed agent-manager")
	}
	return *r.Pong, nil
}

// copies are the messages to publish in turn: the same bytes, signed with each
// key that the manager may hold, best first. In the midst of a rotation one of
// them is let in.
func (c *Client) copies(ctx context.Context, cmd *Command, ring Ring, body []byte) ([]amq.Message, error) {
	h := map[string]string{
		"correlation-id": cmd.ID,
		"reply-to":       cmd.ReplyTo,
		"expires":        strconv.FormatInt(cmd.ExpiresAt.Add(BrokerSlop).UnixMilli(), 10),
		"persistent":     strconv.FormatBool(cmd.Verb.Effect()),
	}
	MarkTrace(ctx, h)
	m := amq.Message{Destination: c.o.Queue(cmd.Username), Headers: h, Body: body}
	if ring.IsZero() {
		return []amq.Message{m}, nil
	}
	c.mu.Lock()
	known := c.known[cmd.Username]
	c.mu.Unlock()
	var copies []amq.Message
	for i, k := range ring.signers(known) {
		signed := m
		if i > 0 { // most have one key, and one copy
			signed.Headers = maps.Clone(h)
		}
		signed.Headers[SignatureHeader] = k.Sign(DomainCommand, body)
		copies = append(copies, signed)
	}
	if len(copies) == 0 {
		return nil, keysDied(cmd.Username)
	}
	return copies, nil
}

func keysDied(username string) error {
	return swf.E(swf.CodeBadSignature, fmt.Sprintf("every control key of %s that is held here has died, so nothing was sent", username),
		"on that user's host: testbed key export; here, with what it prints: testbed key enroll "+username)
}

// exchange publishes and listens until the outcome, the end of ctx, or the
// moment after which publishing is forbidden.
func (c *Client) exchange(ctx context.Context, cmd *Command, copies []amq.Message, w *call, progress func(Reply)) (Reply, error) {
	if err := c.publish(ctx, cmd, copies[0]); err != nil && !uncertain(err) {
		return Reply{}, err
	}
	pause := firstPause
	again := time.NewTimer(pause)
	defer again.Stop()
	heard := false
	for n := 1; ; {
		select {
		case r := <-w.replies:
			if r.Kind == Final {
				return *r, nil
			}
			heard = true
			pause = acceptedPause
			again.Reset(pause)
			if progress != nil {
				progress(*r)
			}
		case <-w.rejoined:
			again.Reset(0)
		case <-again.C:
			if !time.Now().Before(cmd.ExpiresAt) {
				continue
			}
			m := copies[n%len(copies)]
			n++
			if err := c.publish(ctx, cmd, m); err != nil {
				c.o.Log.Warn("could not repeat a command", "command_id", cmd.ID, "err", err)
			}
			pause = min(2*pause, longestPause)
			again.Reset(pause)
		case <-ctx.Done():
			for len(w.replies) > 0 { // what has come counts more than the end of ctx
				if r := <-w.replies; r.Kind == Final {
					return *r, nil
				}
				heard = true
			}
			return Reply{CommandID: cmd.ID, Kind: Final, Outcome: Pending, Error: c.rejection(w, heard)}, nil
		}
	}
}

// rejection is why a manager let no copy of a command in, as far as anybody
// said so. It is not verified, for who says it shares no key with us: it
// explains a silence and is no outcome.
func (c *Client) rejection(w *call, heard bool) *swf.Error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if heard {
		return nil
	}
	return w.rejected
}

// publish waits for a link only as long as the command may still begin.
func (c *Client) publish(ctx context.Context, cmd *Command, m amq.Message) error {
	ctx, cancel := context.WithDeadline(ctx, cmd.ExpiresAt)
	defer cancel()
	if err := c.o.Bus.Publish(ctx, m); err != nil {
		return brokerUnavailable(err)
	}
	return nil
}

// uncertain reports whether what could not be published for certain may be on
// its way all the same.
func uncertain(err error) bool {
	var lost *amq.Error
	return errors.As(err, &lost) && lost.Code == amq.CodeUncertain
}

func brokerUnavailable(err error) error {
	return swf.E(swf.CodeBrokerUnavailable, "the message broker cannot be reached, so nothing was sent",
		"check that the broker runs and that ACTIVEMQ_HOST and ACTIVEMQ_PORT name it; then try again").Because(err)
}

// subscribe takes the reply queue before the first command goes out.
func (c *Client) subscribe(ctx context.Context) error {
	c.mu.Lock()
	if c.sub == nil {
		c.sub = c.o.Bus.Subscribe(c.replyTo, amq.SubscribeOptions{AutoAck: true, Prefetch: 100, OnSubscribed: c.rejoin}, c.receive)
	}
	ready := c.sub.Ready()
	c.mu.Unlock()
	select {
	case <-ready:
		return nil
	case <-ctx.Done():
		return brokerUnavailable(context.Cause(ctx))
	}
}

// rejoin has every waiting call ask again: what was on its way to us when the
// connection broke is gone. At the first subscription nothing was.
func (c *Client) rejoin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.joined {
		c.joined = true
		return
	}
	for _, calls := range c.waiting {
		for w := range calls {
			select {
			case w.rejoined <- struct{}{}:
			default:
			}
		}
	}
}

// receive hands a verified reply to every call that waits for its command. One
// that waits for another command under the same id is not told.
func (c *Client) receive(_ context.Context, d *amq.Delivery) {
	r, err := DecodeReply(d.Body)
	if err != nil {
		c.o.Log.Warn("dropped a reply that cannot be read", "err", err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for w := range c.waiting[r.CommandID] {
		if r.Intent != "" && r.Intent != w.intent {
			continue
		}
		if r.Kind == Rejected {
			w.rejected = rejected(w.username)
			continue
		}
		if !w.ring.IsZero() {
			if err := w.ring.Verify(DomainReply, d.Headers[SignatureHeader], d.Body); err != nil {
				c.o.Log.Warn("dropped a forged reply", "command_id", r.CommandID, "err", err)
				continue
			}
		}
		if r.Pong != nil {
			c.known[w.username] = r.Pong.KeyIDs
		}
		select {
		case w.replies <- &r:
		default: // only progress can pile up so; the outcome must get through
			if r.Kind == Final {
				select {
				case <-w.replies:
				default: // the reader was quicker
				}
				w.replies <- &r // nobody else sends: there is room
			}
		}
	}
}

// rejected is in our words: those of the notice are nobody's for certain.
func rejected(username string) *swf.Error {
	return swf.E(swf.CodeBadSignature, fmt.Sprintf("the agent manager of %s does not know the control key that is used here, and does nothing", username),
		"on that user's host: testbed key export; here, with what it prints: testbed key enroll "+username)
}

func (c *Client) enter(id string, w *call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting[id] == nil {
		c.waiting[id] = make(map[*call]struct{})
	}
	c.waiting[id][w] = struct{}{}
}

func (c *Client) leave(id string, w *call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiting[id], w)
	if len(c.waiting[id]) == 0 {
		delete(c.waiting, id)
	}
}
