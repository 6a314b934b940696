package agents

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/epic-swf/testbed/swf"
)

// together is how many slices, results or events are told in one call at most.
const together = 200

func sliceName(sample string, number int) string {
	return fmt.Sprintf("%s_slice_%03d.tf", strings.TrimSuffix(sample, ".tf"), number)
}

// ofSlice is the inverse of sliceName; ok is false for what is no slice's name.
func ofSlice(name string) (sample string, number int, ok bool) {
	at := strings.LastIndex(name, "_slice_")
	if at < 0 {
		return "", 0, false
	}
	number, err := strconv.Atoi(strings.TrimSuffix(name[at+len("_slice_"):], ".tf"))
	sample = name[:at] + ".tf"
	return sample, number, err == nil && number >= 0 && sliceName(sample, number) == name
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
		if err := f.cut(ctx, cutting{runAt: r, frames: s, message: m, at: swf.At(time.Now()), plan: plan}); err != nil {
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
	if have := l.samples[s.name]; have != nil && have.cut && m[missed] == nil && !c.again {
		return nil // a copy of the message
	}
	if !l.whole {
		if err := f.load(ctx, l, s.name); err != nil {
			return err
		}
	}
	cuts := c.plan.cut(s)
	var missing []*entry
	for i, part := range cuts {
		if l.slices[part.name] == nil && !l.done(s.name, i) {
			missing = append(missing, &entry{frames: part, sample: s.name, stf: text(m, "stf_filename"), tick: m["simulation_tick"], number: i})
		}
	}
	if err := f.register(ctx, l, missing); noSTF(err) && m[missed] != nil {
		return nil // fastmon has not come to it yet: it will announce it
	} else if err != nil {
		return err
	}
	for _, part := range cuts {
		if e := l.slices[part.name]; e != nil && e.status == swf.SliceQueued && !e.sent {
			if err := f.hand(ctx, l, e); err != nil {
				return later{err}
			}
		}
	}
	l.sample(s.name).cut = true
	f.count(l)
	made := slices.ContainsFunc(missing, func(e *entry) bool { return e.id != 0 })
	if m[missed] == nil || made { // a sample that nobody told of has its event from whoever cuts it
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

// register makes slices of one sample known to the monitor.
func (f *Fast) register(ctx context.Context, l *ledger, missing []*entry) error {
	for len(missing) > 0 {
		batch := missing[:min(len(missing), together)]
		records := make([]swf.TFSlice, len(batch))
		for i, e := range batch {
			e.metadata = map[string]any{
				"execution_id": l.execution, "created_by": f.base.Name(), "stf_filename": e.stf, "slice_filename": e.name, "simulation_tick": e.tick,
			}
			metadata, err := json.Marshal(e.metadata)
			if err != nil {
				return err
			}
			records[i] = swf.TFSlice{
				FastMonFile: e.sample, SliceID: e.number, TFFirst: e.first, TFLast: e.last, TFCount: e.count(),
				RunNumber: l.number, Status: swf.SliceQueued, Metadata: metadata,
			}
		}
		made, err := f.base.o.Monitor.CreateTFSlices(ctx, records)
		if exists(err) || twice(err) { // our answer was lost, or another agent of the namespace was faster
			if missing, err = f.adopt(ctx, l, missing); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		for i, e := range batch {
			e.id, e.status = made[i].ID, swf.SliceQueued
			l.add(e)
		}
		missing = missing[len(batch):]
	}
	return nil
}

// adopt takes what the monitor has of a sample's slices into the ledger, and
// returns the others. What another agent has made it has handed out, or hands it
// out when asked again.
func (f *Fast) adopt(ctx context.Context, l *ledger, missing []*entry) (rest []*entry, err error) {
	sample := missing[0].sample
	if err := f.load(ctx, l, sample); err != nil {
		return nil, err
	}
	for _, e := range missing {
		switch have := l.slices[e.name]; {
		case have != nil:
			have.sent = !f.base.isMe(have.metadata["created_by"])
		case !l.done(sample, e.number):
			rest = append(rest, e)
		}
	}
	if len(rest) == len(missing) {
		return nil, fmt.Errorf("slice %s is said to exist but is not to be found", rest[0].name)
	}
	return rest, nil
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
			if e.status == swf.SliceQueued {
				if err := f.hand(ctx, l, e); err != nil {
					return later{err}
				}
			}
		}
	}
	return nil
}
