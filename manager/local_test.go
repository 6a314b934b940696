package manager

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"testing"
	"time"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

// Callers beyond the bound are told so at once, and those who come when the
// others have gone are served again.
func TestLocalConnectionsAreBounded(t *testing.T) {
	b := newBench(t)
	b.manager()
	var waiting []net.Conn
	for range maxLocalConns {
		conn, err := net.Dial("unix", b.socket())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		waiting = append(waiting, conn)
	}
	one, err := net.Dial("unix", b.socket())
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	_ = one.SetReadDeadline(time.Now().Add(20 * time.Second))
	line, err := bufio.NewReader(one).ReadBytes('\n')
	var r control.Reply
	if err != nil || json.Unmarshal(line, &r) != nil || r.Error == nil || r.Error.Code != swf.CodeBusy {
		t.Errorf("one too many hears %q, %v", line, err)
	}
	ask := func() (control.Reply, error) {
		return AskLocal(context.Background(), b.socket(), control.Command{Verb: control.Ping, Username: "ann"}, nil)
	}
	for _, conn := range waiting {
		conn.Close()
	}
	for begin := time.Now(); ; {
		r, err := ask()
		if err == nil && r.Outcome == control.Succeeded {
			return
		}
		if err != nil || r.Error == nil || r.Error.Code != swf.CodeBusy || time.Since(begin) > 20*time.Second {
			t.Fatalf("after the others have gone: %+v, %v", r, err)
		}
	}
}

// leaving is a connection whose manager leaves as soon as it has read a line.
type leaving struct {
	net.Conn
	leave func()
}

func (c leaving) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.leave()
	return n, err
}

// A caller whose outcome is there when the manager leaves is told it.
func TestLeavingTellsLocalCallersFirst(t *testing.T) {
	m := New(Options{Username: "ann"})
	for round := range 64 {
		ctx, leave := context.WithCancel(context.Background())
		m.lookCtx, m.callerCtx = ctx, ctx
		near, far := net.Pipe()
		go func() {
			defer near.Close()
			m.converse(leaving{near, leave})
		}()
		if _, err := far.Write([]byte(`{"username": "bob"}` + "\n")); err != nil {
			t.Fatal(err)
		}
		var r control.Reply
		if err := json.NewDecoder(far).Decode(&r); err != nil || r.Kind != control.Final {
			t.Errorf("round %d: %+v, %v", round, r, err)
		}
		far.Close()
	}
}
