package manager

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/amq/broker"
	"github.com/epic-swf/testbed/control"
)

var long = flag.Bool("long", false, "repeat the starts of two managers 200 times")

// rounds is how often two managers are started against each other.
func rounds() int {
	if *long {
		return 200
	}
	return 20
}

// bus is a broker that hosts can be cut off from.
type bus struct {
	t    *testing.T
	addr string
}

func newBus(t *testing.T) *bus {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = broker.New(broker.Options{}).Serve(ctx, ln) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return &bus{t, ln.Addr().String()}
}

// claimant is a manager as far as its tenure goes: it takes what comes through
// the control queue of its user while it is in charge.
type claimant struct {
	*tenure
	conn    *amq.Conn
	user    string
	gone    chan control.Announcement // gets who it gave way to
	took    chan string
	end     func()
	topics  *amq.Subscription
	control *amq.Subscription
}

// claimantOptions: the zero value is a claimant with no key and a true clock.
type claimantOptions struct {
	user  string
	key   control.Key
	skew  time.Duration
	addr  string // default the broker's own
	alone time.Duration
}

// skewedID is a tenure of a host whose clock is wrong by skew.
func skewedID(skew time.Duration) string {
	id := uuid.Must(uuid.NewV7())
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(time.Now().Add(skew).UnixMilli()))
	copy(id[:6], ms[2:])
	return id.String()
}

func (b *bus) claimant(o claimantOptions) *claimant {
	b.t.Helper()
	if o.addr == "" {
		o.addr = b.addr
	}
	if o.alone == 0 {
		o.alone = 100 * time.Millisecond
	}
	c := &claimant{user: o.user, gone: make(chan control.Announcement, 1), took: make(chan string, 1024),
		conn: amq.New(amq.Options{Addr: o.addr, BackoffMin: 5 * time.Millisecond, BackoffMax: 20 * time.Millisecond})}
	instance := control.NewID()
	c.tenure = newTenure(tenureOptions{bus: c.conn, topic: control.ManagersTopic(o.user), instance: instance, host: "host of " + instance,
		ring: o.key.Ring, settle: o.alone, newID: func() string { return skewedID(o.skew) },
		lost: func(a control.Announcement) { c.gone <- a }, won: func() {}, log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = c.conn.Run(ctx) })
	wg.Go(func() { c.run(ctx) })
	c.topics = c.conn.Subscribe(c.o.topic, amq.SubscribeOptions{OnSubscribed: func() { c.renew("topic") }}, c.hear)
	c.control = c.conn.Subscribe("/queue/"+o.user, amq.SubscribeOptions{OnSubscribed: func() { c.renew("control") }}, c.inCharge(func(_ context.Context, d *amq.Delivery) {
		_ = d.Ack()
		c.took <- string(d.Body)
	}))
	c.end = sync.OnceFunc(func() { cancel(); wg.Wait() })
	b.t.Cleanup(c.end)
	return c
}

// leaves has the claimant end as a manager that gave way does.
func (c *claimant) leaves() {
	c.control.Close()
	c.farewell(context.Background(), []string{"left"})
	c.end()
}

// decide waits until all but one of the claimants have given way, and returns
// the one.
func decide(t *testing.T, all []*claimant) *claimant {
	t.Helper()
	left := slices.Clone(all)
	for len(left) > 1 {
		var i int
		found := func() bool {
			i = slices.IndexFunc(left, func(c *claimant) bool { return len(c.gone) > 0 })
			return i >= 0
		}
		await(t, found)
		left[i].leaves()
		left = slices.Delete(left, i, i+1)
	}
	stays(t, left[0])
	return left[0]
}

// patience is how long a test waits for what must come; no verdict on speed.
const patience = 90 * time.Second

// stays proves that the claimant is in charge: it takes a command, the topic
// has come back to it after that, and it has not given way.
func stays(t *testing.T, c *claimant) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if !c.charge(ctx) {
		t.Fatal("the last one is not in charge")
	}
	token := control.NewID()
	if err := c.conn.Publish(ctx, amq.Message{Destination: "/queue/" + c.user, Body: []byte(token)}); err != nil {
		t.Fatal(err)
	}
	for {
		select {
		case got := <-c.took:
			if got == token {
				return
			}
		case a := <-c.gone:
			t.Fatalf("the last one gave way to %+v", a)
		case <-ctx.Done():
			t.Fatal("the last one takes nothing")
		}
	}
}

// Two managers that start at once, with clocks that agree or are an hour
// apart, and three: exactly one stays, never none.
func TestOneOfThoseThatStartAtOnceStays(t *testing.T) {
	t.Parallel()
	b := newBus(t)
	for name, skews := range map[string][]time.Duration{
		"two": {0, 0}, "an hour apart": {-time.Hour, 0}, "three": {0, time.Hour, -time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			for round := range rounds() {
				key := control.NewKey()
				user := fmt.Sprintf("u%d.%d", len(name), round)
				all := make([]*claimant, len(skews))
				for i, skew := range skews {
					all[i] = b.claimant(claimantOptions{user: user, key: key, skew: skew})
				}
				decide(t, all).end()
			}
		})
	}
}

// What reached one that then gives way is not lost: it was held, and goes to
// the one in charge.
func TestWhatIsHeldGoesToWhoIsInCharge(t *testing.T) {
	t.Parallel()
	b := newBus(t)
	key := control.NewKey()
	first := b.claimant(claimantOptions{user: "ann", key: key})
	stays(t, first)
	second := b.claimant(claimantOptions{user: "ann", key: control.NewKey(), alone: time.Hour}) // deaf to the first, and never in charge
	<-second.control.Ready()
	const messages = 20
	for i := range messages {
		if err := first.conn.Publish(t.Context(), amq.Message{Destination: "/queue/ann", Body: fmt.Append(nil, i)}); err != nil {
			t.Fatal(err)
		}
	}
	await(t, func() bool { return len(first.took) == messages-1 }) // the second holds one
	second.yield(control.Announcement{})
	second.leaves()
	await(t, func() bool { return len(first.took) == messages })
}

// One that is in charge stays, also where a clock that is an hour slow gives
// the newcomer the smaller tenure.
func TestWhoIsInChargeStays(t *testing.T) {
	t.Parallel()
	b := newBus(t)
	for _, skew := range []time.Duration{0, -time.Hour} {
		key := control.NewKey()
		first := b.claimant(claimantOptions{user: "u" + fmt.Sprint(skew.Hours()), key: key})
		stays(t, first)
		second := b.claimant(claimantOptions{user: first.user, key: key, skew: skew})
		a := <-second.gone
		if a.Instance != first.claim.Instance || !a.InCharge {
			t.Errorf("gave way to %+v", a)
		}
		second.leaves()
		stays(t, first)
		await(t, func() bool { p := first.conflict(); return p != nil && p.Programs[0] == "left" })
	}
}

// One that a ping told of the manager in charge, before it announced itself,
// is heard by that one all the same.
func TestLastWordsOfOneThatNeverAnnouncedItself(t *testing.T) {
	t.Parallel()
	b := newBus(t)
	first := b.claimant(claimantOptions{user: "ann", key: control.NewKey()})
	stays(t, first)
	o := first.o
	o.instance, o.bus = control.NewID(), first.conn
	o.lost = func(control.Announcement) {}
	second := newTenure(o)
	second.yield(control.Announcement{Instance: first.claim.Instance})
	second.farewell(context.Background(), []string{"left"})
	await(t, func() bool { p := first.conflict(); return p != nil && p.Programs[0] == "left" })
}

// await polls: what is waited for comes from a broker, and says nothing.
func await(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); {
		if time.Now().After(deadline) {
			t.Fatal("it does not come")
		}
		pause(t.Context(), time.Millisecond)
	}
}

// One that is cut off stays in charge of its own host, and another comes to be
// in charge elsewhere. Once the two hear each other exactly one stays, whether
// the connection outlived the cut or not.
func TestPartitionHeals(t *testing.T) {
	t.Parallel()
	b := newBus(t)
	for round := range rounds() {
		link := newGate(t, b.addr)
		key, user := control.NewKey(), fmt.Sprintf("p%d", round)
		skew := []time.Duration{0, time.Hour, -time.Hour}[round%3]
		far := b.claimant(claimantOptions{user: user, key: key, skew: skew, addr: link.addr()})
		stays(t, far)
		link.stop()
		near := b.claimant(claimantOptions{user: user, key: key})
		if !near.charge(t.Context()) {
			t.Fatal("nobody is in charge where the other cannot be heard")
		}
		near.say()
		far.say()
		link.heal(round%2 == 0)
		decide(t, []*claimant{near, far}).end()
	}
}

// What was forged or said before does not make a live manager give way.
func TestAttack25ForgeriesAndReplaysUnseatNobody(t *testing.T) {
	b := newBus(t)
	key := control.NewKey()
	const user = "ann"
	var heard [][2]string // of an earlier pair: what the winner said, with its signature
	ears := amq.New(amq.Options{Addr: b.addr})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = ears.Run(ctx) })
	defer func() { cancel(); wg.Wait() }()
	var mu sync.Mutex
	recording := true
	sub := ears.Subscribe(control.ManagersTopic(user), amq.SubscribeOptions{}, func(_ context.Context, d *amq.Delivery) {
		mu.Lock()
		defer mu.Unlock()
		if recording {
			heard = append(heard, [2]string{string(d.Body), d.Headers[control.SignatureHeader]})
		}
	})
	<-sub.Ready()
	decide(t, []*claimant{b.claimant(claimantOptions{user: user, key: key, skew: -time.Hour}), b.claimant(claimantOptions{user: user, key: key})}).end()
	mu.Lock()
	recording = false
	mu.Unlock()

	live := b.claimant(claimantOptions{user: user, key: key})
	stays(t, live)
	say := func(body []byte, signature string) {
		m := amq.Message{Destination: control.ManagersTopic(user), Body: body, Headers: map[string]string{}}
		if signature != "" {
			m.Headers[control.SignatureHeader] = signature
		}
		if err := ears.Publish(ctx, m); err != nil {
			t.Fatal(err)
		}
	}
	if len(heard) == 0 {
		t.Fatal("nothing was heard")
	}
	for _, h := range heard {
		say([]byte(h[0]), h[1])
	}
	live.mu.Lock()
	forged := control.Announcement{Tenure: skewedID(-24 * time.Hour), Instance: "forged", InCharge: true, Over: []string{live.claim.Tenure}}
	live.mu.Unlock()
	body, err := forged.Encode()
	if err != nil {
		t.Fatal(err)
	}
	say(body, "")
	say(body, control.NewKey().Sign(control.DomainAnnounce, body))
	say(body, key.Sign(control.DomainReply, body))
	say([]byte("{}"), key.Sign(control.DomainAnnounce, []byte("{}")))
	await(t, func() bool { live.mu.Lock(); defer live.mu.Unlock(); return live.refused == 4 })
	stays(t, live)
	say(body, key.Sign(control.DomainAnnounce, body)) // the very thing, signed: this is what gives it up
	<-live.gone
}

// Without a key announcements are as good as commands: from anybody.
func TestWithoutAKey(t *testing.T) {
	b := newBus(t)
	decide(t, []*claimant{b.claimant(claimantOptions{user: "ann"}), b.claimant(claimantOptions{user: "ann"})})
}
