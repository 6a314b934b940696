package broker

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/go-stomp/stomp/v3/frame"
)

// protocolError becomes an ERROR frame; by the specification the connection
// ends with it.
type protocolError struct {
	text    string
	receipt string
	header  []string
}

func (e *protocolError) Error() string { return e.text }

func refusal(format string, args ...any) error {
	return &protocolError{text: fmt.Sprintf(format, args...)}
}

// Limits of open transactions, of one client.
const (
	maxTransactions = 16
	maxHeldFrames   = 1000
	maxHeldBytes    = 1 << 20
)

// connect waits for CONNECT, lets the client in or not and negotiates.
func (s *session) connect() error {
	_ = s.conn.SetDeadline(time.Now().Add(s.b.o.ConnectTimeout))
	f, err := s.in.read(v10)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = refusal("CONNECT did not come in time")
	}
	if err != nil {
		return err
	}
	if f.Command != frame.CONNECT && f.Command != frame.STOMP {
		return refusal("the first frame must be CONNECT")
	}
	h := f.Header
	offered, ok := h.Contains(frame.AcceptVersion)
	if !ok {
		offered = versions[v10]
	}
	best := version(-1)
	for v, name := range versions {
		for o := range strings.SplitSeq(offered, ",") {
			if strings.TrimSpace(o) == name {
				best = version(v)
			}
		}
	}
	if best < 0 {
		return &protocolError{text: "no common version", header: []string{frame.Version, strings.Join(versions[:], ",")}}
	}
	if !s.b.authentic(h.Get(frame.Login), h.Get(frame.Passcode)) {
		return refusal("login or passcode is wrong")
	}
	s.v = best
	reply := []string{frame.Version, versions[s.v], frame.Session, s.b.boot + strconv.FormatUint(s.b.lastID.Add(1), 10), frame.Server, "swf-testbed"}
	if text, ok := h.Contains(frame.HeartBeat); ok && s.v > v10 {
		theirs, ours, err := frame.ParseHeartBeat(text)
		if err != nil {
			return refusal("heart-beat must be two numbers")
		}
		theirs, ours = sane(theirs), sane(ours)
		s.hear, s.beat = 2*theirs, ours/2
		reply = append(reply, frame.HeartBeat, fmt.Sprintf("%d,%d", ours.Milliseconds(), theirs.Milliseconds()))
	}
	_ = s.conn.SetDeadline(time.Time{})
	s.pending = appendFrame(s.pending, v10, frame.CONNECTED, "", reply...) // not escaped in any version
	s.b.held.Add(int64(len(s.pending)))
	s.signal()
	return nil
}

// sane keeps a client from having us beat without end.
func sane(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return min(max(d, 100*time.Millisecond), time.Hour)
}

// obey executes one frame and sends the receipt that it asks for; io.EOF is
// the client's DISCONNECT.
func (s *session) obey(f *frame.Frame) error {
	receipt, asked := f.Header.Contains(frame.Receipt)
	err := s.execute(f)
	if p, ok := err.(*protocolError); ok && asked {
		p.receipt = receipt
	}
	if asked && (err == nil || err == io.EOF) {
		s.send(frame.RECEIPT, frame.ReceiptId, receipt)
	}
	return err
}

func (s *session) execute(f *frame.Frame) error {
	switch f.Command {
	case frame.DISCONNECT:
		return io.EOF
	case frame.BEGIN, frame.COMMIT, frame.ABORT:
		return s.transact(f)
	case frame.SUBSCRIBE:
		return s.subscribe(f)
	case frame.UNSUBSCRIBE:
		return s.unsubscribe(f)
	case frame.SEND, frame.ACK, frame.NACK:
		if tx, ok := f.Header.Contains(frame.Transaction); ok {
			return s.postpone(tx, f)
		}
		return s.now(f)
	}
	return refusal("unexpected %s", f.Command)
}

// now does what a transaction can postpone.
func (s *session) now(f *frame.Frame) error {
	if f.Command != frame.SEND {
		return s.acknowledge(f)
	}
	m := newMessage(s.b.lastID.Add(1), f)
	topic, err := checkDestination(m.destination)
	switch {
	case err != nil:
		return err
	case m.expires > 0 && m.expired(s.b.o.Now()):
	case topic:
		s.b.publish(m)
	default:
		q := s.b.lock(m.destination)
		ok := q.push(m)
		q.mu.Unlock()
		if !ok {
			return refusal("queue %s is full", m.destination)
		}
	}
	return nil
}

// checkDestination refuses what other brokers would give a meaning to.
func checkDestination(d string) (topic bool, err error) {
	name, topic := strings.CutPrefix(d, "/topic/")
	if !topic {
		var queue bool
		if name, queue = strings.CutPrefix(d, "/queue/"); !queue {
			return false, refusal("destination must begin with /queue/ or /topic/")
		}
	}
	if name == "" || len(name) > 255 || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune("*>?,:\\", r) }) {
		return false, refusal("destination name is empty, too long or holds one of the characters *>?,:\\")
	}
	return topic, nil
}

func (s *session) subscribe(f *frame.Frame) error {
	h := f.Header
	c := &subscription{s: s, id: h.Get(frame.Id), name: h.Get(frame.Destination), ack: h.Get(frame.Ack), prefetch: 1000, serial: s.b.lastID.Add(1)}
	topic, err := checkDestination(c.name)
	if err != nil {
		return err
	}
	if _, ok := h.Contains("selector"); ok {
		return refusal("selectors are not supported")
	}
	switch c.ack {
	case "":
		c.ack = frame.AckAuto
	case frame.AckAuto, frame.AckClient, frame.AckClientIndividual:
	default:
		return refusal("ack must be auto, client or client-individual")
	}
	if text, ok := h.Contains("activemq.prefetchSize"); ok {
		if c.prefetch, err = strconv.Atoi(text); err != nil || c.prefetch < 1 || c.prefetch > 1<<16 {
			return refusal("activemq.prefetchSize must be 1 to 65536")
		}
	}
	key := c.id
	if key == "" {
		if s.v > v10 {
			return refusal("SUBSCRIBE needs an id")
		}
		key = c.name
	}
	if s.subs[key] != nil {
		return refusal("subscription %s exists", key)
	}
	if len(s.subs) == maxSubscriptions {
		return refusal("too many subscriptions")
	}
	if topic {
		s.keep(key, c)
		s.b.join(c)
		return nil
	}
	q := s.b.lock(c.name)
	defer q.mu.Unlock()
	c.q = q
	s.keep(key, c)
	q.subs = append(q.subs, c)
	q.dispatch()
	return nil
}

func (s *session) keep(key string, c *subscription) {
	s.mu.Lock()
	s.subs[key] = c
	s.mu.Unlock()
}

func (s *session) unsubscribe(f *frame.Frame) error {
	key := f.Header.Get(frame.Id)
	if key == "" && s.v == v10 {
		key = f.Header.Get(frame.Destination)
	}
	c := s.subs[key]
	if c == nil {
		return refusal("no subscription %s", key)
	}
	s.drop(key, c)
	return nil
}

// drop ends one subscription.
func (s *session) drop(key string, c *subscription) {
	s.mu.Lock()
	delete(s.subs, key)
	s.mu.Unlock()
	if c.q == nil {
		s.b.part(c)
		return
	}
	c.q.leave(c)
	s.b.tidy(c.q)
}

// leave ends all subscriptions.
func (s *session) leave() {
	for key, c := range s.subs {
		s.drop(key, c)
	}
	s.txs = nil
}

// acknowledge executes ACK, and NACK, which here ends a message just the same.
func (s *session) acknowledge(f *frame.Frame) error {
	h := f.Header
	var serial, id uint64
	var err error
	if s.v == v12 {
		a, b, _ := strings.Cut(h.Get(frame.Id), "-")
		if serial, err = strconv.ParseUint(a, 10, 64); err == nil {
			id, err = strconv.ParseUint(b, 10, 64)
		}
	} else {
		text, ours := strings.CutPrefix(h.Get(frame.MessageId), s.b.boot)
		if id, err = strconv.ParseUint(text, 10, 64); !ours {
			err = strconv.ErrSyntax
		}
	}
	for key, c := range s.subs {
		if err != nil {
			break
		}
		named, ok := h.Contains(frame.Subscription)
		switch {
		case s.v == v12 && c.serial != serial, s.v < v12 && ok && named != key:
		case c.q == nil && (ok || s.v == v12): // topics keep nothing
			return nil
		case c.q == nil:
		case c.q.settle(c, id, c.ack == frame.AckClient && f.Command == frame.ACK):
			return nil
		}
	}
	return refusal("unexpected %s: no such message waits for it", f.Command)
}

// transact executes BEGIN, COMMIT and ABORT.
func (s *session) transact(f *frame.Frame) error {
	tx := f.Header.Get(frame.Transaction)
	frames, open := s.txs[tx]
	if f.Command == frame.BEGIN {
		if tx == "" || open || len(s.txs) == maxTransactions {
			return refusal("BEGIN needs a new transaction name, at most %d at once", maxTransactions)
		}
		if s.txs == nil {
			s.txs = make(map[string][]*frame.Frame)
		}
		s.txs[tx] = nil
		return nil
	}
	if !open {
		return refusal("no transaction %s", tx)
	}
	delete(s.txs, tx)
	for _, g := range frames {
		s.held -= frameSize(g)
		if f.Command == frame.COMMIT {
			if err := s.now(g); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *session) postpone(tx string, f *frame.Frame) error {
	frames, open := s.txs[tx]
	if !open {
		return refusal("no transaction %s", tx)
	}
	if s.held += frameSize(f); len(frames) == maxHeldFrames || s.held > maxHeldBytes {
		return refusal("transaction %s is too large", tx)
	}
	s.txs[tx] = append(frames, f)
	return nil
}

func frameSize(f *frame.Frame) int {
	n := len(f.Body)
	for i := range f.Header.Len() {
		k, v := f.Header.GetAt(i)
		n += len(k) + len(v)
	}
	return n
}
