package control

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/swf"
)

// pythonReplyPrefix begins the queues on which Python managers answer. It is
// none of the protocol's own: an unsigned peer must not be made to write there.
const pythonReplyPrefix = "/queue/swf-replies."

// pythonReplyQueue is such a queue, under the login that alone may read it.
func pythonReplyQueue(login string) string {
	return pythonReplyPrefix + strings.TrimPrefix(swf.ReplyQueue(login, randomHex()), swf.ReplyPrefix)
}

// Of the private reply queues.
const (
	spareLines = 8               // kept for the next requests
	lateReply  = 2 * time.Minute // how long an unanswered one is drained
	lookTTL    = 30 * time.Second
)

// line is a reply queue that belongs to one request at a time: a Python
// manager's answer names neither the request nor, with several under way, which
// of them it means. What answered one in full has nothing more to come and
// serves the next; the others are drained and given up.
type line struct {
	queue   string
	sub     *amq.Subscription
	replies chan []byte
}

// lines are the reply queues of a Client. The zero value is ready.
type lines struct {
	login  string // at the broker
	mu     sync.Mutex
	closed bool
	spare  []*line
	drains map[*line]*time.Timer
}

func (l *lines) take(bus Bus) *line {
	l.mu.Lock()
	if n := len(l.spare); n > 0 {
		w := l.spare[n-1]
		l.spare = l.spare[:n-1]
		l.mu.Unlock()
		for len(w.replies) > 0 {
			<-w.replies // one answer too many
		}
		return w
	}
	l.mu.Unlock()
	w := &line{queue: pythonReplyQueue(l.login), replies: make(chan []byte, 16)}
	w.sub = bus.Subscribe(w.queue, amq.SubscribeOptions{AutoAck: true, Prefetch: 4}, func(_ context.Context, d *amq.Delivery) {
		select {
		case w.replies <- d.Body:
		default: // nobody sends that many
		}
	})
	return w
}

// give takes a line back. One whose request was not answered may still hear an
// answer, which must not be taken for that to another request.
func (l *lines) give(w *line, answered bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed, answered && len(l.spare) >= spareLines:
		w.sub.Close()
	case answered:
		l.spare = append(l.spare, w)
	default:
		if l.drains == nil {
			l.drains = make(map[*line]*time.Timer)
		}
		l.drains[w] = time.AfterFunc(lateReply, func() { l.drained(w) })
	}
}

func (l *lines) drained(w *line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.drains, w)
	w.sub.Close()
}

func (l *lines) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, w := range l.spare {
		w.sub.Close()
	}
	for w, timer := range l.drains {
		timer.Stop()
		w.sub.Close()
	}
	l.spare, l.drains = nil, nil
}

// askPython is Ask for the user of a Python manager. A ping or a status is
// answered; everything else is published once, and the Reply is Pending at
// once: what came of it is for the caller to infer.
func (c *Client) askPython(ctx context.Context, cmd *Command) (Reply, error) {
	ring := c.o.Keys(cmd.Username)
	cmd.ReplyTo = ""
	if !cmd.Verb.Effect() {
		if cmd.Of != nil {
			return Refusal(cmd.ID, swf.E(swf.CodeUnsupported, fmt.Sprintf("the agent manager of %s is a Python one, which tells nothing but supervisord's status", cmd.Username),
				"look on that user's host")), nil
		}
		return c.lookPython(ctx, cmd, ring.Newest())
	}
	m, err := pythonMessage(cmd, c.o.Queue(cmd.Username), ring.Newest())
	if err != nil {
		return Refusal(cmd.ID, err), nil
	}
	err = c.publish(ctx, cmd, m)
	if uncertain(err) {
		c.o.Log.Warn("it is not known whether a command has arrived; it is not sent again", "command_id", cmd.ID, "err", err)
		err = nil
	}
	return Reply{CommandID: cmd.ID, Kind: Final, Outcome: Pending, Inferred: true}, err
}

// lookPython asks and waits for an answer of the right shape.
func (c *Client) lookPython(ctx context.Context, cmd *Command, key Key) (Reply, error) {
	w := c.lines.take(c.o.Bus)
	answered := false
	defer func() { c.lines.give(w, answered) }()
	select {
	case <-w.sub.Ready():
	case <-ctx.Done():
		return Reply{}, brokerUnavailable(context.Cause(ctx))
	}
	cmd.ReplyTo = w.queue
	body, err := cmd.Encode()
	if err != nil {
		return Reply{}, err
	}
	m := amq.Message{Destination: c.o.Queue(cmd.Username), Body: body, Once: true,
		Headers: map[string]string{"persistent": "false", "expires": fmt.Sprint(cmd.IssuedAt.Add(lookTTL).UnixMilli())}}
	if !key.IsZero() {
		m.Headers[SignatureHeader] = key.Sign(DomainCommand, body)
	}
	if err := c.publish(ctx, cmd, m); err != nil && (ctx.Err() == nil || !uncertain(err)) {
		return Reply{}, err
	}
	hear := func(body []byte) (r Reply, ok bool) {
		if r, ok = pythonReply(cmd.Verb, cmd.Username, body, time.Now()); !ok {
			c.o.Log.Warn("dropped an answer that is of no Python manager", "username", cmd.Username, "bytes", len(body))
		}
		answered, r.CommandID = ok, cmd.ID
		return r, ok
	}
	for {
		select {
		case b := <-w.replies:
			if r, ok := hear(b); ok {
				return r, nil
			}
		case <-ctx.Done():
			for len(w.replies) > 0 { // what has come counts more than the end of ctx
				if r, ok := hear(<-w.replies); ok {
					return r, nil
				}
			}
			return Reply{CommandID: cmd.ID, Kind: Final, Outcome: Pending}, nil
		}
	}
}
