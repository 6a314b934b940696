package agents

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/swf"
)

func sliceName(sample string, number int) string {
	return fmt.Sprintf("%s_slice_%03d.tf", strings.TrimSuffix(sample, ".tf"), number)
}

// sampleOf is the inverse of sliceName, "" for what is no slice's name.
func sampleOf(slice string) string {
	at := strings.LastIndex(slice, "_slice_")
	if at < 0 {
		return ""
	}
	return slice[:at] + ".tf"
}

// samples cuts the sample that a message tells of, or all that must have been
// made of an STF while nobody listened.
func (f *Fast) samples(ctx context.Context, r runAt, m swf.Message, p plan) {
	stf := text(m, "stf_filename")
	add := func(s frames) {
		f.base.Outbox().Room(ctx, ahead)
		f.outbox("cut "+s.name, func(ctx context.Context) error { return f.cut(ctx, r, m, s, p) })
	}
	if m[missed] != nil {
		held := framesPerSTF
		if n, ok := m["tf_in_stf"].(*int); ok && n != nil {
			held = *n
		}
		for _, s := range p.sample(stf, held) {
			add(s)
		}
		return
	}
	s := frames{name: text(m, "tf_filename")}
	first, ok1 := m["tf_first"].(float64)
	last, ok2 := m["tf_last"].(float64)
	if s.name == "" || !ok1 || !ok2 || !(first >= 0 && last >= first && last <= 1e9) {
		f.base.Log().Warn("ignored tf_file_registered without a file and its time frames", "tf_filename", s.name)
		return
	}
	s.first, s.last = int(first), int(last)
	add(s)
}

// cut registers the slices of one sample and hands them out. It takes up where
// an earlier attempt, or an earlier agent, has ended.
func (f *Fast) cut(ctx context.Context, r runAt, m swf.Message, s frames, p plan) error {
	l := f.ledger(r)
	if l.samples[s.name] && m[missed] == nil && l.complete(s, p) {
		return nil // a copy of the message
	}
	if !l.whole {
		if err := f.load(ctx, l, s.name); err != nil {
			return err
		}
	}
	cuts := p.cut(s)
	for i, c := range cuts {
		e := l.slices[c.name]
		if e == nil {
			e = &entry{frames: c, sample: s.name, stf: text(m, "stf_filename"), tick: m["simulation_tick"], number: i}
		}
		if err := f.register(ctx, l, e); noSTF(err) && m[missed] != nil {
			return nil // fastmon has not come to it yet: it will announce it
		} else if err != nil {
			return err
		}
		if e.status == swf.SliceQueued && !e.sent {
			if err := f.hand(ctx, l, e); err != nil {
				return later{err}
			}
		}
	}
	l.samples[s.name] = true
	f.count(l)
	if m[missed] == nil {
		f.event(r, m.With(swf.Message{"msg_type": "tf_file_processed"}), "running", "physics", map[string]any{
			"tf_filename": s.name, "slices": len(cuts), "tf_count": s.count(), "tf_sliced": sliced(cuts),
		})
	}
	return nil
}

func sliced(cuts []frames) (n int) {
	for _, c := range cuts {
		n += c.count()
	}
	return n
}

// complete reports whether every slice of a sample has been handed out.
func (l *ledger) complete(s frames, p plan) bool {
	for _, c := range p.cut(s) {
		if e := l.slices[c.name]; e == nil || e.id == 0 || e.status == swf.SliceQueued && !e.sent {
			return false
		}
	}
	return true
}

// register makes one slice known to the monitor.
func (f *Fast) register(ctx context.Context, l *ledger, e *entry) error {
	if e.id != 0 {
		return nil
	}
	e.metadata = map[string]any{
		"execution_id": l.execution, "created_by": f.base.Name(), "stf_filename": e.stf, "slice_filename": e.name, "simulation_tick": e.tick,
	}
	metadata, err := json.Marshal(e.metadata)
	if err != nil {
		return err
	}
	made, err := f.base.o.Monitor.CreateTFSlice(ctx, swf.TFSlice{
		FastMonFile: e.sample, SliceID: e.number, TFFirst: e.first, TFLast: e.last, TFCount: e.count(),
		RunNumber: l.number, Status: swf.SliceQueued, Metadata: metadata,
	})
	if exists(err) || twice(err) { // our answer was lost, or another agent of the namespace was faster
		if err = f.load(ctx, l, e.sample); err != nil {
			return err
		}
		if have := l.slices[e.name]; have != nil {
			*e = *have
			l.slices[e.name] = e
			e.sent = true // whoever made it has handed it out, or hands it out when asked again
			return nil
		}
		return fmt.Errorf("slice %s is said to exist but is not to be found", e.name)
	}
	if err != nil {
		return err
	}
	e.id, e.status = made.ID, swf.SliceQueued
	l.slices[e.name] = e
	return nil
}

// hand gives one slice to the workers.
func (f *Fast) hand(ctx context.Context, l *ledger, e *entry) error {
	err := f.tell(ctx, swf.TopicSlices, l.runAt, swf.MsgSlice, map[string]any{
		"run_id": l.run, "execution_id": l.execution, "req_id": uuid.NewString(), "filename": e.stf, "tf_filename": e.name,
		"slice_id": e.number, "start": e.first, "end": e.last, "tf_count": e.count(), "state": "queued", "substate": "new",
		"simulation_tick": e.tick,
	}, map[string]string{"persistent": "true", "ttl": "43200000"})
	e.sent = err == nil
	return err
}

// resend hands out again what nobody has answered: workers that have just
// begun have missed it, the others know what they have.
func (f *Fast) resend(ctx context.Context, only string) error {
	for run, l := range f.ledgers {
		if only != "" && only != run {
			continue
		}
		for _, e := range l.slices {
			if e.id != 0 && e.status == swf.SliceQueued {
				if err := f.hand(ctx, l, e); err != nil {
					return later{err}
				}
			}
		}
	}
	return nil
}

// take takes a result off the queue that all users' agents share. A stranger's
// is passed on by a topic that every agent hears.
func (f *Fast) take(ctx context.Context, d *amq.Delivery) {
	ack := func() {
		if err := d.Ack(); err != nil {
			f.base.Log().Warn("could not acknowledge a result; the broker sends it again", "err", err)
		}
	}
	m, err := swf.DecodeMessage(d.Body)
	switch {
	case err != nil:
		f.base.Log().Warn("dropped a result that is no JSON object", "err", err)
		ack()
	case !m.ForNamespace(f.base.o.Namespace):
		if err := f.base.o.Bus.Publish(ctx, amq.Message{Destination: swf.TopicSliceResults, Body: d.Body}); err == nil {
			ack()
		}
	default:
		f.result(m, ack)
	}
}

// result books one answer. It is acknowledged once the monitor has it: until
// then the broker keeps it for the agent that comes after a crash.
func (f *Fast) result(m swf.Message, ack func()) {
	content, _ := m["content"].(map[string]any)
	outer, _ := content["result"].(map[string]any)
	inner, _ := outer["result"].(map[string]any)
	name, _ := inner["tf_filename"].(string)
	number := int64(0)
	if _, err := fmt.Sscan(runID(m), &number); m.Type() != swf.MsgSliceResult || sampleOf(name) == "" || err != nil || number <= 0 {
		f.base.Log().Warn("ignored what is no slice_result of a run", "msg_type", m.Type(), "tf_filename", name, "run_id", runID(m))
		ack()
		return
	}
	status := swf.SliceFailed
	if done, _ := inner["processed"].(bool); done {
		status = swf.SliceCompleted
	}
	r := runAt{run: runID(m), number: number, execution: m.ExecutionID()}
	f.outbox("result of "+name, func(ctx context.Context) error {
		err := f.book(ctx, r, m, content, name, status)
		if err == nil || !passing(err, serverTries) {
			ack()
		}
		return err
	})
}

func (f *Fast) book(ctx context.Context, r runAt, m swf.Message, content map[string]any, name, status string) error {
	l := f.ledger(r)
	if e := l.slices[name]; e == nil || e.id == 0 {
		if err := f.load(ctx, l, sampleOf(name)); err != nil {
			return err
		}
	}
	e := l.slices[name]
	switch {
	case e == nil || e.id == 0:
		f.base.Log().Warn("a result of a slice that nobody knows", "tf_filename", name, "run_id", r.run)
		return nil
	case e.status == status || e.status == swf.SliceCompleted:
		return nil // a copy
	}
	metadata := make(map[string]any, len(e.metadata)+1)
	for k, v := range e.metadata {
		metadata[k] = v
	}
	result := make(map[string]any, len(content))
	for k, v := range content {
		if k != "result" {
			result[k] = v
		}
	}
	metadata["result"] = result
	fields := map[string]any{"status": status, "completed_at": swf.At(time.Now()), "processed_at": content["processed_at"], "metadata": metadata}
	if host, ok := content["hostname"].(string); ok && host != "" {
		fields["assigned_worker"] = host
	}
	if err := f.base.o.Monitor.PatchTFSlice(ctx, e.id, fields); err != nil {
		return err
	}
	e.status, e.metadata = status, metadata
	f.count(l)
	f.event(l.runAt, m, "running", "physics", map[string]any{"tf_filename": name, "slice_id": e.number, "status": status})
	return nil
}
