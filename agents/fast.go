package agents

import (
	"context"
	"maps"
	"strconv"
	"time"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/swf"
)

// Limits of the fast processing agent.
const (
	keepLedgers  = 8   // runs remembered: work of a run may come after its end
	resultsAhead = 100 // results taken off their queue before the monitor has them
)

// Fast is the fast processing agent of the contract's section 7.6: it cuts each
// sample that fastmon announces into slices, registers them, hands them to the
// workers, and books what the workers answer.
//
// Messages are worked on in order by one goroutine. Whatever is counted belongs
// to the outbox's goroutine, which makes the calls to the monitor in order too:
// counters are told as they are, never read and incremented, so they cannot
// race. A slice is known by its name, since its number begins at 0 in each
// sample.
type Fast struct {
	base *Base
	desk *desk

	// What follows belongs to the desk's goroutine.
	lookups lookups
	runs    map[string]swf.Message // run_imminent of the runs under way

	// What follows belongs to the outbox's goroutine.
	told    lookups
	ledgers map[string]*ledger // by run
	order   []string
}

// NewFast returns a fast processing agent; Run makes it one.
func NewFast(o Options) (*Fast, error) {
	b, err := New("Fast_Processing", o)
	if err != nil {
		return nil, err
	}
	f := &Fast{base: b, runs: make(map[string]swf.Message), ledgers: make(map[string]*ledger)}
	f.handleEvents(b.Outbox())
	f.desk = newDesk(b, f.handle, swf.MsgRunImminent, swf.MsgStartRun, swf.MsgPauseRun, swf.MsgResumeRun, swf.MsgEndRun,
		swf.MsgTFFileRegistered, swf.MsgWorkerReady)
	return f, nil
}

// Run works until ctx ends, and returns nil within about a second of that.
func (f *Fast) Run(ctx context.Context) error { return f.base.Run(ctx, f.serve) }

func (f *Fast) serve(ctx context.Context) error {
	o := amq.SubscribeOptions{Prefetch: resultsAhead, OnSubscribed: f.base.BeatNow}
	return f.desk.serve(ctx, f.catchUp,
		f.base.Listen(swf.TopicWorkflow, f.desk.put),
		f.base.Listen(swf.TopicWorkers, f.hearWorkers),
		f.base.Listen(swf.TopicSliceResults, func(_ context.Context, m swf.Message) { f.result(m, nil) }),
		f.base.o.Bus.Subscribe(swf.QueueSliceResults, o, f.take),
	)
}

// hearWorkers takes what workers say on the topic that is also for what this
// agent says to them.
func (f *Fast) hearWorkers(ctx context.Context, m swf.Message) {
	if m.Type() == swf.MsgWorkerReady {
		f.desk.put(ctx, m)
	}
}

// catchUp puts the samples of unfinished runs onto the desk: those of them that
// were announced while nobody listened are cut now. A run that ended meanwhile
// then ends for this agent too.
func (f *Fast) catchUp() {
	f.base.Outbox().Do("find what was missed", func(ctx context.Context) error {
		runs, err := f.base.unfinishedRuns(ctx, &f.told)
		for _, run := range runs {
			for _, file := range run.files {
				f.desk.offer(run.message(swf.MsgTFFileRegistered).With(swf.Message{"stf_filename": file.STFFilename, "tf_in_stf": file.TFCount, missed: true}))
			}
			f.desk.offer(run.message(swf.MsgWorkerReady).With(swf.Message{missed: true}))
			if run.untold {
				f.desk.offer(run.message(swf.MsgEndRun).With(swf.Message{missed: true}))
			}
		}
		return err
	})
}

// stateEnded is the state of a run that is over.
const stateEnded = "ended"

// missed marks messages that stand for those that nobody heard.
const missed = "missed"

func (f *Fast) handle(ctx context.Context, m swf.Message) {
	run := runID(m)
	number, err := strconv.ParseInt(run, 10, 64)
	if m.Type() == swf.MsgWorkerReady && run == "" {
		f.again(ctx, "")
		return
	}
	if err != nil || number <= 0 {
		f.base.Log().Warn("ignored a message without a run number", "msg_type", m.Type(), "run_id", run)
		return
	}
	f.base.SetContext(m.ExecutionID(), run)
	p := f.base.parameters(ctx, &f.lookups, m.ExecutionID())
	r := runAt{run: run, number: number, execution: m.ExecutionID()}
	if _, known := f.runs[run]; !known && m.Type() != swf.MsgEndRun && m[over] == nil {
		f.remember(run, m)
	}
	switch m.Type() {
	case swf.MsgRunImminent:
		f.runs[run] = m
		f.base.Outbox().Do("open run "+run, func(context.Context) error { f.ledger(r).whole = true; return nil })
		f.event(r, m, "beam", "not_ready", map[string]any{"target_worker_count": p["target_worker_count"]})
		f.summon(ctx, m, p)
	case swf.MsgStartRun:
		f.base.SetState(swf.OpProcessing)
		f.state(r, p, map[string]any{"phase": "physics", "state": "running", "substate": "physics"})
		f.event(r, m, "running", "physics", nil)
	case swf.MsgPauseRun:
		f.state(r, p, map[string]any{"substate": "standby"})
		f.event(r, m, "running", "standby", map[string]any{"reason": m["reason"]})
	case swf.MsgResumeRun:
		f.state(r, p, map[string]any{"substate": "physics"})
		f.event(r, m, "running", "physics", nil)
	case swf.MsgEndRun:
		delete(f.runs, run)
		f.state(r, p, map[string]any{"phase": "completed", "state": stateEnded, "substate": nil})
		f.event(r, m, "ended", "", map[string]any{"total_stf_files": m["total_stf_files"]})
		f.tell(ctx, swf.TopicWorkers, r, swf.MsgEndRun, m.With(swf.Message{"execution_id": r.execution}), nil)
		f.base.SetState(swf.OpReady)
	case swf.MsgTFFileRegistered:
		f.samples(ctx, r, m)
	case swf.MsgWorkerReady:
		f.again(ctx, run)
	}
}

// runAt names a run in calls and messages.
type runAt struct {
	run       string
	number    int64
	execution string
}

// remember notes a run that was under way before this agent was.
func (f *Fast) remember(run string, m swf.Message) {
	if len(f.runs) >= keepLedgers {
		clear(f.runs) // runs without an end: nothing hangs on them but a second summons
	}
	f.runs[run] = swf.Message{"msg_type": swf.MsgRunImminent, "run_id": run, "execution_id": m.ExecutionID()}
}

// summon tells the workers what a run will need.
func (f *Fast) summon(ctx context.Context, m swf.Message, p Parameters) {
	run := runID(m)
	content := maps.Clone(m)
	content["execution_id"] = m.ExecutionID()
	for _, k := range []string{"core_count", "target_worker_count", "slice_processing_time", "worker_rampup_time", "worker_rampdown_time", "realtime"} {
		content[k] = p[k]
	}
	f.tell(ctx, swf.TopicWorkers, runAt{run: run}, swf.MsgRunImminentWorker, content, nil)
}

// again tells workers that have begun to listen of the runs under way (or of
// one) and of the slices that nobody has answered.
func (f *Fast) again(ctx context.Context, only string) {
	for run, imminent := range f.runs {
		if only == "" || only == run {
			f.summon(ctx, imminent, f.base.parameters(ctx, &f.lookups, imminent.ExecutionID()))
		}
	}
	f.base.Outbox().Do("hand out slices again", func(ctx context.Context) error { return f.resend(ctx, only) })
}

// tell sends a message to the workers, in the form and with the headers that
// they expect (contract 2.5).
func (f *Fast) tell(ctx context.Context, destination string, r runAt, kind string, content map[string]any, headers map[string]string) error {
	ctx, cancel := context.WithTimeout(ctx, publishing)
	defer cancel()
	h := map[string]string{"persistent": "false", "vo": "eic", "msg_type": kind, "namespace": f.base.o.Namespace, "run_id": r.run}
	maps.Copy(h, headers)
	err := f.base.SendWith(ctx, destination, swf.Message{
		"msg_type": kind, "run_id": r.run, "created_at": swf.NaiveStamp(time.Now()), "content": content,
	}, h)
	if err != nil {
		f.base.Log().Error("the workers could not be told", "msg_type", kind, "err", err)
	}
	return err
}
