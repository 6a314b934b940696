package manager

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

// newTenure makes this manager's. It ends the manager when another goes before
// it.
func (m *Manager) newTenure() *tenure {
	host, _ := os.Hostname()
	return newTenure(tenureOptions{
		bus: m.bus, topic: control.ManagersTopic(m.o.Username), instance: m.instance, host: host, pid: os.Getpid(),
		ring: m.o.Keys, settle: m.o.Settle, newID: m.newID, log: m.log,
		lost: func(rival control.Announcement) { m.leave(m.conflict(rival)) }, won: m.beatSoon,
	})
}

// join subscribes to the control queue and returns when this manager is in
// charge of its user's testbed. It is subscribed at once, and holds what comes
// in until it has listened for other managers. Without a broker it waits for
// one; the local door is open meanwhile.
func (m *Manager) join(ctx context.Context) ([]*amq.Subscription, error) {
	if err := m.bus.WaitUp(ctx); err != nil {
		return nil, context.Cause(ctx)
	}
	m.side.Go(func() { m.pingOthers(ctx) })
	began := time.Now()
	topic := m.bus.Subscribe(control.ManagersTopic(m.o.Username), amq.SubscribeOptions{OnSubscribed: func() { m.tenure.renew("topic") }}, m.tenure.hear)
	subs := []*amq.Subscription{topic}
	if !m.tenure.heardItself(ctx) {
		return subs, context.Cause(ctx)
	}
	queue := swf.ControlQueue(m.o.Username)
	first := m.bus.Subscribe(queue, amq.SubscribeOptions{Prefetch: 1, OnSubscribed: func() { m.tenure.renew("control"); m.beatSoon() }}, m.tenure.inCharge(m.receive))
	subs = append(subs, first)
	select {
	case <-first.Ready():
		m.log.Info("subscribed; listening for another manager of this user", "queue", queue, "after", time.Since(began))
	case <-ctx.Done():
		return subs, context.Cause(ctx)
	}
	if !m.tenure.charge(ctx) {
		return subs, context.Cause(ctx)
	}
	if m.o.LegacyQueue || m.o.Keys().IsZero() {
		m.log.Warn("taking unsigned commands of Python senders", "queue", swf.LegacyControlQueue(m.o.Username))
		subs = append(subs, (&legacy{m: m}).subscribe())
	}
	m.log.Info("taking commands", "queue", queue, "instance", m.instance, "testbed", m.o.Testbed.Dir())
	m.notify("READY=1\nSTATUS=taking commands of " + m.o.Username)
	m.joined.Store(true)
	m.joining <- struct{}{}
	m.beatSoon()
	if m.o.Ready != nil {
		m.o.Ready()
	}
	return subs, nil
}

// pingOthers gives way to a manager that answers on either queue: a Python
// one, or one that the topic does not bring us. Both are asked at once, while
// we listen.
func (m *Manager) pingOthers(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, m.o.Settle-m.o.Settle/repeatPart) // it ends before a ping is repeated
	defer cancel()
	python := control.NewClient(control.ClientOptions{Bus: m.bus, Queue: swf.LegacyControlQueue, Login: m.o.Broker.Login, Source: "agent-manager", Log: m.log})
	defer python.Close()
	var legacy sync.WaitGroup
	legacy.Go(func() {
		if _, err := python.Ping(ctx, m.o.Username); err == nil {
			m.tenure.yield(control.Announcement{Host: "unknown (it answers on " + swf.LegacyControlQueue(m.o.Username) + ")"})
		}
	})
	pong, err := m.self.Ping(ctx, m.o.Username)
	switch {
	case err == nil && pong.Instance != m.instance:
		m.tenure.yield(control.Announcement{Instance: pong.Instance, Host: pong.Host, PID: pong.PID})
	case swf.IsCode(err, swf.CodeBadSignature):
		m.log.Error("another manager of this user seems to run with another control key: each would drop what is for the other", "audit", true, "hint", "testbed key export there, testbed key enroll here")
	}
	legacy.Wait()
}

// conflict is why a manager ends that gave way.
func (m *Manager) conflict(rival control.Announcement) *swf.Error {
	who := "on host " + rival.Host
	if rival.PID != 0 {
		who += fmt.Sprintf(" with pid %d", rival.PID)
	}
	return swf.E(swf.CodeManagerRunning, fmt.Sprintf("an agent manager of %s is in charge %s; this one gave way to it", m.o.Username, who),
		"use that one, or stop it there: testbed agent-manager stop")
}

// leftBehind looks what goes on running here after this manager gave way, once
// what it was doing is done. Agents are left alone: they may be in the middle
// of a run, and nobody but their user can know.
func (m *Manager) leftBehind(ctx context.Context, why *swf.Error) error {
	ctx, cancel := context.WithTimeout(ctx, lastWords)
	defer cancel()
	seen, err := m.o.Testbed.Observe(ctx)
	if err != nil {
		m.log.Warn("what is left running cannot be told", "err", err)
	}
	left := activeNames(seen.Programs)
	m.left = &left
	if len(left) == 0 {
		return why
	}
	host, _ := os.Hostname()
	return swf.E(why.Code, fmt.Sprintf("%s. On host %s go on running: %s", why.Message, host, strings.Join(left, ", ")),
		"stop them here with testbed stop-agents; for all else "+why.Hint).Because(why)
}

// quietStart is how long a manager that is not in charge yet sends no
// heartbeats. They are in its user's name, and would tell of a manager that
// gives way at once; behind that time the broker must be away.
const quietStart = 3 * settleTime

// mayBeat waits until heartbeats of this manager are of use, and reports
// whether they are.
func (m *Manager) mayBeat(ctx context.Context) bool {
	wait, cancel := context.WithTimeout(ctx, quietStart)
	defer cancel()
	return m.tenure.charge(wait) || m.tenure.gaveWayTo() == nil
}

// conflictBeat is the last heartbeat of a manager that gave way: the manager
// that it tells of has not exited, it is another by now.
func (m *Manager) conflictBeat(h swf.Heartbeat) swf.Heartbeat {
	rival := m.tenure.gaveWayTo()
	h.Status, h.OperationalState = swf.StatusWarning, swf.OpReady
	h.Description = fmt.Sprintf("Agent manager for %s. conflict: the one on host %s is in charge, this one has left. Programs left running: %s",
		m.o.Username, rival.Host, listed(*m.left))
	h.Metadata["conflict"] = map[string]any{"in_charge": rival.Host, "left": *m.left}
	return h
}

// tellConflict adds to a heartbeat what a manager that gave way to this one
// left running on its host.
func (m *Manager) tellConflict(h *swf.Heartbeat) {
	if gone := m.tenure.conflict(); gone != nil {
		h.Description += fmt.Sprintf(". A second manager, on host %s, has given way; programs left there: %s", gone.Host, listed(gone.Programs))
		h.Metadata["conflict"] = map[string]any{"host": gone.Host, "left": gone.Programs}
	}
}

func listed(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
