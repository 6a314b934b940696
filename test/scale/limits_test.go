package scale

import (
	"bufio"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/swf"
)

// limits are what a broker and a monitor can take, found by giving them more.
type limits struct {
	connections int     // that the broker took, the crowd's among them
	stopped     string  // what it said to the next one
	beats       float64 // a second that the monitor took, the crowd's not among them
	failed      int     // beats that it did not
}

// hammers are how many clients send heartbeats without a pause.
const hammers = 32

// enough is how many files a process may have open on many machines.
const enough = 20000

// findLimits looks for them while the crowd goes on.
func findLimits(t *testing.T, s *site) (l limits) {
	l.beats, l.failed = s.hammer(t)
	l.connections, l.stopped = s.crowdIn(t)
	return l
}

// hammer sends heartbeats of so many agents as there are clients.
func (s *site) hammer(t *testing.T) (perSecond float64, failed int) {
	var sent, lost atomic.Int64
	var wait sync.WaitGroup
	began := time.Now()
	end := began.Add(beatEvery / 2)
	for i := range hammers {
		wait.Go(func() {
			c := monitor.New(monitor.Options{URL: s.url, Token: monitorToken})
			defer c.Close()
			for seq := 1; time.Now().Before(end); seq++ {
				h := swf.Heartbeat{InstanceName: fmt.Sprintf("hammer-%d", i), AgentType: "other", Status: swf.StatusOK, OperationalState: swf.OpReady,
					Metadata: map[string]any{"instance": "one", "seq": seq}}
				if c.Heartbeat(t.Context(), h) != nil {
					lost.Add(1)
				} else {
					sent.Add(1)
				}
			}
		})
	}
	wait.Wait()
	return float64(sent.Load()) / time.Since(began).Seconds(), int(lost.Load())
}

// crowdIn connects to the broker until it takes nobody more.
func (s *site) crowdIn(t *testing.T) (taken int, stopped string) {
	var open []net.Conn
	defer func() {
		for _, c := range open {
			c.Close()
		}
	}()
	before := usageOf(t, s.broker).files
	for before+len(open) < enough {
		c, err := net.Dial("tcp", s.address)
		if err != nil {
			return before + len(open), err.Error()
		}
		open = append(open, c)
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		fmt.Fprintf(c, "CONNECT\naccept-version:1.2\nhost:x\nlogin:%s\npasscode:%s\n\n\x00", s.account.Login, s.account.Passcode)
		line, err := bufio.NewReader(c).ReadString(0)
		if err == nil && line[0] != 'C' {
			return before + len(open) - 1, fmt.Sprintf("%.200q", line)
		}
		if err != nil {
			return before + len(open) - 1, "nothing: it hung up"
		}
	}
	return before + len(open), fmt.Sprintf("nothing, but a process may have %d here", enough)
}
