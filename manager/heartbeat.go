package manager

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

// Heartbeats. They run on a goroutine of their own, the newest only, and
// nothing waits for the monitor (promise P11).
const (
	beatEvery   = 10 * time.Second
	probeFresh  = 20 * time.Second // a self-probe older than that proves nothing
	probeWait   = 2 * time.Second
	monitorWait = 5 * time.Second
)

// beatSoon asks for a heartbeat now; many wishes make one.
func (m *Manager) beatSoon() {
	select {
	case m.soon <- struct{}{}:
	default:
	}
}

// beat tells the monitor and other managers of this one until ctx ends, then
// how it ended.
func (m *Manager) beat(ctx context.Context) {
	if m.mayBeat(ctx) {
		m.keepBeating(ctx)
		m.tellMonitor(context.WithoutCancel(ctx), m.lastHeartbeat())
	}
	<-ctx.Done()
	if m.left != nil {
		m.tenure.farewell(m.busCtx, *m.left)
	}
}

func (m *Manager) keepBeating(ctx context.Context) {
	tick := time.NewTicker(m.o.Heartbeat)
	defer tick.Stop()
	for {
		m.tenure.say()
		m.probe(ctx)
		m.tellMonitor(ctx, m.heartbeat(ctx))
		m.reportLost(ctx)
		select {
		case <-tick.C:
		case <-m.soon:
		case <-m.o.Beat:
		case <-ctx.Done():
			return
		}
	}
}

// probe sends a ping through the broker to ourselves: only what came back
// through the control queue proves that commands would (design, rule 16).
func (m *Manager) probe(ctx context.Context) {
	if !m.bus.Up() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, probeWait)
	defer cancel()
	pong, err := m.self.Ping(ctx, m.o.Username)
	if err == nil && pong.Instance == m.instance {
		m.probed.Store(time.Now().UnixNano())
	}
}

func (m *Manager) subscribed() bool {
	return time.Since(time.Unix(0, m.probed.Load())) < m.fresh
}

func (m *Manager) tellMonitor(ctx context.Context, h swf.Heartbeat) {
	if m.o.Monitor == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, monitorWait)
	defer cancel()
	err := m.o.Monitor.Heartbeat(ctx, h)
	m.count.beat(err)
	if err != nil && !errors.Is(ctx.Err(), context.Canceled) && m.monitorUp.Swap(false) {
		m.log.Warn("the monitor does not take heartbeats; control goes on without it", "err", err)
	}
	if err == nil && !m.monitorUp.Swap(true) {
		m.log.Info("the monitor takes heartbeats")
	}
}

// heartbeat follows contract 1.4. What the Django monitor would drop from the
// metadata stands in the description too.
func (m *Manager) heartbeat(ctx context.Context) swf.Heartbeat {
	look, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	asked := time.Now()
	seen, err := m.o.Testbed.Observe(look)
	m.noticeRunner(look, asked, seen, err)
	m.count.saw(seen, err)
	namespace, configName := m.o.Testbed.Current()
	h := m.baseHeartbeat()
	h.Status, h.OperationalState = swf.StatusOK, swf.OpReady
	mq := "connected"
	if !m.subscribed() {
		h.Status, mq = swf.StatusWarning, "disconnected"
	}
	supervised := "idle"
	running := len(activeNames(seen.Programs))
	if running > 0 {
		supervised = "running"
	}
	if err != nil {
		h.Status, supervised = swf.StatusError, swf.AsError(err).Message
	}
	if sealed := m.journal.Sealed(); sealed != nil {
		h.Status, supervised = swf.StatusError, sealed.Error()
	}
	h.Description = fmt.Sprintf("Agent manager for %s%s. MQ: %s. supervisord: %s", m.o.Username, namespaceNote(namespace), mq, supervised)
	if n := m.dropped.Load(); n > 0 {
		h.Description += fmt.Sprintf(". %d messages refused at the door", n)
	}
	if n := m.unknownKeys.Load(); n > 0 {
		h.Description += fmt.Sprintf(" (%d without a control key of ours: testbed key enroll)", n)
		h.Metadata["unknown_keys"] = n
	}
	h.Metadata["signed"] = !m.o.Keys().IsZero() && !m.o.AcceptUnsigned && !m.o.LegacyQueue
	m.tellConflict(&h)
	connected := mq == "connected"
	h.MQConnected = &connected
	if namespace != "" {
		h.Namespace = &namespace
	}
	h.Metadata["supervisord_healthy"] = err == nil
	h.Metadata["agents_running"] = running > 0
	h.Metadata["state"] = m.state(seen)
	h.Metadata["config"] = configName
	h.Metadata["programs"] = m.restarts.add(seen.Programs)
	return h
}

func (m *Manager) lastHeartbeat() swf.Heartbeat {
	h := m.baseHeartbeat()
	h.Status, h.OperationalState = swf.StatusExited, swf.OpExited
	h.Description = fmt.Sprintf("Agent manager for %s. Shut down.", m.o.Username)
	if namespace, _ := m.o.Testbed.Current(); namespace != "" {
		h.Namespace = &namespace
	}
	if m.left != nil {
		return m.conflictBeat(h)
	}
	return h
}

// baseHeartbeat numbers the beat, so that one that was late on its way cannot
// revive a manager that has exited.
func (m *Manager) baseHeartbeat() swf.Heartbeat {
	host, _ := os.Hostname()
	return swf.Heartbeat{
		InstanceName: swf.ManagerInstance(m.o.Username), AgentType: swf.AgentTypeManager, PID: os.Getpid(), Hostname: host,
		Metadata: map[string]any{"instance": m.instance, "seq": m.seq.Add(1), "protocol": control.Protocol, "version": m.o.Version, "dir": m.o.Testbed.Dir()},
	}
}

func namespaceNote(namespace string) string {
	if namespace == "" {
		return ""
	}
	return ". namespace: " + namespace
}
