package manager

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/control"
)

const (
	replyTTL   = 5 * time.Minute  // in the broker, whose clock may be off; the journal has it for longer
	replyPatch = 10 * time.Second // how long one reply may wait for the broker
	replyQueue = 1024
)

// replyTo is where a copy of a command wants to be answered, under the key that
// it was signed with: who sent it may have no other.
type replyTo struct {
	Queue string `json:"queue"`            // of swf.IsReplyQueue; "" wants no answer
	KeyID string `json:"key_id,omitempty"` // "" is the newest
}

// outbound is a reply on its way to the broker.
type outbound struct {
	to    replyTo
	reply control.Reply
	trace context.Context // of the command; ends never
}

// listeners are callers on this host that wait for the replies of a command.
type listeners struct {
	mu   sync.Mutex
	byID map[string][]func(control.Reply)
}

// listen adds the local caller of a submission, if it has one.
func (m *Manager) listen(s submission) {
	if s.local == nil {
		return
	}
	m.local.mu.Lock()
	defer m.local.mu.Unlock()
	m.local.byID[s.cmd.ID] = append(m.local.byID[s.cmd.ID], s.local)
}

// answer replies to one submission alone.
func (m *Manager) answer(s submission, r control.Reply) {
	r.Intent = s.cmd.Intent()
	if s.local != nil {
		s.local(r)
	}
	m.send(s.replyTo, r)
}

// tell replies to everybody who sent a copy of the command.
func (m *Manager) tell(rec *record, r control.Reply) {
	r.Intent = rec.Intent
	for _, to := range rec.ReplyTos {
		m.send(to, r)
	}
	m.local.mu.Lock()
	listening := m.local.byID[r.CommandID]
	if r.Kind == control.Final {
		delete(m.local.byID, r.CommandID)
	}
	m.local.mu.Unlock()
	for _, l := range listening {
		l(r)
	}
}

// send hands a reply to the sending goroutine. Nothing waits for the broker:
// a reply that finds the queue full is dropped, the journal still has it.
func (m *Manager) send(to replyTo, r control.Reply) {
	if to.Queue == "" {
		return
	}
	select {
	case m.outbox <- outbound{to, r, m.traces.context(context.Background(), r.CommandID)}:
	default:
		m.count.unsent.Inc()
		m.log.Warn("dropped a reply, too many wait for the broker", "command_id", r.CommandID)
	}
}

// sendReplies publishes replies in order until ctx ends and the queue is
// drained or the broker is away.
func (m *Manager) sendReplies(ctx context.Context) {
	for {
		select {
		case o := <-m.outbox:
			m.publishReply(o)
		case <-ctx.Done():
			for {
				select {
				case o := <-m.outbox:
					m.publishReply(o)
				default:
					return
				}
			}
		}
	}
}

func (m *Manager) publishReply(o outbound) {
	body, err := o.reply.Encode()
	if err != nil {
		m.log.Error("reply cannot be encoded", "command_id", o.reply.CommandID, "err", err)
		return
	}
	h := map[string]string{
		"correlation-id": o.reply.CommandID,
		"persistent":     "false",
		"expires":        strconv.FormatInt(time.Now().Add(replyTTL+control.BrokerSlop).UnixMilli(), 10),
	}
	control.MarkTrace(o.trace, h)
	if ring := m.o.Keys(); !ring.IsZero() {
		k := ring.Key(o.to.KeyID)
		if k.IsZero() { // it died on the way
			k = ring.Newest()
		}
		if !k.IsZero() {
			h[control.SignatureHeader] = k.Sign(control.DomainReply, body)
		}
	}
	ctx, cancel := context.WithTimeout(m.busCtx, replyPatch)
	defer cancel()
	if err := m.bus.Publish(ctx, amq.Message{Destination: o.to.Queue, Headers: h, Body: body}); err != nil {
		m.count.unsent.Inc()
		m.log.Warn("reply not sent, the caller can still ask for it", "command_id", o.reply.CommandID, "err", err)
	}
}
