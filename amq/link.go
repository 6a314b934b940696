package amq

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/go-stomp/stomp/v3"
	"github.com/go-stomp/stomp/v3/frame"
)

const (
	dialTimeout    = 3 * time.Second
	connectTimeout = 5 * time.Second // for TLS and for CONNECT; a hung broker would hold us for ever
	farewell       = time.Second
	// queueLength is go-stomp's queue of frames to write. It is longer than the
	// number of publications let in, so handing one over never blocks.
	queueLength = 64
	inFlight    = 32
)

var (
	errLinkDown = errors.New("the connection is closed")
	errOnItsWay = errors.New("the message is on its way")
)

// link is one STOMP connection from its CONNECTED frame to its end.
type link struct {
	w     *wire
	stomp *stomp.Conn
	slots chan struct{}  // publications let in
	lost  chan struct{}  // closed if go-stomp's loop ended without taking every request
	pumps sync.WaitGroup // one goroutine per subscription

	mu     sync.Mutex // orders what is handed to go-stomp
	closed bool
	subs   map[*Subscription]string // id of each on this link
	nextID int
}

// dial connects, secures and introduces us. The caller owns the link and must
// end it with close.
func dial(ctx context.Context, o *Options, clientID string) (*link, error) {
	d := net.Dialer{Timeout: dialTimeout}
	nc, err := d.DialContext(ctx, "tcp", o.Addr)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	base := nc
	stop := context.AfterFunc(ctx, func() { _ = base.Close() })
	defer stop()
	if o.TLS != nil {
		tc := tls.Client(nc, o.TLS)
		if err := tc.HandshakeContext(ctx); err != nil {
			_ = nc.Close()
			return nil, fmt.Errorf("TLS: %w", err)
		}
		nc = tc
	}
	w := newWire(nc, min(o.HeartBeat*9/4, 2*o.HeartBeat+dialTimeout))
	c, err := stomp.ConnectWithContext(ctx, w, connectOptions(o, clientID)...)
	if !stop() {
		err = ctx.Err() // struck just now, perhaps after CONNECTED
	}
	if err != nil {
		w.fail(err)
		w.release()
		return nil, explain(err)
	}
	return &link{w: w, stomp: c, slots: make(chan struct{}, inFlight), lost: make(chan struct{}), subs: make(map[*Subscription]string)}, nil
}

func connectOptions(o *Options, clientID string) []func(*stomp.Conn) error {
	opts := []func(*stomp.Conn) error{
		stomp.ConnOpt.Host(o.Host),
		stomp.ConnOpt.HeartBeat(o.HeartBeat, o.HeartBeat),
		// ActiveMQ beats at up to twice the interval. The wire judges the
		// silence; go-stomp's own clock must only never strike first.
		stomp.ConnOpt.HeartBeatGracePeriodMultiplier(2),
		stomp.ConnOpt.WriteChannelCapacity(queueLength),
		stomp.ConnOpt.Logger(quiet{}),
	}
	if o.Login != "" || o.Passcode != "" {
		opts = append(opts, stomp.ConnOpt.Login(o.Login, o.Passcode))
	}
	if clientID != "" {
		opts = append(opts, stomp.ConnOpt.Header("client-id", clientID))
	}
	return opts
}

// explain turns go-stomp's handshake errors into words.
func explain(err error) error {
	var se stomp.Error
	var sp *stomp.Error
	switch {
	case errors.As(err, &sp):
		return errors.New("the broker refused us: " + printable(sp.Message))
	case errors.As(err, &se):
		return errors.New("the broker refused us: " + printable(se.Message))
	}
	return err
}

// hand gives one frame to go-stomp and books it. done may be nil.
func (l *link) hand(done chan<- error, give func() error) error {
	if l.closed {
		return errLinkDown
	}
	l.w.expect(done)
	if err := give(); err != nil {
		l.w.unexpect()
		l.w.fail(err)
		return err
	}
	return nil
}

// publish returns when the kernel has taken the whole frame. An error other
// than errOnItsWay, which is there when ctx ends while the frame is written,
// means that the broker cannot have had the whole frame.
func (l *link) publish(ctx context.Context, m *Message) error {
	select {
	case l.slots <- struct{}{}:
	case <-l.w.dead:
		return l.w.cause()
	case <-ctx.Done():
		return ctx.Err()
	}
	done := make(chan error, 1)
	l.mu.Lock()
	err := l.hand(done, func() error {
		return l.stomp.Send(m.Destination, "", m.Body, stomp.SendOpt.NoContentLength, func(f *frame.Frame) error {
			f.Header.Set("destination-type", routing(m.Destination))
			for k, v := range m.Headers {
				f.Header.Set(k, v)
			}
			return nil
		})
	})
	l.mu.Unlock()
	if err != nil {
		<-l.slots
		return err
	}
	select {
	case err := <-done:
		<-l.slots
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-done: // what is known already counts more than the end of ctx
		<-l.slots
		return err
	default:
		go func() { <-done; <-l.slots }() // at most writeTimeout: the wire settles every frame
		return fmt.Errorf("%w: %w", errOnItsWay, ctx.Err())
	}
}

// subscribe puts s on this link and starts its pump.
func (l *link) subscribe(s *Subscription) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.nextID++
	id := "s" + strconv.Itoa(l.nextID)
	mode := stomp.AckClientIndividual
	if s.auto() {
		mode = stomp.AckAuto
	}
	written := make(chan error, 1)
	var sub *stomp.Subscription
	err := l.hand(written, func() (err error) {
		sub, err = l.stomp.Subscribe(s.destination, mode, stomp.SubscribeOpt.Id(id), func(f *frame.Frame) error {
			f.Header.Set("subscription-type", routing(s.destination))
			for k, v := range s.headers() {
				f.Header.Set(k, v)
			}
			return nil
		})
		return err
	})
	if err != nil {
		return err
	}
	l.subs[s] = id
	l.pumps.Add(1)
	go l.pump(s, sub, written)
	return nil
}

// pump hands frames over at once: go-stomp stalls the whole connection, the
// heart-beats with it, behind one subscription that is not read. It ends when
// go-stomp closes C, which the wire guarantees.
func (l *link) pump(s *Subscription, sub *stomp.Subscription, written <-chan error) {
	defer l.pumps.Done()
	if <-written == nil {
		s.inbox.put(nil) // stands for "subscribed"
	}
	for {
		select {
		case m, ok := <-sub.C:
			if !ok {
				return
			}
			if m.Err == nil {
				s.take(l, m)
			}
		case <-l.lost:
			return
		}
	}
}

// unsubscribe sends UNSUBSCRIBE. go-stomp's own Unsubscribe can block for its
// full time-out and leak; its option function lets us send the frame alone.
func (l *link) unsubscribe(s *Subscription) {
	l.mu.Lock()
	defer l.mu.Unlock()
	id, ok := l.subs[s]
	if !ok {
		return
	}
	delete(l.subs, s)
	_ = l.hand(nil, func() error {
		return l.stomp.Send("", "", nil, func(f *frame.Frame) error {
			f.Command, f.Header = frame.UNSUBSCRIBE, frame.NewHeader(frame.Id, id)
			return nil
		})
	})
}

// ack is for Delivery.Ack: what the broker would not understand is not sent.
func (l *link) ack(d *Delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.subs[d.sub]; !ok || l.closed {
		return
	}
	// Where this fails the link ends, and the message comes again over the next.
	_ = l.hand(nil, func() error { return l.stomp.Ack(d.raw) })
}

// alive says whether nothing has gone wrong yet.
func (l *link) alive() bool {
	select {
	case <-l.w.dead:
		return false
	default:
		return true
	}
}

// close ends the link and returns when no goroutine of it is left. What was
// handed over before is written first, if the broker still listens.
func (l *link) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	flushed := l.w.flushed()
	t := time.NewTimer(farewell)
	defer t.Stop()
	select {
	case <-flushed:
		l.w.disconnect(farewell)
	case <-l.w.dead:
	case <-t.C:
	}
	l.w.fail(errClosing)
	select {
	case <-flushed: // go-stomp's loop has taken every request
	case <-l.w.closed: // or ended by itself, and requests with it
		close(l.lost)
		l.w.settle(queueLength*2, errLinkDown)
	}
	l.w.release()
	l.pumps.Wait()
	<-l.w.closed
}

// quiet is a go-stomp logger that says nothing.
type quiet struct{}

func (quiet) Debugf(string, ...any)   {}
func (quiet) Infof(string, ...any)    {}
func (quiet) Warningf(string, ...any) {}
func (quiet) Errorf(string, ...any)   {}
func (quiet) Debug(string)            {}
func (quiet) Info(string)             {}
func (quiet) Warning(string)          {}
func (quiet) Error(string)            {}
