package manager

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/epic-swf/testbed/control"
)

func runExecutor(t *testing.T) (*executor, context.CancelFunc) {
	t.Helper()
	e := newExecutor()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { e.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return e, cancel
}

// blocked is a job that runs until its context ends or it is let go.
func blocked(id string, verb control.Verb) (j *job, running chan struct{}, release chan struct{}, ended chan error) {
	running, release, ended = make(chan struct{}), make(chan struct{}), make(chan error, 1)
	j = &job{id: id, verb: verb, run: func(ctx context.Context) {
		close(running)
		select {
		case <-release:
			ended <- nil
		case <-ctx.Done():
			ended <- context.Cause(ctx)
		}
	}}
	return
}

func TestOnlyStopsWait(t *testing.T) {
	e, _ := runExecutor(t)
	first, running, _, ended := blocked("start", control.StartTestbed)
	if h := e.Offer(first); h != nil {
		t.Fatal("a free executor refused")
	}
	e.Release(first)
	<-running
	for _, verb := range []control.Verb{control.StartTestbed, control.Restart} {
		if h := e.Offer(&job{id: "second", verb: verb}); h != first {
			t.Errorf("%s beside a start: holder %v", verb, h)
		}
	}
	stop, stopping, release, _ := blocked("stop", control.StopTestbed)
	if h := e.Offer(stop); h != nil {
		t.Fatal("a stop was refused")
	}
	e.Release(stop)
	if err := <-ended; !errors.Is(err, errOvertaken) {
		t.Errorf("the start ended with %v", err)
	}
	<-stopping
	another, second, _, _ := blocked("stop2", control.StopTestbed)
	if h := e.Offer(another); h != nil {
		t.Fatal("a second stop must wait")
	}
	e.Release(another)
	close(release)
	<-second
	if e.Holder() != another {
		t.Error("the second stop does not hold the executor")
	}
	e.mu.Lock()
	another.cancel(nil)
	e.mu.Unlock()
}

func TestStopBehindAWaitingStartOvertakesIt(t *testing.T) {
	e := newExecutor()
	start, _, _, ended := blocked("start", control.StartTestbed)
	stop, stopping, release, _ := blocked("stop", control.StopTestbed)
	for _, j := range []*job{start, stop} {
		if h := e.Offer(j); h != nil {
			t.Fatal("refused", j.id)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { e.Run(ctx) })
	e.Release(start)
	e.Release(stop)
	if err := <-ended; !errors.Is(err, errOvertaken) {
		t.Errorf("the start ended with %v", err)
	}
	<-stopping
	close(release)
	cancel()
	wg.Wait()
}

func TestWithdrawnJobNeverRuns(t *testing.T) {
	e := newExecutor()
	j := &job{id: "x", verb: control.StartTestbed}
	if e.Offer(j) != nil {
		t.Fatal("refused")
	}
	e.Withdraw(j)
	if h := e.Offer(&job{id: "y", verb: control.StartTestbed}); h != nil {
		t.Errorf("the place is still taken by %s", h.id)
	}
}

func TestLeavingUndoesAStartAndFinishesAStop(t *testing.T) {
	for verb, want := range map[control.Verb]error{control.StartTestbed: errLeaving, control.StopTestbed: nil} {
		e, cancel := runExecutor(t)
		j, running, release, ended := blocked("j", verb)
		e.Offer(j)
		e.Release(j)
		<-running
		cancel()
		if want == nil {
			close(release)
		}
		if err := <-ended; !errors.Is(err, want) {
			t.Errorf("%s ended with %v", verb, err)
		}
	}
}

// A job that waits for its journal entry must not begin, whatever wakes the
// executor. A stop released between a start's turn and its first step cancels
// that start.
func TestNothingBeginsBeforeItIsReleased(t *testing.T) {
	e := newExecutor()
	start, running, _, _ := blocked("start", control.StartTestbed)
	if e.Offer(start) != nil {
		t.Fatal("a free executor refused")
	}
	if j := e.next(); j != nil {
		t.Fatalf("%s began before it was released", j.id)
	}
	e.Release(start)
	if j := e.next(); j != start {
		t.Fatal("a released job did not begin")
	}
	stop, _, _, _ := blocked("stop", control.StopTestbed)
	if e.Offer(stop) != nil {
		t.Fatal("a stop was refused")
	}
	select {
	case <-running:
		t.Fatal("it ran")
	default:
	}
	e.Release(stop) // start has its turn, but runs not yet
	e.runOne(context.Background(), start)
	if h := e.Holder(); h != nil {
		t.Errorf("held by %v", h)
	}
}

// A stop that was accepted has begun: leaving finishes it, also where it
// waited for the start that it overtook and that left the undoing to it.
func TestLeavingFinishesAWaitingStop(t *testing.T) {
	e := newExecutor()
	ctx, leave := context.WithCancel(context.Background())
	start, running, _, ended := blocked("start", control.StartTestbed)
	stop, stopping, release, _ := blocked("stop", control.StopTestbed)
	close(release)
	e.Offer(start)
	e.Release(start)
	start.run = func(run func(context.Context)) func(context.Context) {
		return func(ctx context.Context) {
			e.Offer(stop)
			e.Release(stop)
			leave()
			run(ctx)
		}
	}(start.run)
	e.Run(ctx)
	<-running
	if err := <-ended; !errors.Is(err, errOvertaken) {
		t.Errorf("the start ended with %v", err)
	}
	select {
	case <-stopping:
	default:
		t.Error("the stop was left to the next manager")
	}
}

// Whoever has heard an outcome may send the next command at once.
func TestOutcomeFreesTheExecutor(t *testing.T) {
	e, _ := runExecutor(t)
	second := &job{id: "second", verb: control.StartTestbed}
	told := make(chan *job, 1)
	first := &job{id: "first", verb: control.StartTestbed, run: func(context.Context) {
		e.Free("first")
		told <- e.Offer(second)
	}}
	ran := make(chan struct{})
	second.run = func(context.Context) { close(ran) }
	e.Offer(first)
	e.Release(first)
	if h := <-told; h != nil {
		t.Fatalf("the next command was refused for %s, which has ended", h.id)
	}
	e.Release(second)
	<-ran
}
