package agents

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/epic-swf/testbed/swf"
)

// Times of a worker.
const (
	keepPools = 8 // runs remembered, for copies of slices
	sendAgain = time.Second
)

// Worker simulates the PanDA workers of a testbed: it takes the slices that
// the fast processing agent hands out on their topic and answers each on the
// results queue, after the time that the run's parameters say. In virtual time
// it answers at once and tells in the answer when it would have been.
//
// Several processes share the work without a word between them, see share. A
// slice that comes again is answered again with the same answer, never done
// twice.
type Worker struct {
	base  *Base
	desk  *desk
	share share

	// What follows belongs to the desk's goroutine.
	lookups lookups
	pools   map[string]*pool // by run
	order   []string
	waiting []*job // in real time: at work, the next one to be done first
	timer   *time.Timer
	done    int
}

// NewWorker returns process number index of of; Run makes it work.
func NewWorker(o Options, index, of int) (*Worker, error) {
	if of < 1 || index < 0 || index >= of {
		return nil, swf.E(swf.CodeInvalidArgument, fmt.Sprintf("there is no worker %d of %d", index, of), "number the workers from 0")
	}
	b, err := New("Worker", o)
	if err != nil {
		return nil, err
	}
	w := &Worker{base: b, share: share{index, of}, pools: make(map[string]*pool), timer: time.NewTimer(time.Hour)}
	w.desk = newDesk(b, w.handle, swf.MsgRunImminentWorker, swf.MsgRunImminent, swf.MsgSlice, swf.MsgEndRun)
	w.desk.alarm, w.desk.rung = w.timer.C, w.rung
	return w, nil
}

// Run works until ctx ends, and returns nil within about a second of that.
// What is not done by then is handed out again when a worker is ready.
func (w *Worker) Run(ctx context.Context) error { return w.base.Run(ctx, w.serve) }

func (w *Worker) serve(ctx context.Context) error {
	defer w.timer.Stop()
	ready := func() {
		sending, cancel := context.WithTimeout(ctx, publishing)
		defer cancel()
		if err := w.base.Send(sending, swf.TopicWorkers, swf.Message{"msg_type": swf.MsgWorkerReady}); err != nil {
			w.base.Log().Warn("could not say that this worker is ready", "err", err)
		}
	}
	return w.desk.serve(ctx, ready, w.base.Listen(swf.TopicWorkers, w.desk.put), w.base.Listen(swf.TopicSlices, w.desk.put))
}

func (w *Worker) handle(ctx context.Context, m swf.Message) {
	content, _ := m["content"].(map[string]any)
	run := runID(m)
	if run == "" || content == nil {
		w.base.Log().Warn("ignored a message without a run or content", "msg_type", m.Type())
		return
	}
	execution := swf.Message(content).ExecutionID()
	w.base.SetContext(execution, run)
	switch m.Type() {
	case swf.MsgRunImminentWorker, swf.MsgRunImminent:
		w.open(m, Parameters(content))
	case swf.MsgSlice:
		if w.pools[run] == nil { // nobody told this process of the run
			w.open(m, w.base.parameters(ctx, &w.lookups, execution))
		}
		w.slice(ctx, w.pools[run], content)
	case swf.MsgEndRun:
		if p := w.pools[run]; p != nil {
			p.ended = true
			w.look()
		}
	}
}

// open gathers the workers of a run.
func (w *Worker) open(m swf.Message, p Parameters) {
	run := runID(m)
	if w.pools[run] != nil {
		return
	}
	made := newPool(m, p, w.share)
	content, _ := m["content"].(map[string]any)
	if m.Type() != swf.MsgSlice {
		made.imminent, _ = content["simulation_tick"].(float64)
	}
	w.pools[run] = made
	if w.order = append(w.order, run); len(w.order) > keepPools {
		delete(w.pools, w.order[0])
		w.order = w.order[1:]
	}
	w.base.Log().Info("workers come", "workers", len(made.free), "run_id", run, "realtime", made.realtime)
	w.base.SetState(swf.OpProcessing)
	w.tell()
}

// slice takes one slice, or answers again one that was answered.
func (w *Worker) slice(ctx context.Context, p *pool, content map[string]any) {
	name, _ := content["tf_filename"].(string)
	if name == "" || !p.mine(name) {
		return
	}
	if j := p.slices[name]; j != nil {
		if j.content == nil {
			copied := *j
			copied.content = content
			_ = w.tellResult(ctx, p, &copied)
		}
		return
	}
	at := time.Since(p.born).Seconds()
	if !p.realtime {
		tick, _ := content["simulation_tick"].(float64)
		at = max(tick-p.imminent, 0)
	}
	j := p.take(name, content, at)
	if !p.realtime && w.answer(ctx, p, j) == nil {
		return
	}
	w.waiting = append(w.waiting, j)
	w.look()
}

// look sets the alarm to the next thing that is due.
func (w *Worker) look() {
	slices.SortStableFunc(w.waiting, func(a, b *job) int { return a.due.Compare(b.due) })
	next := time.Now().Add(time.Hour)
	if len(w.waiting) > 0 {
		next = w.waiting[0].due
	}
	for _, p := range w.pools {
		if p.ended && !p.left && p.gone().Before(next) {
			next = p.gone()
		}
	}
	w.timer.Reset(max(time.Until(next), 0))
}

// rung answers what is done by now, and lets workers go.
func (w *Worker) rung(ctx context.Context) {
	now := time.Now()
	for len(w.waiting) > 0 && !w.waiting[0].due.After(now) && ctx.Err() == nil {
		j := w.waiting[0]
		w.waiting = w.waiting[1:]
		p := w.pools[j.run]
		if p == nil {
			continue
		}
		if err := w.answer(ctx, p, j); err != nil {
			j.due = time.Now().Add(sendAgain)
			w.waiting = append(w.waiting, j)
			break
		}
	}
	for _, p := range w.pools {
		if p.ended && !p.left && !p.gone().After(now) && !w.busy(p) {
			p.left = true // a slice that is late nevertheless finds them
			w.base.Log().Info("workers are gone", "run_id", p.run, "slices", len(p.slices))
		}
	}
	w.tell()
	if !slices.ContainsFunc(slices.Collect(maps.Values(w.pools)), func(p *pool) bool { return !p.left }) {
		w.base.SetState(swf.OpReady)
	}
	w.look()
}

func (w *Worker) busy(p *pool) bool {
	return slices.ContainsFunc(w.waiting, func(j *job) bool { return w.pools[j.run] == p })
}

// answer sends the result of one slice, for the first time.
func (w *Worker) answer(ctx context.Context, p *pool, j *job) error {
	if j.done.IsZero() {
		j.done = time.Now()
		w.done++
		w.tell()
	}
	err := w.tellResult(ctx, p, j)
	if err == nil {
		p.settle(j)
	}
	return err
}

func (w *Worker) tellResult(ctx context.Context, p *pool, j *job) error {
	ctx, cancel := context.WithTimeout(ctx, publishing)
	defer cancel()
	headers := map[string]string{"persistent": "true", "vo": "eic", "msg_type": swf.MsgSliceResult, "namespace": w.base.o.Namespace, "run_id": j.run}
	err := w.base.SendWith(ctx, swf.QueueSliceResults, w.result(p, j), headers)
	if err != nil {
		w.base.Log().Error("could not answer a slice; it is tried again", "tf_filename", j.name, "err", err)
	}
	return err
}

// result makes the answer (contract 2.5), and adds when in simulated time the
// slice was worked on.
func (w *Worker) result(p *pool, j *job) swf.Message {
	host, _ := os.Hostname()
	begun := j.done
	if p.realtime {
		begun = p.born.Add(seconds(j.start))
	}
	return swf.Message{
		"msg_type": swf.MsgSliceResult, "run_id": j.run, "execution_id": j.content["execution_id"], "created_at": swf.NaiveStamp(j.done),
		"content": map[string]any{
			"state": "done", "hostname": host, "panda_task_id": 0, "panda_id": j.worker, "harvester_id": w.base.Name(),
			"processing_start_at": swf.NaiveStamp(begun), "processed_at": swf.NaiveStamp(j.done),
			"simulated_start": p.imminent + j.start, "simulated_end": p.imminent + j.end,
			"result": map[string]any{"result": map[string]any{
				"slice_id": j.content["slice_id"], "tf_filename": j.content["tf_filename"], "processed": true, "state": "done",
			}},
		},
	}
}

// tell counts for the next heartbeat.
func (w *Worker) tell() {
	workers := 0
	for _, p := range w.pools {
		if !p.left {
			workers += len(p.free)
		}
	}
	w.base.Count(map[string]any{"workers": workers, "slices_done": w.done, "slices_waiting": len(w.waiting)})
}
