package manager

import (
	"context"
	"sync"
	"time"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

// noticesPerSecond is how many senders whose key is not known here are told so.
const noticesPerSecond = 20

// notices counts those of the present second. The zero value is ready; it is
// for one goroutine.
type notices struct {
	second int64
	n      int
}

// take reports whether there is one left.
func (c *notices) take(now time.Time) bool {
	if s := now.Unix(); s != c.second {
		c.second, c.n = s, 0
	}
	c.n++
	return c.n <= noticesPerSecond
}

// receive is the handler of the control queue. It never executes anything
// (design, rule 3): a message that is not a command of this user, signed with
// this user's key, is dropped without a trace in the journal, so that a forger
// cannot burn an id.
func (m *Manager) receive(_ context.Context, d *amq.Delivery) {
	ack := sync.OnceFunc(func() {
		if err := d.Ack(); err != nil {
			m.log.Warn("acknowledge failed, the broker will deliver again", "err", err)
		}
	})
	defer ack()
	cmd, err := m.door(d)
	if err != nil {
		m.turnAway(d, err)
		return
	}
	if !cmd.Verb.Effect() { // a look that is lost with its manager is asked again
		ack()
	}
	m.submit(submission{cmd: cmd, ack: ack, sender: control.ParseTrace(d.Headers[control.TraceHeader]), replyTo: replyTo{answerable(cmd.ReplyTo), control.SignedBy(d.Headers[control.SignatureHeader])}})
	if ack(); cmd.Verb.Effect() {
		m.at(AtAcked)
	}
}

// door checks the signature and the names.
func (m *Manager) door(d *amq.Delivery) (control.Command, error) {
	if ring := m.o.Keys(); !ring.IsZero() {
		err := ring.Verify(control.DomainCommand, d.Headers[control.SignatureHeader], d.Body)
		unsigned := d.Headers[control.SignatureHeader] == ""
		if err != nil && (!unsigned || !m.o.AcceptUnsigned) {
			return control.Command{}, err
		}
	}
	cmd, err := control.DecodeCommand(d.Body)
	if err != nil {
		return cmd, err
	}
	if err := cmd.Check(); err != nil {
		return cmd, err
	}
	if cmd.Username != m.o.Username {
		return cmd, swf.E(swf.CodeForbidden, "the command is for another user", "send it to that user's control queue")
	}
	return cmd, nil
}

// answerable returns a queue that a reply may be sent to, or "": nobody makes
// this manager write where commands are read.
func answerable(destination string) string {
	if swf.IsReplyQueue(destination) {
		return destination
	}
	return ""
}

// turnAway drops a message, on the record. A command of this user that bears
// no key of ours is told so, now and then, where it wants its replies: who
// enrolled the wrong key learns it, and a forger nothing that it did not know.
func (m *Manager) turnAway(d *amq.Delivery, why error) {
	m.dropped.Add(1)
	e := swf.AsError(why)
	m.log.Warn("dropped a message on the control queue", "audit", true, "code", e.Code, "reason", e.Message, "bytes", len(d.Body))
	m.count.turnedAway(string(e.Code))
	m.turned("the control queue", string(e.Code), e.Message)
	if e.Code != swf.CodeBadSignature {
		return
	}
	m.unknownKeys.Add(1)
	cmd, err := control.DecodeCommand(d.Body)
	if err != nil || cmd.Check() != nil || cmd.Username != m.o.Username || !m.notices.take(time.Now()) {
		return
	}
	m.send(replyTo{Queue: answerable(cmd.ReplyTo)}, control.Reply{CommandID: cmd.ID, Intent: cmd.Intent(), Kind: control.Rejected, Error: e})
}
