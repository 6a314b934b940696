package broker

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/go-stomp/stomp/v3/frame"
)

var past = time.Unix(1, 0)

// session is one client: a goroutine that reads and obeys, and one that writes.
type session struct {
	b    *Broker
	conn net.Conn
	in   frameReader
	v    version
	beat time.Duration // how often we must be heard; 0: need not
	hear time.Duration // how long the client may be silent; 0: for ever
	txs  map[string][]*frame.Frame
	held int // bytes of the frames in txs
	wake chan struct{}

	mu      sync.Mutex
	pending []byte    // encoded frames
	closing bool      // nothing more may be added
	starved bool      // a queue waits for pending to shrink
	moved   time.Time // when the client last took something
	subs    map[string]*subscription
}

func newSession(b *Broker, nc net.Conn) *session {
	s := &session{b: b, conn: nc, wake: make(chan struct{}, 1), subs: make(map[string]*subscription)}
	s.in = frameReader{br: bufio.NewReaderSize(s, lineSize), maxBody: b.o.MaxBody, maxHeaders: maxHeaders}
	return s
}

// Read reads from the client within the time that it may be silent.
func (s *session) Read(p []byte) (n int, err error) {
	if s.hear > 0 {
		_ = s.conn.SetReadDeadline(time.Now().Add(s.hear))
	}
	if !s.ending() { // looked at after the deadline was set: whoever ends us sets one in the past
		n, err = s.conn.Read(p)
	}
	if (n == 0 || err != nil) && s.ending() {
		err = net.ErrClosed
	}
	return n, err
}

func (s *session) ending() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
}

// run is the life of the session.
func (s *session) run() {
	defer s.b.depart(s)
	err := s.connect()
	written := make(chan struct{})
	go func() {
		defer close(written)
		s.write()
	}()
	for err == nil {
		var f *frame.Frame
		if f, err = s.in.read(s.v); err == nil {
			err = s.obey(f)
		}
	}
	s.leave()
	s.refuse(err)
	s.finish()
	<-written
	s.linger(err)
	_ = s.conn.Close()
}

// refuse tells the client why it is thrown out, unless it went by itself.
func (s *session) refuse(err error) {
	var p *protocolError
	switch {
	case errors.As(err, &p):
	case errors.Is(err, errTooLarge), errors.Is(err, errMalformed):
		p = &protocolError{text: err.Error()}
	case errors.Is(err, os.ErrDeadlineExceeded):
		p = &protocolError{text: "heart-beat missing"}
	default:
		return
	}
	s.b.o.Log.Info("broker refused a client", "client", s.conn.RemoteAddr().String(), "reason", p.text)
	header := []string{frame.Message, p.text}
	if p.receipt != "" {
		header = append(header, frame.ReceiptId, p.receipt)
	}
	s.send(frame.ERROR, append(header, p.header...)...)
}

// linger reads on for a moment after an ERROR: closing with unread input resets
// the connection, and a reset overtakes the ERROR.
func (s *session) linger(err error) {
	half, ok := s.conn.(interface{ CloseWrite() error })
	if !ok || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || half.CloseWrite() != nil {
		return
	}
	_ = s.conn.SetReadDeadline(time.Now().Add(250 * time.Millisecond))
	_, _ = io.CopyN(io.Discard, s.conn, 1<<20)
}

// finish ends the reader, and lets the writer write what there is within a
// second.
func (s *session) finish() {
	s.mu.Lock()
	if !s.closing {
		s.closing = true
		_ = s.conn.SetWriteDeadline(time.Now().Add(time.Second))
		_ = s.conn.SetReadDeadline(past)
	}
	s.mu.Unlock()
	s.signal()
}

func (s *session) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// send adds a frame of the server.
func (s *session) send(command string, header ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closing {
		n := len(s.pending)
		s.pending = appendFrame(s.pending, s.v, command, "", header...)
		s.added(n)
	}
}

// deliver adds a MESSAGE. tail, if not nil, is m's tail in this version. With
// soft it refuses (and later asks again) while the client is behind. Else false
// asks the sender to go slower, since the client reads but falls behind; one
// too far behind is cut off.
func (s *session) deliver(c *subscription, m *message, tail []byte, soft bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.pending)
	if s.closing {
		return !soft
	}
	if soft && n > softOutbox {
		s.starved = true
		return false
	}
	s.pending = s.appendMessage(s.pending, c, m, tail)
	s.added(n)
	return soft || n < s.b.o.MaxOutbox/2 && s.b.held.Load() < s.b.o.MaxMemory/2 || time.Since(s.moved) > stuckAfter
}

func (s *session) appendMessage(dst []byte, c *subscription, m *message, tail []byte) []byte {
	dst = append(dst, "MESSAGE\n"...)
	if c.id != "" {
		dst = appendHeader(dst, s.v, frame.Subscription, c.id)
	}
	dst = append(append(append(dst, "message-id:"...), s.b.boot...), strconv.FormatUint(m.id, 10)...)
	dst = append(dst, '\n')
	if c.ack != frame.AckAuto && s.v == v12 {
		dst = strconv.AppendUint(append(dst, "ack:"...), c.serial, 10)
		dst = append(strconv.AppendUint(append(dst, '-'), m.id, 10), '\n')
	}
	if m.redelivered {
		dst = append(dst, "redelivered:true\n"...)
	}
	if tail != nil {
		return append(dst, tail...)
	}
	return m.appendTail(dst, s.v)
}

// added books what was appended after before bytes, and cuts off a client that
// is too far behind. The lock is held.
func (s *session) added(before int) {
	held := s.b.held.Add(int64(len(s.pending) - before))
	if len(s.pending) > s.b.o.MaxOutbox || held > s.b.o.MaxMemory && len(s.pending) > softOutbox {
		s.b.o.Log.Warn("broker cut off a client that does not read", "client", s.conn.RemoteAddr().String(), "bytes", len(s.pending))
		s.closing = true
		s.b.held.Add(-int64(len(s.pending)))
		s.pending = nil
		_ = s.conn.SetDeadline(past) // unlike Close it never waits, even under TLS
	}
	if before == 0 || s.closing {
		s.signal()
	}
}

// write writes all that is pending at once, again and again, and beats when
// there is nothing.
func (s *session) write() {
	var beat <-chan time.Time
	if s.beat > 0 {
		t := time.NewTicker(s.beat)
		defer t.Stop()
		beat = t.C
	}
	var spare []byte
	for busy := false; ; {
		select {
		case <-s.wake:
		case <-beat:
			if busy {
				busy = false
				continue
			}
			if s.flush([]byte("\n")) != nil {
				return
			}
		}
		s.mu.Lock()
		batch, closing, starved := s.pending, s.closing, s.starved
		s.pending, s.starved = spare[:0], false
		s.mu.Unlock()
		err := s.flush(batch)
		s.b.held.Add(-int64(len(batch)))
		if closing || err != nil {
			s.mu.Lock()
			s.closing = true
			s.b.held.Add(-int64(len(s.pending)))
			s.pending = nil
			s.mu.Unlock()
			_ = s.conn.SetReadDeadline(past) // ends the reader
			return
		}
		busy = busy || len(batch) > 0
		if spare = batch; cap(spare) > 64<<10 {
			spare = nil
		}
		if starved {
			s.refill()
		}
	}
}

// flush writes in pieces, each within the time-out.
func (s *session) flush(p []byte) error {
	for len(p) > 0 {
		s.mu.Lock()
		if !s.closing { // finish has set its own
			_ = s.conn.SetWriteDeadline(time.Now().Add(s.b.o.WriteTimeout))
		}
		s.mu.Unlock()
		n, err := s.conn.Write(p[:min(len(p), 64<<10)])
		if err != nil {
			return err
		}
		p = p[n:]
		s.mu.Lock()
		s.moved = time.Now()
		s.mu.Unlock()
	}
	return nil
}

// refill asks the queues that had to wait for us.
func (s *session) refill() {
	s.mu.Lock()
	queues := make([]*queue, 0, len(s.subs))
	for _, c := range s.subs {
		if c.q != nil {
			queues = append(queues, c.q)
		}
	}
	s.mu.Unlock()
	for _, q := range queues {
		q.mu.Lock()
		q.dispatch()
		q.mu.Unlock()
	}
}
