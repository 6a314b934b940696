package amq

import (
	"bufio"
	"bytes"
	"errors"
	"net"
	"sync"
	"time"
)

// writeTimeout is how long the broker may take to read what we write.
const writeTimeout = 5 * time.Second

var (
	errClosing = errors.New("connection closed")
	errSilent  = errors.New("the broker fell silent")
)

// wire stands between go-stomp and the network and is the only one to decide
// that a connection is dead.
//
//   - The first error of any kind closes dead.
//   - go-stomp is not told: its writes go on to succeed into the void and its
//     read blocks until release. So its loop is alive to take every request
//     that was already handed to it, which it otherwise loses together with a
//     goroutine each, and only then sees the end of the input.
//   - ERROR frames never reach go-stomp, which answers them by locking itself
//     up now and then; they are the error of dead.
//   - Each frame that go-stomp writes settles the oldest entry of pending.
type wire struct {
	net.Conn
	dead   chan struct{}
	gate   chan struct{} // closed by release
	closed chan struct{} // closed when go-stomp's loop ended
	bye    chan struct{} // closed when the RECEIPT of our DISCONNECT came
	met    bool          // the CONNECTED frame was read
	idle   time.Duration // the longest silence allowed to the broker, once it has promised to beat

	patience time.Duration
	in       sanitizer
	rest     []byte // of the frame being handed to go-stomp

	wmu   sync.Mutex // one writer at a time
	hello []byte     // the CONNECT frame until it is whole
	open  bool       // CONNECT was written

	mu      sync.Mutex
	err     error
	pending []chan<- error // one for each frame handed to go-stomp and not yet written; nil: nobody asks
	drained chan struct{}  // closed when pending becomes empty, if somebody waits

	failOnce, gateOnce, closeOnce, byeOnce sync.Once
}

// newWire fences nc. patience becomes idle if the broker promises to beat.
func newWire(nc net.Conn, patience time.Duration) *wire {
	w := &wire{Conn: nc, patience: patience, dead: make(chan struct{}), gate: make(chan struct{}), closed: make(chan struct{}), bye: make(chan struct{})}
	w.in.br = bufio.NewReaderSize(readerFunc(w.receive), maxHeaderLine)
	return w
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// receive reads from the network, under the deadline that heart-beats imply.
func (w *wire) receive(p []byte) (int, error) {
	if w.met && w.idle > 0 {
		if err := w.Conn.SetReadDeadline(time.Now().Add(w.idle)); err != nil {
			return 0, err
		}
	}
	n, err := w.Conn.Read(p)
	var ne net.Error
	if w.idle > 0 && errors.As(err, &ne) && ne.Timeout() {
		err = errSilent
	}
	return n, err
}

// Read hands go-stomp at most one frame at a time, so that nothing is left in
// its buffer when the end comes.
func (w *wire) Read(p []byte) (int, error) {
	for len(w.rest) == 0 {
		select {
		case <-w.dead:
			return w.end()
		default:
		}
		f, err := w.in.next()
		if err != nil {
			w.fail(err)
			if !w.met {
				return 0, err // go-stomp is still in its handshake
			}
			return w.end()
		}
		switch {
		case !w.met:
			w.met = f.command == "CONNECTED"
			if w.met && f.beats {
				w.idle = w.patience
			}
		case f.command == "ERROR":
			w.fail(errors.New("the broker says: " + printable(f.message)))
			return w.end()
		case f.command == "RECEIPT" && f.receipt == byeReceipt:
			w.byeOnce.Do(func() { close(w.bye) })
			continue
		case f.command == "RECEIPT" && f.receipt == "", f.command == "CONNECTED":
			w.fail(errMalformed)
			return w.end()
		}
		w.rest = f.bytes
	}
	n := copy(p, w.rest)
	w.rest = w.rest[n:]
	return n, nil
}

func (w *wire) end() (int, error) {
	<-w.gate
	return 0, errClosing
}

// Write writes at once; after the first error it only pretends to.
func (w *wire) Write(p []byte) (int, error) {
	w.wmu.Lock()
	defer w.wmu.Unlock()
	n := len(p)
	if !w.open {
		w.hello = append(w.hello, p...)
		if !bytes.HasSuffix(p, []byte{0}) {
			return n, nil
		}
		p, w.hello, w.open = unescapeConnect(w.hello), nil, true
		if err := w.send(p); err != nil {
			return 0, err
		}
		return n, nil
	}
	err := w.send(p)
	w.settle(bytes.Count(p, []byte{0}), err)
	return n, nil
}

// send writes p to the network unless the wire is dead.
func (w *wire) send(p []byte) error {
	select {
	case <-w.dead:
		return w.cause()
	default:
	}
	err := w.Conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	if err == nil {
		_, err = w.Conn.Write(p)
	}
	if err != nil {
		w.fail(err)
	}
	return err
}

// expect books a frame that is about to be handed to go-stomp.
func (w *wire) expect(done chan<- error) {
	w.mu.Lock()
	w.pending = append(w.pending, done)
	w.mu.Unlock()
}

// unexpect takes back the last expect: go-stomp refused the frame.
func (w *wire) unexpect() {
	w.mu.Lock()
	w.pending = w.pending[:len(w.pending)-1]
	w.mu.Unlock()
}

func (w *wire) settle(frames int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for ; frames > 0 && len(w.pending) > 0; frames-- {
		if done := w.pending[0]; done != nil {
			done <- err // has room for it
		}
		w.pending[0] = nil
		w.pending = w.pending[1:]
	}
	if len(w.pending) == 0 && w.drained != nil {
		close(w.drained)
		w.drained = nil
	}
}

// flushed returns a channel that is closed once every booked frame is settled.
// Nobody may book more.
func (w *wire) flushed() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := make(chan struct{})
	if len(w.pending) == 0 {
		close(c)
	} else {
		w.drained = c
	}
	return c
}

func (w *wire) fail(err error) {
	w.failOnce.Do(func() {
		w.mu.Lock()
		w.err = err
		w.mu.Unlock()
		close(w.dead)
		_ = w.Conn.Close() // frees whoever reads or writes
	})
}

// cause is the error that closed dead.
func (w *wire) cause() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// release lets go-stomp see the end of the input.
func (w *wire) release() { w.gateOnce.Do(func() { close(w.gate) }) }

// Close is called by go-stomp at the end of its loop.
func (w *wire) Close() error {
	w.fail(errClosing)
	w.closeOnce.Do(func() { close(w.closed) })
	w.release()
	return nil
}

// SetReadDeadline is called by go-stomp around its handshake only.
func (w *wire) SetReadDeadline(t time.Time) error {
	return w.Conn.SetReadDeadline(t)
}

// byeReceipt is the receipt asked for with our DISCONNECT.
const byeReceipt = "bye"

// disconnect says goodbye and waits a moment for the answer: closing a socket
// with unread input resets it, and a reset can overtake the last ACKs.
func (w *wire) disconnect(patience time.Duration) {
	w.wmu.Lock()
	err := w.send([]byte("DISCONNECT\nreceipt:" + byeReceipt + "\n\n\x00"))
	w.wmu.Unlock()
	if err != nil {
		return
	}
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-w.bye:
	case <-w.dead:
	case <-t.C:
	}
}

// unescapeConnect undoes go-stomp's escaping of the CONNECT frame, which STOMP
// forbids there: a passcode with a colon would be refused.
func unescapeConnect(f []byte) []byte {
	out := make([]byte, 0, len(f))
	for i := 0; i < len(f); i++ {
		if f[i] == '\\' && i+1 < len(f) {
			i++
			if f[i] == 'c' {
				out = append(out, ':')
				continue
			}
		}
		out = append(out, f[i])
	}
	return out
}

// printable makes a broker's text fit for a log line.
func printable(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c < ' ' || c == 0x7f {
			b[i] = ' '
		}
	}
	return string(b[:min(len(b), 300)])
}
