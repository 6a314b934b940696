package manager

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/epic-swf/testbed/control"
)

// Service is what a service manager wants to hear (sd_notify(3)). The zero
// value is for a daemon that none watches.
type Service struct {
	Socket   string        // NOTIFY_SOCKET, "@" for the abstract namespace; "" means none listens
	Watchdog time.Duration // within it a sign of life is wanted; 0 means never
}

// ServiceFromEnv reads what systemd tells the process with that pid.
func ServiceFromEnv(get func(string) string, pid int) Service {
	s := Service{Socket: get("NOTIFY_SOCKET")}
	usec, err := strconv.ParseInt(get("WATCHDOG_USEC"), 10, 64)
	if forPID := get("WATCHDOG_PID"); err == nil && usec > 0 && (forPID == "" || forPID == strconv.Itoa(pid)) {
		s.Watchdog = time.Duration(usec) * time.Microsecond
	}
	return s
}

// notifyWait bounds one datagram: the other end may be full, and nothing of
// ours waits for it.
const notifyWait = time.Second

// notify tells the service manager; without one it does nothing.
func (s Service) notify(state string) error {
	if s.Socket == "" {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: s.Socket, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("notify: %w", err)
	}
	defer conn.Close()
	if err := conn.SetWriteDeadline(time.Now().Add(notifyWait)); err != nil {
		return err
	}
	_, err = conn.Write([]byte(state))
	return err
}

// feedEvery is the pause between two signs of life where no watchdog says it.
const feedEvery = 15 * time.Second

// startGrace is how much longer a start may last, said with each sign of life:
// a broker that is away for a day is no reason to end the manager.
const startGrace = 90 * time.Second

// watch feeds the watchdog until ctx ends. What is not fed is killed and
// started anew, so it is fed exactly while that would help nothing.
func (m *Manager) watch(ctx context.Context) {
	if m.o.Service.Socket == "" {
		return
	}
	every := feedEvery
	if m.o.Service.Watchdog > 0 {
		every = min(every, m.o.Service.Watchdog/4)
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for last := ""; ; {
		state, well := m.vitals(ctx)
		if ctx.Err() != nil {
			return
		}
		if !well && state != last {
			m.log.Error("the watchdog is not fed", "why", state)
		}
		last = state
		message := "STATUS=" + state
		if well {
			message += "\nWATCHDOG=1"
			if !m.joined.Load() {
				message += fmt.Sprintf("\nEXTEND_TIMEOUT_USEC=%d", startGrace.Microseconds())
			}
		}
		m.notify(message)
		select {
		case <-tick.C:
		case <-m.joining:
		case <-ctx.Done():
			return
		}
	}
}

func (m *Manager) notify(state string) {
	if err := m.o.Service.notify(state); err != nil {
		m.log.Warn("the service manager cannot be told", "err", err)
	}
}

// vitals says in a line what the manager does, and whether starting it anew
// could not better it. An absent broker is waited for, for ever (promise P10);
// one that is there must bring our own ping back through the control queue.
func (m *Manager) vitals(ctx context.Context) (state string, well bool) {
	if j, bound := m.exec.Overdue(m.bound); j != nil {
		return fmt.Sprintf("stuck: %s %s has not ended within %s", j.verb, j.id, bound), false
	}
	if !m.bus.Up() {
		return "waiting for the broker " + m.o.Broker.Addr, true
	}
	if !m.subscribed() { // the heartbeat's probe may be late by itself
		m.probe(ctx)
	}
	switch {
	case m.subscribed():
	case !m.bus.Up():
		return "waiting for the broker " + m.o.Broker.Addr, true
	default:
		return "stuck: our own ping does not come back through the control queue", false
	}
	if j := m.exec.Holder(); j != nil {
		return fmt.Sprintf("at work on %s %s", j.verb, j.id), true
	}
	return "taking commands of " + m.o.Username, true
}

// jobSlack is over and above what supervisord's own times allow a job:
// another holder of the lock that must be fenced, a supervisord that hangs, a
// slow disk.
const jobSlack = 2 * time.Minute

// jobBound is how long a job may take before it counts as stuck. A start that
// fails at its last moment is undone within rollbackTime.
func (m *Manager) jobBound(verb control.Verb) time.Duration {
	var up, down time.Duration
	if d, err := m.o.Testbed.daemon(); err == nil {
		for _, p := range d.Conf().Programs {
			up = max(up, time.Duration(p.StartSecs)*time.Second)
			down = max(down, time.Duration(p.StopWaitSecs)*time.Second)
		}
	}
	bound := 2*(down+fenceMargin) + jobSlack // wait for the lock, then stop
	if verb == control.StartTestbed {
		bound += up + 20*time.Second + rollbackTime
	}
	return bound
}
