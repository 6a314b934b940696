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

// samples has the sample that a message tells of cut, or all that must have been
// made of an STF while nobody listened.
func (f *Fast) samples(ctx context.Context, r runAt, m swf.Message) {
	f.base.Outbox().Room(ctx, ahead)
	if m[missed] != nil {
		f.base.Outbox().Do("cut samples of "+text(m, "stf_filename"), func(ctx context.Context) error { return f.cutMissed(ctx, r, m) })
		return
	}
	name := text(m, "tf_filename")
	first, ok1 := m["tf_first"].(float64)
	last, ok2 := m["tf_last"].(float64)
	if name == "" || !ok1 || !ok2 || !(first >= 0 && last >= first && last <= 1e9) {
		f.base.Log().Warn("ignored tf_file_registered without a file and its time frames", "tf_filename", name)
		return
	}
	f.base.Outbox().Add(eventCut, "cut "+name, cutEvent{Message: m, Number: r.number, First: int(first), Last: int(last), At: swf.At(time.Now())})
}

// cutMissed cuts what must have been sampled of an STF.
func (f *Fast) cutMissed(ctx context.Context, r runAt, m swf.Message) error {
	p, err := f.base.parametersTold(ctx, &f.told, m.ExecutionID())
	if err != nil {
		return err
	}
	plan := planOf(p)
	told, _ := m["tf_in_stf"].(*int)
	for _, s := range plan.sample(text(m, "stf_filename"), heldBy(told)) {
		if err := f.cut(ctx, cutting{runAt: r, frames: s, message: m, plan: plan}); err != nil {
			return err
		}
	}
	return nil
}

// cutting is a sample on its way to slices.
type cutting struct {
	runAt
	frames
	message swf.Message
	at      swf.Timestamp // when the message came
	again   bool          // an earlier attempt may have got to its end
	plan    plan
}

// cut registers the slices of one sample and hands them out. It takes up where
// an earlier attempt, or an earlier agent, has ended.
func (f *Fast) cut(ctx context.Context, c cutting) error {
	l, m, s := f.ledger(c.runAt), c.message, c.frames
	if l.samples[s.name] && m[missed] == nil && l.complete(s, c.plan) && !c.again {
		return nil // a copy of the message
	}
	if !l.whole {
		if err := f.load(ctx, l, s.name); err != nil {
			return err
		}
	}
	cuts := c.plan.cut(s)
	for i, part := range cuts {
		e := l.slices[part.name]
		if e == nil {
			e = &entry{frames: part, sample: s.name, stf: text(m, "stf_filename"), tick: m["simulation_tick"], number: i}
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
		f.eventAt(c.at, c.again, c.runAt, m.With(swf.Message{"msg_type": "tf_file_processed"}), "running", "physics", map[string]any{
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

// sliceResult is one answer of a worker.
type sliceResult struct {
	runAt
	message swf.Message
	content map[string]any
	name    string // of the slice
	status  string
}

// readResult reads a slice_result.
func readResult(m swf.Message) (r sliceResult, ok bool) {
	content, _ := m["content"].(map[string]any)
	outer, _ := content["result"].(map[string]any)
	inner, _ := outer["result"].(map[string]any)
	name, _ := inner["tf_filename"].(string)
	number := int64(0)
	if _, err := fmt.Sscan(runID(m), &number); m.Type() != swf.MsgSliceResult || sampleOf(name) == "" || err != nil || number <= 0 {
		return r, false
	}
	r = sliceResult{runAt: runAt{run: runID(m), number: number, execution: m.ExecutionID()}, message: m, content: content, name: name, status: swf.SliceFailed}
	if done, _ := inner["processed"].(bool); done {
		r.status = swf.SliceCompleted
	}
	return r, true
}

// result books one answer. One that can be acknowledged is when the monitor has
// it: until then the broker keeps it for the agent that comes after a crash. What
// nobody keeps waits in the outbox.
func (f *Fast) result(m swf.Message, ack func()) {
	r, ok := readResult(m)
	switch {
	case !ok:
		f.base.Log().Warn("ignored what is no slice_result of a run", "msg_type", m.Type(), "run_id", runID(m))
		if ack != nil {
			ack()
		}
	case ack == nil:
		f.base.Outbox().Add(eventResult, "result of "+r.name, m)
	default:
		f.base.Outbox().DoThen("result of "+r.name, func(ctx context.Context) error { return f.book(ctx, r) }, ack)
	}
}

func (f *Fast) book(ctx context.Context, r sliceResult) error {
	l := f.ledger(r.runAt)
	if e := l.slices[r.name]; e == nil || e.id == 0 {
		if err := f.load(ctx, l, sampleOf(r.name)); err != nil {
			return err
		}
	}
	e := l.slices[r.name]
	switch {
	case e == nil || e.id == 0:
		f.base.Log().Warn("a result of a slice that nobody knows", "tf_filename", r.name, "run_id", r.run)
		return nil
	case e.status == r.status || e.status == swf.SliceCompleted:
		return nil // a copy
	}
	metadata := make(map[string]any, len(e.metadata)+1)
	for k, v := range e.metadata {
		metadata[k] = v
	}
	result := make(map[string]any, len(r.content))
	for k, v := range r.content {
		if k != "result" {
			result[k] = v
		}
	}
	metadata["result"] = result
	fields := map[string]any{"status": r.status, "completed_at": swf.At(time.Now()), "processed_at": r.content["processed_at"], "metadata": metadata}
	if host, ok := r.content["hostname"].(string); ok && host != "" {
		fields["assigned_worker"] = host
	}
	if err := f.base.o.Monitor.PatchTFSlice(ctx, e.id, fields); err != nil {
		return err
	}
	e.status, e.metadata = r.status, metadata
	f.count(l)
	f.event(l.runAt, r.message, "running", "physics", map[string]any{"tf_filename": r.name, "slice_id": e.number, "status": r.status})
	return nil
}
