package manager

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

// legacy takes the commands of Python senders from the queue that their code
// names (contract 3). They are unsigned, have no id and no expiry, and their
// naive timestamps prove no age. So a nonce is sent through the queue after
// each subscription: what comes out before it, or was delivered before, waited
// for nobody knows how long and is refused (design, rule 12).
type legacy struct {
	m     *Manager
	nonce control.Nonce
}

// legacyIssuer is who a Python command is from, as far as anybody can tell.
const legacyIssuer = "python"

func (l *legacy) subscribe() *amq.Subscription {
	return l.m.bus.Subscribe(swf.LegacyControlQueue(l.m.o.Username), amq.SubscribeOptions{Prefetch: 1, OnSubscribed: l.mark}, l.receive)
}

// mark sends a new nonce to ourselves, not persistent, as Python's own.
func (l *legacy) mark() {
	nonce := l.nonce.Renew()
	l.m.side.Go(func() {
		ctx, cancel := context.WithTimeout(l.m.lookCtx, 10*time.Second)
		defer cancel()
		body := rawJSON(map[string]string{"command": string(control.Ping), "nonce": nonce})
		if err := l.m.bus.Publish(ctx, amq.Message{Destination: swf.LegacyControlQueue(l.m.o.Username), Body: body}); err != nil {
			l.m.log.Warn("no nonce on the legacy queue: its commands stay refused until the next subscription", "err", err)
		}
	})
}

func (l *legacy) receive(_ context.Context, d *amq.Delivery) {
	defer func() {
		if err := d.Ack(); err != nil {
			l.m.log.Warn("acknowledge failed on the legacy queue", "err", err)
		}
	}()
	carries, fresh := l.nonce.Meets(d.Body)
	if carries {
		return
	}
	cmd, err := l.command(d.Body)
	switch {
	case !l.m.o.LegacyQueue && !l.m.o.Keys().IsZero():
		l.drop(d, "a control key was made since this manager started: unsigned commands want legacy_control_queue = true in manager.toml")
	case err != nil:
		l.drop(d, swf.AsError(err).Message)
	case (!fresh || d.Redelivered) && !cmd.Verb.Effect(): // whoever looked has gone, and may have been ourselves
	case !fresh || d.Redelivered:
		l.drop(d, "it waited in the queue before this manager came, and nobody knows for how long")
	case cmd.Verb.Effect():
		l.m.log.Info("taking an unsigned command of a Python sender", "audit", true, "command", cmd.Verb, "command_id", cmd.ID)
		l.m.accept(submission{cmd: cmd})
	default:
		l.look(cmd)
	}
}

func (l *legacy) drop(d *amq.Delivery, why string) {
	l.m.dropped.Add(1)
	l.m.log.Warn("refused a message on the legacy queue", "audit", true, "reason", why, "bytes", len(d.Body))
	l.m.count.turnedAway("legacy")
	l.m.turned("the legacy queue", "", why)
}

// command completes what a Python sender left out. A body with a timestamp is
// one intent for ever; one without is new each time. One of our own protocol
// keeps its times, and is refused where its id is known: somebody has copied a
// command from the queue of signed ones.
func (l *legacy) command(body []byte) (control.Command, error) {
	cmd, err := control.DecodeCommand(body)
	if err != nil {
		return cmd, err
	}
	if rec, err := l.m.journal.Get(cmd.ID); cmd.ID != "" && (err != nil || rec != nil) {
		return cmd, swf.E(swf.CodeConflict, "it is a copy of a command that this manager has had", "send a new command")
	}
	ours := cmd.ID != "" && !cmd.ExpiresAt.IsZero()
	cmd.ID = ""
	if cmd.Timestamp != "" {
		sum := sha256.Sum256(body)
		cmd.ID = "py-" + hex.EncodeToString(sum[:16])
	}
	cmd.Username, cmd.IssuedBy = l.m.o.Username, legacyIssuer
	if !ours {
		cmd.IssuedAt, cmd.ExpiresAt = time.Time{}, time.Time{}
	}
	cmd.Complete(time.Now())
	switch cmd.Verb {
	case control.RunWorkflow, control.StopWorkflow:
		return cmd, swf.E(swf.CodeUnknownCommand, "Python senders have no such command here", "send it to "+swf.QueueLegacyWorkflow)
	}
	return cmd, cmd.Check()
}

// look answers ping and status in the shapes of the contract, if asked to.
func (l *legacy) look(cmd control.Command) {
	if !replyable(cmd.ReplyTo) {
		return
	}
	select {
	case l.m.looks <- struct{}{}:
	default:
		return
	}
	l.m.side.Go(func() {
		defer func() { <-l.m.looks }()
		ctx, cancel := context.WithTimeout(l.m.lookCtx, 5*time.Second)
		defer cancel()
		stamp := time.Now().Format("2006-01-02T15:04:05.000000")
		answer := map[string]any{"status": "alive", "username": l.m.o.Username, "timestamp": stamp}
		if cmd.Verb == control.Status {
			answer = l.status(ctx, stamp)
		}
		if err := l.m.bus.Publish(ctx, amq.Message{Destination: cmd.ReplyTo, Body: rawJSON(answer)}); err != nil {
			l.m.log.Warn("reply to a Python sender not sent", "err", err)
		}
	})
}

func (l *legacy) status(ctx context.Context, stamp string) map[string]any {
	seen, err := l.m.o.Testbed.Observe(ctx)
	var text strings.Builder
	for _, p := range seen.Programs {
		fmt.Fprintf(&text, "%-32s %-9s", p.Name, p.State)
		if p.PID != 0 {
			fmt.Fprintf(&text, " pid %d", p.PID)
		}
		text.WriteByte('\n')
	}
	if err != nil {
		text.WriteString(swf.AsError(err).Message)
	}
	return map[string]any{"username": l.m.o.Username, "agents_running": len(activeNames(seen.Programs)) > 0, "supervisord_status": text.String(), "timestamp": stamp}
}

// replyable keeps unsigned senders from making us write where commands or
// signed replies are read.
func replyable(destination string) bool {
	for _, ours := range []string{"/queue/testbed.", "/topic/testbed.", "/queue/agent_control.", swf.QueueLegacyWorkflow} {
		if strings.HasPrefix(destination, ours) {
			return false
		}
	}
	return strings.HasPrefix(destination, "/queue/") || strings.HasPrefix(destination, "/topic/")
}
