package amq

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"maps"
	"regexp"
	"sync"
)

// requests are the Requests of one Conn that wait for their reply.
type requests struct {
	queue string
	once  sync.Once
	sub   *Subscription

	mu      sync.Mutex
	waiting map[string]chan Message
}

// init names the queue below the login, as the permissions of a broker can go
// by it, where that can be part of a name.
func (r *requests) init(login string) {
	r.queue = "/queue/testbed.replies."
	if len(login) <= longestLogin && loginRE.MatchString(login) {
		r.queue += login + "."
	}
	r.queue += randomHex()
	r.waiting = make(map[string]chan Message)
}

var loginRE = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

const longestLogin = 64

// randomHex is 128 random bits.
func randomHex() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// ReplyQueue is the destination of the replies to this Conn's Requests, a name
// that cannot be guessed. It is consumed from the first Request on.
func (c *Conn) ReplyQueue() string { return c.requests.queue }

// Request publishes m and returns the first message to the ReplyQueue with the
// same correlation-id. The headers reply-to and, unless m has one,
// correlation-id are added. The *Error when ctx ends first is
// broker_unreachable where that is the reason, else ctx's own error.
func (c *Conn) Request(ctx context.Context, m Message) (Message, error) {
	r := &c.requests
	r.once.Do(func() { r.sub = c.Subscribe(r.queue, SubscribeOptions{AutoAck: true, Prefetch: 100}, r.receive) })
	headers := maps.Clone(m.Headers)
	if headers == nil {
		headers = make(map[string]string, 2)
	}
	id := headers["correlation-id"]
	if id == "" {
		id = randomHex()
	}
	headers["correlation-id"], headers["reply-to"] = id, r.queue
	m.Headers = headers

	reply := make(chan Message, 1)
	r.mu.Lock()
	if _, taken := r.waiting[id]; taken {
		r.mu.Unlock()
		return Message{}, fault(CodeInvalidMessage, nil, "a request with correlation-id %q waits already", id)
	}
	r.waiting[id] = reply
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.waiting, id)
		r.mu.Unlock()
	}()
	if err := c.Publish(ctx, m); err != nil {
		return Message{}, err
	}
	return answerTo(ctx, reply)
}

// answerTo waits for the reply until ctx ends.
func answerTo(ctx context.Context, reply <-chan Message) (Message, error) {
	select {
	case answer := <-reply:
		return answer, nil
	case <-ctx.Done():
	}
	select {
	case answer := <-reply: // what has come counts more than the end of ctx
		return answer, nil
	default:
		return Message{}, ctx.Err()
	}
}

func (r *requests) receive(_ context.Context, d *Delivery) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if w, ok := r.waiting[d.Headers["correlation-id"]]; ok {
		select {
		case w <- d.Message:
		default: // a second reply
		}
	}
}
