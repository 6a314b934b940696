package manager

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

// tenure keeps one manager of a user in charge where two hosts run one each
// (design, rule 15; docs/protocol.md tells it to people). Each announces its
// claim on a topic and gives way to a better one that names it. It is no
// consensus: where two cannot hear each other both are in charge, each on its
// own host, until they can.
//
// Why never none: a claim only gets better while a subscription lasts, and one
// gives way only to a better claim that was made after its own; of those that
// hear each other the best has nobody to give way to. Safe for concurrent use.
type tenure struct {
	o    tenureOptions
	wake chan struct{} // announce now

	mu      sync.Mutex
	changed chan struct{} // closed and replaced when charge is taken, lost or in doubt
	claim   control.Announcement
	links   []string  // the subscriptions that share this claim
	began   time.Time // the claim
	echoed  time.Time // when the first of it came back from the topic: we hear others
	rival   *control.Announcement
	parted  *control.Announcement // the last words of one that gave way to us
	silent  bool
	refused int
}

type tenureOptions struct {
	bus      *amq.Conn
	topic    string
	instance string
	host     string
	pid      int
	ring     func() control.Ring // zero: announcements are not signed, and anybody's are believed
	settle   time.Duration       // how long a claim is open before charge is taken
	newID    func() string       // of tenures
	lost     func(rival control.Announcement)
	won      func() // another said its last words
	log      *slog.Logger
}

// settleTime is how long a manager listens for another before it takes
// commands. They wait in its hands meanwhile, or in the broker's.
const settleTime = time.Second

// What else is timed, in parts of the settling time.
const (
	deafAfter  = 5   // times: charge is taken although nothing comes back from the topic
	repeatPart = 10  // of it, at most: a claim that has not come back is announced again
	gapPart    = 100 // of it: between two announcements, whatever comes in
)

func newTenure(o tenureOptions) *tenure {
	return &tenure{o: o, wake: make(chan struct{}, 1), changed: make(chan struct{}),
		claim: control.Announcement{Instance: o.instance, Host: o.host, PID: o.pid}}
}

// renew begins a new claim when the subscription of that name was made anew:
// while it was not there another may have come. Subscriptions made over one
// connection share a claim. It is called before anything that they deliver.
func (t *tenure) renew(link string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.claim.Tenure != "" && !slices.Contains(t.links, link) {
		t.links = append(t.links, link)
		return
	}
	t.links = []string{link}
	t.claim.Tenure, t.claim.InCharge, t.claim.Over = t.o.newID(), false, nil
	t.began, t.echoed = time.Now(), time.Time{}
	t.stir()
	t.say()
}

// say announces the claim soon; many wishes make one.
func (t *tenure) say() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// run announces and takes charge when the time has come, until ctx ends.
func (t *tenure) run(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case <-t.due():
			t.say()
		case <-t.wake:
			t.publish(ctx)
			pause(ctx, t.o.settle/gapPart)
		case <-ctx.Done():
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// due takes charge if it is time to, and says when to announce again without
// being asked to: at the end of the settling time, and before it until we hear
// ourselves.
func (t *tenure) due() <-chan time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	switch {
	case t.claim.Tenure == "" || t.claim.InCharge || t.rival != nil:
		return nil
	case t.echoed.IsZero() && (now.Sub(t.began) < deafAfter*t.o.settle || !t.o.bus.Up()):
		return time.After(min(now.Sub(t.began), t.o.settle/repeatPart)) // the first may have been quicker than the subscription
	case t.echoed.IsZero():
		t.o.log.Warn("our own announcement does not come back: another manager of this user would not be heard", "topic", t.o.topic)
	case now.Sub(t.echoed) < t.o.settle:
		return time.After(t.o.settle - now.Sub(t.echoed))
	}
	t.claim.InCharge = true
	t.stir()
	t.say()
	return nil
}

// publish sends the claim as it is now, or not at all: one that waited for a
// connection would speak of what was.
func (t *tenure) publish(ctx context.Context) {
	t.mu.Lock()
	claim := t.claim
	mute := claim.Tenure == "" || t.rival != nil || t.silent
	t.mu.Unlock()
	if mute || !t.o.bus.Up() {
		return
	}
	t.send(ctx, &claim)
}

func (t *tenure) send(ctx context.Context, a *control.Announcement) {
	body, err := a.Encode()
	if err != nil {
		t.o.log.Error("announcement cannot be encoded", "err", err)
		return
	}
	// No "expires": a clock that is an hour slow would have it expire on its way.
	m := amq.Message{Destination: t.o.topic, Body: body, Once: true, Headers: map[string]string{"persistent": "false"}}
	if ring := t.o.ring(); !ring.IsZero() {
		m.Headers[control.SignatureHeader] = ring.Sign(control.DomainAnnounce, body)
	}
	ctx, cancel := context.WithTimeout(ctx, t.o.settle)
	defer cancel()
	if err := t.o.bus.Publish(ctx, m); err != nil {
		t.o.log.Debug("announcement not sent", "err", err)
	}
}

// hear is the handler of the topic.
func (t *tenure) hear(_ context.Context, d *amq.Delivery) {
	a, err := t.open(d)
	if err != nil {
		t.refuse(err)
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case a.Instance == t.o.instance:
		if a.Tenure == t.claim.Tenure && t.echoed.IsZero() {
			t.echoed = time.Now()
			t.stir()
			t.say()
		}
	case a.Leaving:
		if a.To == t.o.instance {
			t.parted = &a
			t.o.won()
			t.o.log.Warn("another agent manager of this user has given way to this one", "host", a.Host, "pid", a.PID, "programs_left", a.Programs)
		}
	case t.claim.Tenure == "" || t.rival != nil:
	case !a.Before(&t.claim):
		t.goOver(a.Tenure)
		t.say()
	case a.GoesOver(t.claim.Tenure):
		t.give(a)
	default: // it may be a replay of one that is gone: let it name us
		t.say()
	}
}

// open reads an announcement and verifies it where there is a key.
func (t *tenure) open(d *amq.Delivery) (control.Announcement, error) {
	if ring := t.o.ring(); !ring.IsZero() {
		if err := ring.Verify(control.DomainAnnounce, d.Headers[control.SignatureHeader], d.Body); err != nil {
			return control.Announcement{}, err
		}
	}
	return control.DecodeAnnouncement(d.Body)
}

// refuse notes a forged announcement, or one of a manager with another key,
// which must be told: the two would never give way to each other.
func (t *tenure) refuse(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.refused++; t.refused&(t.refused-1) == 0 { // 1, 2, 4, 8 …: a flood must not flood the log
		t.o.log.Warn("refused an announcement: forged, or of a manager of this user that has another control key", "audit", true,
			"reason", swf.AsError(err).Message, "refused", t.refused)
	}
}

// goOver names a tenure that ours goes before. t.mu is held.
func (t *tenure) goOver(other string) {
	over := slices.DeleteFunc(slices.Clone(t.claim.Over), func(o string) bool { return o == other })
	over = append(over, other)
	t.claim.Over = over[max(0, len(over)-control.MaxOver):]
}

// give gives way for good. t.mu is held.
func (t *tenure) give(rival control.Announcement) {
	t.rival, t.claim.InCharge = &rival, false
	t.stir()
	t.o.lost(rival)
}

// yield gives way to a manager that answered a ping, unless we are in charge
// already: then it is the one to give way, if it can hear us.
func (t *tenure) yield(rival control.Announcement) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.claim.InCharge && t.rival == nil {
		t.give(rival)
	}
}

// stir wakes those who wait for a change. t.mu is held.
func (t *tenure) stir() {
	close(t.changed)
	t.changed = make(chan struct{})
}

// until waits until ok holds; false means that ctx ended or that we gave way.
func (t *tenure) until(ctx context.Context, ok func() bool) bool {
	for {
		t.mu.Lock()
		good, gone, changed := ok(), t.rival != nil, t.changed
		t.mu.Unlock()
		if gone || good {
			return good && !gone
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// heardItself waits until announcements come back to us, or it is too late to
// wait for them.
func (t *tenure) heardItself(ctx context.Context) bool {
	return t.until(ctx, func() bool { return t.claim.InCharge || !t.echoed.IsZero() })
}

// charge waits until this manager is in charge.
func (t *tenure) charge(ctx context.Context) bool {
	return t.until(ctx, func() bool { return t.claim.InCharge })
}

// inCharge holds what comes in back while it is open who is in charge. What is
// held when another turns out to be is not acknowledged: the broker gives it
// to that one.
func (t *tenure) inCharge(h func(context.Context, *amq.Delivery)) func(context.Context, *amq.Delivery) {
	return func(ctx context.Context, d *amq.Delivery) {
		if t.charge(ctx) {
			h(ctx, d)
		}
	}
}

// gaveWayTo returns the manager that this one gave way to, or nil.
func (t *tenure) gaveWayTo() *control.Announcement {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.rival
}

// resign ends the claim of a manager that leaves by itself, and may take a
// while to: nobody must give way to it any more.
func (t *tenure) resign() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.silent = true
}

// farewell says the last words of one that gave way: to whom, and what it left
// running. One that was answered a ping may not have announced anything yet.
func (t *tenure) farewell(ctx context.Context, programs []string) {
	t.mu.Lock()
	last := t.claim
	last.To = t.rival.Instance
	t.mu.Unlock()
	if last.Tenure == "" {
		last.Tenure = t.o.newID()
	}
	last.Over, last.Leaving, last.Programs = nil, true, programs
	t.send(ctx, &last)
}

// conflict returns the last words of one that gave way to us, or nil.
func (t *tenure) conflict() *control.Announcement {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.parted
}
