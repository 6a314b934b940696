package bench

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/tools"
)

// many is how many managers hang on one broker and one monitor, as far as these
// see them: connections and heartbeats. test/scale has real ones, and more.
const many = 1000

// managers is row 10.
func managers() *group {
	g := &group{name: "managers", rows: []*row{
		{of: fmt.Sprintf("tool call p99 with %d managers connected and beating on one broker and monitor", many), floor: "with 1 manager", unit: seconds, goal: ratioAtMost(2)},
		{of: "heartbeat p99 with them", floor: "with 1 manager", unit: seconds, goal: figureAtMost("≤ 50 ms", 0.05)},
		{of: "memory of broker and monitor per manager (two connections, a subscription each, HTTP)", floor: "–", unit: bytesOf, goal: figureAtMost("≤ 100 kB", 100e3)},
	}}
	g.rows[0].why = "broker, monitor, 1,000 managers, the caller and the measuring share two cores here; needs a machine on which the crowd is elsewhere"
	g.rows[1].why = g.rows[0].why
	g.rows[2].why = "each of the two connections has a reading and a writing goroutine and buffers; needs smaller first buffers"
	g.rows[0].note = "real managers, 5,000 of them, and what sets the limit: [scale.md](scale.md)"
	g.measure = func(t *testing.T, g *group) {
		u := newUp(t)
		call := u.checker()
		beat := monitor.New(monitor.Options{URL: u.Monitor})
		t.Cleanup(beat.Close)
		measure := func() (calls, beats float64) {
			var a, b []float64
			for range size(200) {
				a = append(a, timed(call))
				b = append(b, timed(func() {
					if err := pulse(beat, "measured"); err != nil {
						t.Error(err)
					}
				}))
			}
			return quantile(a, 0.99), quantile(b, 0.99)
		}
		measure()
		var beats, lost atomic.Int64
		for range rounds(5) { // one alone, then the crowd: the crowd comes and goes each time
			one, alone := measure()
			before := resident(t, u.process.cmd.Process.Pid)
			leave := u.crowd(size(many), &beats, &lost)
			all, among := measure()
			g.rows[0].add(one, all)
			g.rows[1].add(alone, among)
			if grown := (resident(t, u.process.cmd.Process.Pid) - before) / float64(size(many)); len(g.rows[2].ours) == 0 { // later ones find the memory there
				g.rows[2].ours = append(g.rows[2].ours, grown)
			}
			leave()
		}
		g.rows[1].note = fmt.Sprintf("%d of the crowd's %d beats failed", lost.Load(), beats.Load())
	}
	return g
}

// checker asks the real manager, as check_agent_manager does.
func (u *upSite) checker() func() {
	t := u.t
	ring, err := control.ReadRing(u.keyFile())
	if err != nil {
		t.Fatal(err)
	}
	client := control.NewClient(control.ClientOptions{Bus: bus(t, u.Broker), Keys: func(string) control.Ring { return ring }, Source: "bench"})
	t.Cleanup(client.Close)
	check := tools.New(tools.Options{Commander: client, Monitor: u.monitor, Limits: tools.Limits{PerSecond: -1}}).Tools()[0]
	return func() {
		if r := check.Call(t.Context(), swf.Principal{Name: u.user}, nil, nil); r.Failed || !strings.Contains(r.Text, "alive") {
			t.Error(r.Text)
		}
	}
}

// pulse is one heartbeat.
func pulse(c *monitor.Client, name string) error {
	space := "bench"
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return c.Heartbeat(ctx, swf.Heartbeat{InstanceName: name, AgentType: "agent_manager", Status: "OK", OperationalState: "READY", Namespace: &space})
}

// crowd are so many managers that listen and beat every 10 s, each with the
// connections of a real one; leave ends them.
func (u *upSite) crowd(n int, beats, lost *atomic.Int64) (leave func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	var conns []*stomp
	for i := range n {
		name := fmt.Sprintf("user%04d", i)
		in, out := dial(u.t, u.Broker, ""), dial(u.t, u.Broker, "")
		in.send("SUBSCRIBE\nid:1\ndestination:" + swf.ControlQueue(name) + "\nack:client-individual\nactivemq.prefetchSize:1\nreceipt:r\n\n")
		in.read()
		in.send("SUBSCRIBE\nid:2\ndestination:" + control.ManagersTopic(name) + "\nreceipt:r\n\n")
		in.read()
		conns = append(conns, in, out)
		all.Go(func() {
			c := monitor.New(monitor.Options{URL: u.Monitor})
			defer c.Close()
			next := time.NewTimer(time.Duration(i) * 10 * time.Second / time.Duration(n))
			defer next.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-next.C:
					beats.Add(1)
					if pulse(c, "agent_manager-"+name) != nil {
						lost.Add(1) // a real manager beats again
					}
					next.Reset(10 * time.Second)
				}
			}
		})
	}
	return func() {
		cancel()
		all.Wait()
		for _, c := range conns {
			c.nc.Close()
		}
	}
}
