package broker

import (
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/go-stomp/stomp/v3/frame"
)

// message is one SEND on its way.
type message struct {
	id          uint64
	destination string
	header      []string // pairs, without those that the broker sets
	body        []byte
	sized       bool // the SEND had a content-length
	expires     int64
	redelivered bool // under the queue's lock
}

// overhead is what a message costs besides its text.
const overhead = 256

func (m *message) size() int64 {
	n := overhead + len(m.destination) + len(m.body)
	for _, s := range m.header {
		n += len(s) + 16
	}
	return int64(n)
}

func (m *message) expired(now time.Time) bool { return m.expires > 0 && m.expires <= now.UnixMilli() }

// newMessage copies what is the sender's; the first of repeated headers counts.
func newMessage(id uint64, f *frame.Frame) *message {
	m := &message{id: id, body: f.Body, header: make([]string, 0, 2*f.Header.Len())}
	for i := range f.Header.Len() {
		switch k, v := f.Header.GetAt(i); k {
		case frame.Destination:
			if m.destination == "" {
				m.destination = v
			}
		case frame.ContentLength:
			m.sized = true
		case frame.Receipt, frame.Transaction, frame.Subscription, frame.MessageId, frame.Ack, "redelivered":
		default:
			for j := 0; ; j += 2 {
				if j == len(m.header) {
					m.header = append(m.header, k, v)
				} else if m.header[j] != k {
					continue
				}
				break
			}
			if k == "expires" && m.expires == 0 {
				m.expires, _ = strconv.ParseInt(v, 10, 64)
			}
		}
	}
	return m
}

// appendTail appends what is the same for every receiver of one version.
func (m *message) appendTail(dst []byte, v version) []byte {
	dst = appendHeader(dst, v, frame.Destination, m.destination)
	for i := 0; i < len(m.header); i += 2 {
		dst = appendHeader(dst, v, m.header[i], m.header[i+1])
	}
	if m.sized {
		dst = append(strconv.AppendInt(append(dst, "content-length:"...), int64(len(m.body)), 10), '\n')
	}
	return append(append(append(dst, '\n'), m.body...), 0)
}

// subscription is one SUBSCRIBE. unacked belongs to the queue's lock.
type subscription struct {
	s        *session
	id       string // "" when a 1.0 client gave none
	serial   uint64
	name     string // destination
	q        *queue // nil for a topic
	ack      string // auto, client or client-individual
	prefetch int
	unacked  []*message
}

// queue gives each message to one subscription, in turn.
type queue struct {
	b    *Broker
	name string

	mu    sync.Mutex
	dead  bool // taken off the broker's list; look again
	msgs  []*message
	head  int   // msgs before it are gone
	bytes int64 // of msgs and of what is unacknowledged
	subs  []*subscription
	next  int
}

func (q *queue) waiting() int { return len(q.msgs) - q.head }

// push reports false when the queue or the broker is full.
func (q *queue) push(m *message) bool {
	size := m.size()
	if q.bytes+size > q.b.o.MaxQueueBytes || q.b.held.Load()+size > q.b.o.MaxMemory {
		return false
	}
	if q.head > 64 && q.head > len(q.msgs)/2 {
		q.msgs = slices.Delete(q.msgs, 0, q.head)
		q.head = 0
	}
	q.msgs = append(q.msgs, m)
	q.bytes += size
	q.b.held.Add(size)
	q.dispatch()
	return true
}

// gone books the end of a message.
func (q *queue) gone(m *message) {
	size := m.size()
	q.bytes -= size
	q.b.held.Add(-size)
}

// dispatch hands out what it can. The lock is held.
func (q *queue) dispatch() {
	for q.waiting() > 0 && len(q.subs) > 0 {
		m := q.msgs[q.head]
		if m.expires > 0 && m.expired(q.b.o.Now()) {
			q.gone(m)
		} else if !q.offer(m) {
			return
		}
		q.msgs[q.head] = nil
		q.head++
	}
}

// offer gives m to the next subscription that has room.
func (q *queue) offer(m *message) bool {
	for i := range q.subs {
		at := (q.next + i) % len(q.subs)
		c := q.subs[at]
		if c.ack != frame.AckAuto && len(c.unacked) >= c.prefetch || !c.s.deliver(c, m, nil, true) {
			continue
		}
		if c.ack == frame.AckAuto {
			q.gone(m)
		} else {
			c.unacked = append(c.unacked, m)
		}
		q.next = (at + 1) % len(q.subs)
		return true
	}
	return false
}

// settle ends the message (with cumulative also those given out before it) and
// reports false if c has no such message.
func (q *queue) settle(c *subscription, id uint64, cumulative bool) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	at := slices.IndexFunc(c.unacked, func(m *message) bool { return m.id == id })
	if at < 0 {
		return false
	}
	from := at
	if cumulative {
		from = 0
	}
	for _, m := range c.unacked[from : at+1] {
		q.gone(m)
	}
	c.unacked = slices.Delete(c.unacked, from, at+1)
	q.dispatch()
	return true
}

// leave takes the subscription off; what it has not acknowledged goes back to
// the head, marked as redelivered.
func (q *queue) leave(c *subscription) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.subs = slices.DeleteFunc(q.subs, func(x *subscription) bool { return x == c })
	if q.next >= len(q.subs) {
		q.next = 0
	}
	for _, m := range c.unacked {
		m.redelivered = true
	}
	if len(c.unacked) > 0 {
		q.msgs = slices.Concat(c.unacked, q.msgs[q.head:])
		q.head = 0
		c.unacked = nil
	}
	q.dispatch()
}

// sweep drops what has expired and reports whether nobody needs the queue.
func (q *queue) sweep(now time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.msgs = slices.DeleteFunc(q.msgs[q.head:], func(m *message) bool {
		old := m.expired(now)
		if old {
			q.gone(m)
		}
		return old
	})
	q.head = 0
	if cap(q.msgs) > 1024 && len(q.msgs) < cap(q.msgs)/4 {
		q.msgs = slices.Clone(q.msgs)
	}
	q.dead = len(q.msgs) == 0 && len(q.subs) == 0 && q.bytes == 0
	return q.dead
}
