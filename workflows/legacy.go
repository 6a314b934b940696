package workflows

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"time"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

// receiveLegacy handles what the Python senders put on the queue that all
// users share: unsigned, without an id, and without a reply (contract 2.5).
// What waited there before this runner came is stale, and so is a redelivered
// message: somebody may have acted on it already.
func (r *Runner) receiveLegacy(ctx context.Context, d *amq.Delivery) {
	defer func() { _ = d.Ack() }() // where it fails the message comes again, redelivered
	carries, fresh := r.nonce.Meets(d.Body)
	if carries {
		return
	}
	m, err := swf.DecodeMessage(d.Body)
	switch {
	case err != nil:
		r.log.Warn("dropped a message that is no JSON object", "queue", swf.QueueLegacyWorkflow, "err", err)
		return
	case d.Redelivered || !fresh:
		r.log.Warn("dropped a command that waited in the queue, nobody knows for how long", "queue", swf.QueueLegacyWorkflow, "msg_type", m.Type(), "redelivered", d.Redelivered)
		return
	case !m.ForNamespace(r.o.Namespace):
		r.log.Info("ignored a command for another namespace", "msg_type", m.Type(), "theirs", m.Namespace())
		return
	}
	cmd := control.Command{
		ID: legacyID(m, d.Body), Username: r.o.Username, IssuedBy: "legacy queue",
		IssuedAt: time.Now(), ExpiresAt: time.Now().Add(control.TTL),
	}
	var params any
	switch m.Type() {
	case "run_workflow":
		cmd.Verb, params = control.RunWorkflow, legacyRun(m)
	case "stop_workflow":
		cmd.Verb, params = control.StopWorkflow, control.StopParams{ExecutionID: m.ExecutionID()}
	case "status_request":
		s := Status{}
		if x := r.running(); x != nil {
			s = x.status()
		}
		r.log.Info("status requested", "running", s.Running, "execution_id", s.ExecutionID, "phase", s.Phase)
		return
	default:
		r.log.Warn("ignored a message of unknown type", "queue", swf.QueueLegacyWorkflow, "msg_type", m.Type())
		return
	}
	if cmd.Params, err = json.Marshal(params); err != nil {
		r.log.Warn("dropped a command that cannot be read", "err", err)
		return
	}
	r.log.Info("command on the shared queue", "msg_type", m.Type(), "command_id", cmd.ID)
	r.obey(ctx, cmd)
	if a, ok := r.answer(cmd.ID); ok && a.Error != nil {
		r.log.Warn("command refused", "command_id", cmd.ID, "code", a.Error.Code, "reason", a.Error.Message, "hint", a.Error.Hint)
	}
}

// nonceAgain is how long the shared queue has to bring a nonce back. Who else
// consumes from it may have taken it.
const nonceAgain = 5 * time.Second

// markLegacy sends a nonce through the shared queue after each subscription,
// not persistent, as Python's own messages; again until it comes back. To a
// Python runner it is a question that it only logs.
func (r *Runner) markLegacy(ctx context.Context) {
	nonce := r.nonce.Renew()
	body, err := swf.Message{"msg_type": "status_request", "namespace": r.o.Namespace, "nonce": nonce}.Encode()
	if err != nil {
		r.log.Error("no nonce for the shared queue", "err", err)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closing {
		return
	}
	r.wait.Go(func() {
		tick := time.NewTicker(nonceAgain)
		defer tick.Stop()
		for r.nonce.Waits(nonce) {
			if err := r.o.Bus.Publish(ctx, amq.Message{Destination: swf.QueueLegacyWorkflow, Body: body}); err != nil {
				return // ctx has ended
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	})
}

// legacyID makes a command id from the body: two sends of one message are one
// command. Without a timestamp each message is a command of its own.
func legacyID(m swf.Message, body []byte) string {
	if text, _ := m["timestamp"].(string); text == "" {
		return control.NewID()
	}
	sum := sha256.Sum256(body)
	return "legacy-" + hex.EncodeToString(sum[:16])
}

// legacyRun reads the parameters of run_workflow with the defaults that the
// Python runner has. MCP puts the namespace among the parameters.
func legacyRun(m swf.Message) control.RunParams {
	p := control.RunParams{Namespace: m.Namespace()}
	p.Workflow, _ = m["workflow_name"].(string)
	p.Config, _ = m["config"].(string)
	realtime, ok := m["realtime"].(bool)
	realtime = realtime || !ok
	p.Realtime = &realtime
	p.Duration, _ = m["duration"].(float64)
	if params, ok := m["params"].(map[string]any); ok {
		p.Params = maps.Clone(params)
		delete(p.Params, "namespace")
	}
	return p
}
