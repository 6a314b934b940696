package control

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/swf"
)

func delivery(t *testing.T, r Reply) *amq.Delivery {
	t.Helper()
	body, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return &amq.Delivery{Message: amq.Message{Body: body}}
}

// The outcome gets through to a caller whose progress has piled up, also while
// that one begins to read.
func TestOutcomePassesPiledUpProgress(t *testing.T) {
	c := NewClient(ClientOptions{})
	final := delivery(t, Reply{CommandID: "a", Kind: Final, Outcome: Succeeded})
	progress := delivery(t, Reply{CommandID: "a", Kind: Progress})
	for range 500 {
		w := &call{replies: make(chan *Reply, 2)}
		c.enter("a", w)
		for range 5 {
			c.receive(context.Background(), progress)
		}
		got := make(chan struct{})
		go func() {
			defer close(got)
			for r := range w.replies {
				if r.Kind == Final {
					return
				}
			}
		}()
		c.receive(context.Background(), final)
		<-got
		c.leave("a", w)
	}
	if len(c.waiting) != 0 {
		t.Errorf("%d calls left", len(c.waiting))
	}
}

// Two calls with one id are told only what is meant for their own command; a
// peer that does not say which it means is heard by both.
func TestRepliesGoToTheirIntent(t *testing.T) {
	c := NewClient(ClientOptions{})
	start, stop := Command{Verb: StartTestbed, ID: "a"}, Command{Verb: StopTestbed, ID: "a"}
	first, second := &call{intent: start.Intent(), replies: make(chan *Reply, 4)}, &call{intent: stop.Intent(), replies: make(chan *Reply, 4)}
	c.enter("a", first)
	c.enter("a", second)
	c.receive(context.Background(), delivery(t, Reply{CommandID: "a", Intent: stop.Intent(), Kind: Final}))
	if got := fmt.Sprint(len(first.replies), len(second.replies)); got != "0 1" {
		t.Errorf("calls heard %s replies, want 0 1", got)
	}
	c.receive(context.Background(), delivery(t, Reply{CommandID: "a", Kind: Progress}))
	if got := fmt.Sprint(len(first.replies), len(second.replies)); got != "1 2" {
		t.Errorf("calls heard %s replies, want 1 2", got)
	}
}

// An outcome with more programs than fit is told without them: the outcome is
// what must arrive.
func TestReplyOfTooManyProgramsIsTold(t *testing.T) {
	r := Reply{CommandID: "a", Kind: Final, Outcome: Succeeded, Programs: make([]swf.Program, 3000)}
	for i := range r.Programs {
		r.Programs[i] = swf.Program{Name: fmt.Sprint("program-", i), State: swf.ProgramRunning, LogFile: "/some/where/logs/program.log"}
	}
	body, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeReply(body)
	if err != nil || got.Outcome != Succeeded || got.Message == "" {
		t.Errorf("%+v, %v", got, err)
	}
}

// A caller asks again at once when the replies' queue has been subscribed anew:
// the outcome may have been lost with the connection.
func TestAskAgainWhenRepliesAreSubscribedAnew(t *testing.T) {
	bus := published(make(chan amq.Message))
	c := NewClient(ClientOptions{Bus: bus})
	cmd := Command{ID: "a", Verb: StartTestbed, Username: "alice", IssuedBy: "alice"}
	cmd.Complete(time.Now())
	w := &call{intent: cmd.Intent(), replies: make(chan *Reply, 4), rejoined: make(chan struct{}, 1)}
	c.enter("a", w)
	got := make(chan Reply)
	go func() {
		r, err := c.exchange(t.Context(), &cmd, []amq.Message{{Body: []byte("a start")}}, w, nil)
		if err != nil {
			t.Error(err)
		}
		got <- r
	}()
	<-bus
	c.receive(t.Context(), delivery(t, Reply{CommandID: "a", Kind: Accepted}))
	c.rejoin() // the first time is none anew: nothing goes out
	if n := len(w.rejoined); n != 0 {
		t.Errorf("the first subscription is taken for another one")
	}
	c.rejoin()
	if again := <-bus; string(again.Body) != "a start" {
		t.Errorf("it published %q", again.Body)
	}
	c.receive(t.Context(), delivery(t, Reply{CommandID: "a", Kind: Final, Outcome: Succeeded}))
	for {
		select {
		case <-bus: // it was silent for a second
		case r := <-got:
			if r.Outcome != Succeeded {
				t.Errorf("%+v", r)
			}
			return
		}
	}
}

// published is a bus on which the test is the only peer.
type published chan amq.Message

func (p published) Publish(_ context.Context, m amq.Message) error {
	p <- m
	return nil
}

func (published) Subscribe(string, amq.SubscribeOptions, func(context.Context, *amq.Delivery)) *amq.Subscription {
	return nil
}

// Where a command may be on its way nobody is told that nothing was sent, and
// an outcome that came when the caller's time ended is told.
func TestOutcomeAndEndOfPatienceAtOnce(t *testing.T) {
	for range 50 { // which of the two a select sees first is chance
		bus := &unsure{}
		c := NewClient(ClientOptions{Bus: bus})
		cmd := Command{ID: "a", Verb: StartTestbed, Username: "alice", IssuedBy: "alice"}
		cmd.Complete(time.Now())
		w := &call{intent: cmd.Intent(), replies: make(chan *Reply, 4), rejoined: make(chan struct{}, 1)}
		c.enter("a", w)
		ctx, cancel := context.WithCancel(t.Context())
		bus.publish = func() {
			c.receive(ctx, delivery(t, Reply{CommandID: "a", Kind: Accepted}))
			c.receive(ctx, delivery(t, Reply{CommandID: "a", Kind: Final, Outcome: Succeeded}))
			cancel()
		}
		if r, err := c.exchange(ctx, &cmd, []amq.Message{{Body: []byte("a start")}}, w, nil); err != nil || r.Outcome != Succeeded {
			t.Fatalf("%+v, %v", r, err)
		}
	}
}

// unsure is a bus that does not know whether it has sent something.
type unsure struct {
	published
	publish func()
}

func (u *unsure) Publish(context.Context, amq.Message) error {
	u.publish()
	return &amq.Error{Code: amq.CodeUncertain}
}
