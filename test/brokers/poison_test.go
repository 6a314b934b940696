package brokers_test

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/test/brokers"
)

// What a real broker may pass on of a frame that nobody should send, or choke
// on: the manager behind it goes on, and nothing runs. The sender has the
// server's login, so that the broker's permissions stop nothing.
func TestAttack24PoisonThroughRealBrokers(t *testing.T) {
	for name, start := range map[string]func(testing.TB, ...string) *brokers.Server{"classic": brokers.Classic, "artemis": brokers.Artemis} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, start(t, "ann"))
			h.manager()
			to := "SEND\ndestination:" + swf.ControlQueue("ann") + "\ndestination-type:ANYCAST\n"
			start := `{"command":"start_testbed","username":"ann","command_id":"p","config_name":"testbed"}`
			for what, frame := range map[string]string{
				"unsigned":                to + "\n" + start,
				"not JSON":                to + "\nrm -rf /",
				"bytes":                   fmt.Sprintf("%scontent-length:%d\n\n\xff\xfe\x00\x01", to, 4),
				"empty":                   to + "\n",
				"negative content-length": to + "content-length:-5\n\n" + start,
				"huge content-length":     to + "content-length:99999999999999\n\n" + start,
				"wrong content-length":    to + "content-length:3\n\n" + start,
				"1,000 headers":           to + strings.Repeat("a:b\n", 1000) + "\n" + start,
				"200,000 headers":         to + strings.Repeat("a:b\n", 200_000) + "\n" + start,
				"long header":             to + "a:" + strings.Repeat("b", 300_000) + "\n\n" + start,
				"10 MB":                   to + "\n" + strings.Repeat("x", 10<<20),
				"twice the destination":   to + "destination:/queue/testbed.replies.mcp.x\n\n" + start,
				"header with LF":          to + control.SignatureHeader + ":a\\nb\\c\n\n" + start,
			} {
				h.throw(what, frame+"\x00")
			}
			h.want(control.Command{Verb: control.StopTestbed}, control.Succeeded, swf.TestbedStopped)
		})
	}
}

// throw sends one frame on a connection of its own and waits until the broker
// has dealt with it, one way or the other.
func (h *host) throw(what, frame string) {
	h.t.Helper()
	nc, err := net.Dial("tcp", h.broker.Addr())
	if err != nil {
		h.t.Fatal(what, ": ", err)
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(patience))
	hello := "CONNECT\naccept-version:1.2\nhost:x\nlogin:" + brokers.MCP + "\npasscode:" + brokers.Passcode(brokers.MCP) + "\n\n\x00"
	bye := "DISCONNECT\nreceipt:bye\n\n\x00"
	if _, err := io.WriteString(nc, hello+frame+bye); err != nil {
		return // it hung up in the midst of it
	}
	_ = nc.(*net.TCPConn).CloseWrite() // a frame without end has one now
	_, _ = io.Copy(io.Discard, nc)
	if r := h.ask(control.Command{Verb: control.Status}, nil); r.Pong == nil || r.Pong.State != swf.TestbedStopped {
		h.t.Errorf("after %s: %+v %+v", what, r.Pong, r.Error)
	}
}
