package bench

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// idleFor is how long a daemon is watched while nobody wants anything.
func idleFor() time.Duration {
	if *quick {
		return time.Second
	}
	return 30 * time.Second
}

// linked is why our daemons are larger than what they do.
const linked = "almost every page of a program is read in, so its size is what counts: 15 MB to the floor's 6. Bare mcp-go with an HTTPS client, which the monitor's needs, has 1.14 of the floor's memory, " +
	"with Prometheus' library and its protobuf 1.41; the rest is ours and spread thin; needs metrics written without protobuf"

// daemon is row 7: the agent manager beside a Go program that only holds a
// connection.
func daemon() *group {
	const floor = "a Go hello that holds one STOMP connection"
	g := &group{name: "manager", rows: []*row{
		{of: "agent manager: exec to subscribed to its control queue", floor: floor, unit: seconds, goal: figureAtMost("≤ 100 ms", 0.1),
			why: "rule 15: it asks whether another manager of this user answers, and hears its own announcement come back, before it subscribes"},
		{of: "agent manager: resident memory, idle", floor: floor, unit: bytesOf, goal: figureAtMost("≤ 20 MB", 20e6),
			why: "almost every page of a program is read in, so its size is what counts: see the MCP server"},
		{of: "agent manager: processor time, idle, heartbeats every 10 s", floor: floor, unit: ofACore, goal: figureAtMost("≤ 0.1 % of a core", 0.001)},
	}}
	g.measure = func(t *testing.T, g *group) {
		hello, manager, testbed := built(t, "hello"), ours(t, "agent-manager"), ours(t, "testbed")
		tap := newTap(t, embedded(t))
		dir := folder(t)
		env := private(t, dir, tap.addr)
		initFolder := exec.Command(testbed, "init", dir)
		if initFolder.Env = env; initFolder.Run() != nil {
			t.Fatal("testbed init failed")
		}
		host, port, _ := net.SplitHostPort(tap.addr)
		var idle [3]*process // floor, ours, rival: those of the last round
		begin := func(k int, command []string) float64 {
			began := time.Now()
			idle[k] = spawn(t, append([]string{}, env...), command[0], command[1:]...)
			subscribed := tap.wait(t)
			return subscribed.Sub(began).Seconds()
		}
		end := func(k int) {
			if idle[k] != nil {
				idle[k].end()
			}
		}
		g.inTurnFirst(t, 5, func() float64 { end(0); return begin(0, []string{hello, tap.addr}) },
			func() float64 { end(1); return begin(1, []string{manager, "--dir", dir}) })
		if python() != "" {
			for range rounds(5) {
				end(2)
				g.rows[0].rival("Python stub on stomp.py", begin(2, []string{python(), filepath.Join("testdata", "manager_stub.py"), host, port, "/queue/testbed.stub.control"}))
			}
		}
		g.idle(t, idle)
	}
	return g
}

// idle watches the daemons while nobody wants anything, in 5 windows.
func (g *group) idle(t *testing.T, of [3]*process) {
	pause(idleFor() / 10) // they are warm from their start
	for range rounds(5) {
		var memory, computed [3]float64
		for k, p := range of {
			if p != nil {
				memory[k], computed[k] = resident(t, p.cmd.Process.Pid), -processor(t, p.cmd.Process.Pid)
			}
		}
		window := idleFor() / 3
		pause(window)
		for k, p := range of {
			if p != nil {
				computed[k] = (computed[k] + processor(t, p.cmd.Process.Pid)) / window.Seconds()
			}
		}
		g.rows[1].add(memory[0], memory[1])
		g.rows[2].add(computed[0], computed[1])
		if of[2] != nil {
			g.rows[1].rival("Python stub", memory[2])
			g.rows[2].rival("Python stub", computed[2])
		}
	}
}

// inTurnFirst is inTurn for the first row alone.
func (g *group) inTurnFirst(t *testing.T, n int, floor, ours func() float64) {
	t.Helper()
	g.inTurn(t, n, func() []float64 { return []float64{floor()} }, func() []float64 { return []float64{ours()} })
}

// server is row 8: the MCP server as clients start it, beside bare mcp-go.
func server() *group {
	const floor = "a bare mcp-go server with one tool"
	g := &group{name: "server", rows: []*row{
		{of: "MCP server: exec to `initialize` answered (stdio)", floor: floor, unit: seconds, goal: ratioAtMost(1.3),
			why: "a third of the time is the floor's own (mcp-go's library of schemas compiles those of JSON Schema), a sixth makes our tools, the rest reads in and prepares what is linked: " + linked},
		{of: "MCP server: resident memory, idle", floor: floor, unit: bytesOf, goal: ratioAtMost(1.3),
			why: linked},
	}}
	g.measure = func(t *testing.T, g *group) {
		bare, mcp := built(t, "bare"), ours(t, "swf-mcp")
		dir := folder(t)
		env := private(t, dir, embedded(t))
		begin := func(args ...string) []float64 {
			began := time.Now()
			p := spawn(t, env, args[0], args[1:]...)
			if answer := p.ask(initialize); !bytes.Contains([]byte(answer), []byte("serverInfo")) {
				t.Error(answer)
			}
			took := time.Since(began).Seconds()
			pause(100 * time.Millisecond)
			memory := resident(t, p.cmd.Process.Pid)
			p.end()
			return []float64{took, memory}
		}
		g.inTurn(t, 9, func() []float64 { return begin(bare) }, func() []float64 {
			if python() != "" {
				for i, v := range begin(python(), filepath.Join("testdata", "noop_server.py")) {
					g.rows[i].rival("Python `mcp` SDK server", v)
				}
			}
			return begin(mcp, "stdio", "--dir", dir)
		})
	}
	return g
}

// tap stands before a broker and tells when a control queue is subscribed to.
type tap struct {
	addr       string
	subscribed chan time.Time
}

func newTap(t testing.TB, broker string) *tap {
	t.Helper()
	l := listen(t)
	tp := &tap{addr: l.Addr().String(), subscribed: make(chan time.Time, 100)}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { tp.carry(nc, broker) })
		}
	})
	t.Cleanup(func() { l.Close(); all.Wait() })
	return tp
}

func (tp *tap) carry(nc net.Conn, broker string) {
	defer nc.Close()
	up, err := net.Dial("tcp", broker)
	if err != nil {
		return
	}
	defer up.Close()
	go func() {
		_, _ = io.Copy(nc, up)
		nc.Close()
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := nc.Read(buf)
		for frame := range bytes.SplitSeq(buf[:n], []byte{0}) {
			if bytes.HasPrefix(bytes.TrimLeft(frame, "\n"), []byte("SUBSCRIBE")) && bytes.Contains(frame, []byte(".control\n")) {
				tp.subscribed <- time.Now()
			}
		}
		if err != nil {
			return
		}
		if _, err := up.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (tp *tap) wait(t testing.TB) time.Time {
	t.Helper()
	select {
	case at := <-tp.subscribed:
		return at
	case <-time.After(patience):
		t.Fatal(fmt.Errorf("nobody subscribed at %s", tp.addr))
		return time.Time{}
	}
}
