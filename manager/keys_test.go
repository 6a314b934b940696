package manager

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

// keyed is a bench whose manager and whose client follow a key file each, as
// on two hosts.
type keyed struct {
	*bench
	manager, server control.KeyFile
	client          *control.Client
}

func newKeyed(t *testing.T) *keyed {
	b := newBench(t)
	k := &keyed{bench: b, manager: control.KeyFile{Path: filepath.Join(b.dir, "manager.key")}, server: control.KeyFile{Path: filepath.Join(b.dir, "server.key")}}
	k.write(&k.manager, b.key.Ring())
	k.write(&k.server, b.key.Ring())
	b.keys = k.manager.Ring
	conn := amq.New(b.broker)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = conn.Run(ctx) })
	k.client = control.NewClient(control.ClientOptions{Bus: conn, Keys: func(string) control.Ring { return k.server.Ring() }, Source: "test"})
	t.Cleanup(func() { k.client.Close(); cancel(); wg.Wait() })
	b.manager()
	return k
}

func (k *keyed) write(f *control.KeyFile, r control.Ring) {
	k.t.Helper()
	if err := control.WriteRing(f.Path, r); err != nil {
		k.t.Fatal(err)
	}
}

func (k *keyed) ask(cmd control.Command) (control.Reply, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd.Username, cmd.IssuedBy = "ann", "ann"
	return k.client.Ask(ctx, cmd, nil)
}

// TestRotationUnderLoad changes the key again and again while commands come,
// on the manager's side first or, against the rule, on the server's: every one
// of them succeeds.
func TestRotationUnderLoad(t *testing.T) {
	k := newKeyed(t)
	const each = 40
	var wg sync.WaitGroup
	var asked, refused atomic.Int64
	done := make(chan struct{})
	for _, verb := range []control.Verb{control.StopTestbed, control.Status, control.Ping, control.Status} {
		wg.Go(func() {
			for n := 0; n < each; n++ {
				r, err := k.ask(control.Command{Verb: verb})
				if asked.Add(1); err != nil || r.Outcome != control.Succeeded {
					refused.Add(1)
					t.Errorf("%s: %s %+v, %v", verb, r.Outcome, r.Error, err)
				}
			}
		})
	}
	go func() { wg.Wait(); close(done) }()
	ring, rotations := k.key.Ring(), 0
	for last := int64(0); ; {
		select {
		case <-done:
			t.Logf("%d commands over %d rotations: %d refused", asked.Load(), rotations, refused.Load())
			if rotations == 0 {
				t.Error("the key was never rotated")
			}
			return
		case <-time.After(5 * time.Millisecond):
		}
		if asked.Load() < last+8 { // let commands come in between
			continue
		}
		last = asked.Load()
		ring = ring.With(control.NewKey(), time.Now().Add(control.KeyOverlap))
		first, second := &k.manager, &k.server
		if rotations++; rotations%4 == 0 {
			first, second = second, first
		}
		k.write(first, ring)
		if _, err := k.ask(control.Command{Verb: control.Ping}); err != nil {
			t.Error(err)
		}
		k.write(second, ring)
	}
}

// A key that died is refused, its owner is told so where that is safe, and the
// heartbeat shows it; nothing of it is in the journal.
func TestRefusedKeyIsTold(t *testing.T) {
	k := newKeyed(t)
	next := control.NewKey()
	k.write(&k.manager, k.key.Ring().With(next, time.Now()))
	short := func() context.Context {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		t.Cleanup(cancel)
		return ctx
	}
	if _, err := k.client.Ping(short(), "ann"); !swf.IsCode(err, swf.CodeBadSignature) || swf.AsError(err).Hint == "" {
		t.Errorf("%v", err)
	}
	cmd := control.Command{Verb: control.StopTestbed, ID: "burn-me-not", Username: "ann", IssuedBy: "ann"}
	r, err := k.client.Ask(short(), cmd, nil)
	if err != nil || r.Outcome != control.Pending || r.Error == nil || r.Error.Code != swf.CodeBadSignature {
		t.Errorf("%+v, %v", r, err)
	}
	k.write(&k.server, next.Ring())
	if r, err := k.ask(cmd); err != nil || r.Outcome != control.Succeeded {
		t.Errorf("with the right key: %+v, %v", r, err)
	}
	deadline := time.After(patience)
	for k.monitor.last().Metadata["unknown_keys"] == nil {
		select {
		case <-k.monitor.news:
		case <-deadline:
			t.Fatalf("the heartbeat does not tell: %+v", k.monitor.last())
		}
	}
	if signed := fmt.Sprint(k.monitor.last().Metadata["signed"]); signed != "true" {
		t.Errorf("signed: %s", signed)
	}
}

// A manager that began without a key takes no unsigned command once there is
// one, also from the queue of Python senders.
func TestKeyMadeWhileRunning(t *testing.T) {
	b := newBench(t)
	file := &control.KeyFile{Path: filepath.Join(b.dir, "control.key")}
	b.keys = file.Ring
	key := b.key
	b.key = control.Key{}
	b.manager()
	b.want(b.ask(control.Command{Verb: control.StopTestbed}), control.Succeeded, "")
	if err := control.WriteKey(file.Path, key); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	if _, err := b.client.Ping(ctx, "ann"); !swf.IsCode(err, swf.CodeBadSignature) {
		t.Errorf("an unsigned ping: %v", err)
	}
	b.key = key
	b.want(b.ask(control.Command{Verb: control.StopTestbed}), control.Succeeded, "")
}
