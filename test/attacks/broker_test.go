package attacks

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

// hostileBroker runs script for each connection until the test ends.
func hostileBroker(t *testing.T, script func(nc net.Conn, in *bufio.Reader)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	wait.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, nc)
			mu.Unlock()
			wait.Go(func() {
				defer nc.Close()
				script(nc, bufio.NewReader(nc))
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		mu.Lock()
		for _, nc := range open {
			nc.Close()
		}
		mu.Unlock()
		wait.Wait()
	})
	return ln.Addr().String()
}

const connectedFrame = "CONNECTED\nversion:1.2\nheart-beat:0,0\n\n\x00"

// A broker that misbehaves costs the caller a bounded wait and the process a
// bounded memory: the answer is pending, or that the broker cannot be reached.
func TestAttack26HostileBroker(t *testing.T) {
	connected := func(nc net.Conn, in *bufio.Reader) bool {
		_, err := in.ReadString(0)
		if err == nil {
			_, err = io.WriteString(nc, connectedFrame)
		}
		return err == nil
	}
	flood := func(frame string) func(net.Conn, *bufio.Reader) {
		return func(nc net.Conn, in *bufio.Reader) {
			if !connected(nc, in) {
				return
			}
			for _, err := io.WriteString(nc, frame); err == nil; {
				_, err = io.WriteString(nc, frame)
			}
		}
	}
	block := strings.Repeat("x", 1<<20)
	for name, script := range map[string]func(net.Conn, *bufio.Reader){
		"says nothing": func(_ net.Conn, in *bufio.Reader) { _, _ = io.Copy(io.Discard, in) },
		"takes all":    func(nc net.Conn, in *bufio.Reader) { connected(nc, in); _, _ = io.Copy(io.Discard, in) },
		"hangs up":     func(net.Conn, *bufio.Reader) {},
		"ERROR loop": func(nc net.Conn, in *bufio.Reader) {
			connected(nc, in)
			_, _ = io.WriteString(nc, "ERROR\nmessage:no\n\n\x00")
		},
		"ERRORs":         flood("ERROR\nmessage:no\n\nno\x00"),
		"endless body":   flood("MESSAGE\nsubscription:1\nmessage-id:1\ndestination:/queue/x\n\n" + block),
		"huge length":    flood("MESSAGE\nsubscription:1\nmessage-id:1\ndestination:/queue/x\ncontent-length:9999999999999\n\n" + block),
		"endless header": flood("MESSAGE\na:" + block),
		"many headers":   flood("MESSAGE\n" + strings.Repeat("a:b\n", 200_000)),
		"no STOMP":       flood("HTTP/1.1 200 OK\r\n\r\n" + block),
		"unasked":        flood("MESSAGE\nsubscription:77\nmessage-id:1\ndestination:/queue/x\n\nx\x00RECEIPT\nreceipt-id:5\n\n\x00"),
	} {
		t.Run(name, func(t *testing.T) {
			conn := amq.New(amq.Options{Addr: hostileBroker(t, script), BackoffMin: 20 * time.Millisecond, BackoffMax: 200 * time.Millisecond})
			ctx, cancel := context.WithCancel(context.Background())
			var wait sync.WaitGroup
			wait.Go(func() { _ = conn.Run(ctx) })
			client := control.NewClient(control.ClientOptions{Bus: conn, Keys: func(string) control.Ring { return control.NewKey().Ring() }})
			defer func() { client.Close(); cancel(); wait.Wait() }()
			asking, enough := context.WithTimeout(ctx, 500*time.Millisecond)
			defer enough()
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			r, err := client.Ask(asking, control.Command{Verb: control.StopTestbed, Username: ann, IssuedBy: ann}, nil)
			runtime.ReadMemStats(&after)
			if (err != nil || r.Outcome != control.Pending) && !swf.IsCode(err, swf.CodeBrokerUnavailable) {
				t.Errorf("%+v, %v", r, err)
			}
			if grown := int64(after.HeapInuse) - int64(before.HeapInuse); grown > 64<<20 {
				t.Errorf("%d MiB more are held", grown>>20)
			} else {
				t.Logf("%s; %d KiB more are held", answered(r, err), grown>>10)
			}
		})
	}
}

func answered(r control.Reply, err error) string {
	if err != nil {
		return string(swf.AsError(err).Code)
	}
	return string(r.Outcome)
}

// Whoever may log in to the broker, and has bob's key, cannot move ann's
// testbed, wherever the message is put and whatever it says.
func TestAttack20BobsKeyMovesNothingOfAnns(t *testing.T) {
	s := newSite(t, siteOptions{})
	a := s.startManager(ann)
	before := a.programs()
	conn := s.connect()
	twin := s.users[bob].key
	twin.ID = s.users[ann].key.ID
	send := func(queue, signature string, body []byte) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if err := conn.Publish(ctx, amq.Message{Destination: queue, Body: body, Headers: map[string]string{control.SignatureHeader: signature}}); err != nil {
			t.Fatal(err)
		}
	}
	count := 0
	for _, verb := range []control.Verb{control.StartTestbed, control.StopTestbed, control.Restart, control.RunWorkflow, control.StopWorkflow} {
		for _, name := range []string{ann, bob} {
			for _, queue := range []string{swf.ControlQueue(ann), swf.WorkflowQueue(ann), swf.LegacyControlQueue(ann)} {
				cmd := control.Command{Verb: verb, ID: control.NewID(), Username: name, IssuedBy: name}
				cmd.Complete(time.Now())
				body, err := cmd.Encode()
				if err != nil {
					t.Fatal(err)
				}
				for _, signature := range []string{"", s.users[bob].key.Sign(control.DomainCommand, body), twin.Sign(control.DomainCommand, body),
					s.users[ann].key.Sign(control.DomainReply, body), s.users[ann].key.ID + ";", ";", fmt.Sprint(s.users[ann].key)} {
					send(queue, signature, body)
					count++
				}
			}
		}
	}
	client := control.NewClient(control.ClientOptions{Bus: conn, Keys: s.keyOf})
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := client.Ask(ctx, control.Command{Verb: control.Status, Username: ann, IssuedBy: ann}, nil)
	if err != nil || r.Outcome != control.Succeeded {
		t.Fatalf("%+v, %v", r, err)
	}
	if after := a.programs(); after != before {
		t.Errorf("%s became %s", before, after)
	}
	log := s.log.String()
	if n := strings.Count(log, "dropped a message on the control queue"); n < count/3 {
		t.Errorf("%d of %d forgeries are on the record", n, count/3)
	}
	for name, u := range s.users {
		if strings.Contains(log, fmt.Sprintf("%x", u.key.Secret)) {
			t.Errorf("the log holds the key of %s", name)
		}
	}
}
