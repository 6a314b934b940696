package workflows

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/epic-swf/testbed/config"
	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/workflows/sim"
)

// execution is one run of one workflow.
type execution struct {
	runner  *Runner
	id      string
	command string // id of the command that began it
	by      string // who asked
	run     *config.Run
	since   time.Time
	cancel  context.CancelCauseFunc
	noted   chan struct{} // closed once the monitor has it, or was waited for
	done    chan struct{} // closed once the end has been told
	news    chan struct{} // a file was announced
	clock   *sim.Clock
	player  player
	log     *slog.Logger
	unsent  int  // broadcasts that the broker did not take
	over    bool // end_run went out

	mu     sync.Mutex
	phase  string
	number string // of the run
	files  int
	seen   map[string]map[string]bool // files that agents have announced, by message type
	work   work                       // of the agents, as last looked at
	result ending
}

// ending is how an execution ended.
type ending struct{ status, reason string }

func (e ending) String() string {
	if e.reason == "" {
		return e.status
	}
	return e.status + " (" + e.reason + ")"
}

// perform lives the execution from its record in the monitor to its end.
func (x *execution) perform(ctx context.Context) {
	r := x.runner
	defer close(x.done)
	defer x.cancel(nil)
	x.log = r.log.With("execution_id", x.id, "workflow_name", x.run.Workflow)
	r.base.SetContext(x.id, "")
	r.base.SetState(swf.OpProcessing)
	x.log.Info("workflow started", "config", x.run.ConfigName, "realtime", x.run.Realtime, "by", x.by)

	x.recordStart(ctx)
	close(x.noted)
	err := x.simulate(ctx)
	if err == nil {
		x.awaitWork(ctx)
	}
	x.finish(ctx, x.conclude(ctx, err))
}

// simulate waits for the agents and plays the workflow.
func (x *execution) simulate(ctx context.Context) error {
	x.awaitAgents(ctx)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	x.player.run = x.runNumber(ctx)
	x.player.enter, x.player.send, x.player.folder = x.enter, x.broadcast, makeFolder
	x.mu.Lock()
	x.number, x.clock = x.player.run, sim.New(sim.Options{Realtime: x.run.Realtime, Limit: x.run.Duration})
	x.mu.Unlock()
	x.runner.base.SetContext(x.id, x.player.run)
	x.recordRunState()
	return x.clock.Run(ctx, x.player.play)
}

// conclude tells how the simulation ended from its error.
func (x *execution) conclude(ctx context.Context, err error) ending {
	switch {
	case err == nil:
		return ending{status: swf.ExecutionCompleted}
	case errors.Is(err, sim.ErrLimit):
		return ending{swf.ExecutionCompleted, fmt.Sprintf("its duration of %v s is over", x.run.Duration)}
	case errors.Is(err, errStop):
		return ending{swf.ExecutionTerminated, err.Error()}
	case ctx.Err() != nil:
		return ending{swf.ExecutionTerminated, errQuit.Error()}
	default:
		return ending{swf.ExecutionFailed, err.Error()}
	}
}

// finish tells the agents and the monitor of the end, each exactly once.
func (x *execution) finish(ctx context.Context, e ending) {
	ctx = context.WithoutCancel(ctx)
	x.mu.Lock()
	x.result, x.phase = e, "ended"
	x.mu.Unlock()
	at := time.Now()
	ending, unsent := x.writeEnd(e, at), x.unsent
	if x.player.run != "" && !x.over {
		reason := e.reason
		if reason == "" {
			reason = e.status
		}
		x.broadcastWithin(ctx, endTime, swf.Message{"msg_type": swf.MsgEndRun, "total_stf_files": x.player.files, "reason": reason})
	}
	x.runner.free() // first: who sees the end in the monitor may begin the next run
	if x.unsent != unsent {
		ending = x.writeEnd(e, at)
	}
	x.recordEnd(ending)
	if e.status == swf.ExecutionCompleted {
		x.log.Info("Workflow completed: "+x.id, "stf_files", x.player.files, "tick", x.tick()) // upstream's CI looks for these words
	} else {
		x.log.Warn("workflow ended: "+e.String(), "stf_files", x.player.files, "tick", x.tick())
	}
	told, cancel := context.WithTimeout(ctx, tellTime)
	defer cancel()
	if !x.runner.base.Outbox().Settle(told) {
		x.log.Warn("the monitor has not heard yet how the workflow ended; it will be told")
	}
}

// enter notes the state that the machine has entered.
func (x *execution) enter(state, substate string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.phase, x.files = state+"/"+substate, x.player.files
}

// broadcast sends the message of a step, having written it to a file where one
// is named. A broker that is away costs the message, not the run: it is counted,
// and told at the end.
func (x *execution) broadcast(ctx context.Context, s step) error {
	m := x.player.message(s)
	if file := x.player.filled(s.Write); file != "" {
		full := x.complete(m).With(swf.Message{"namespace": x.runner.o.Namespace})
		if err := writeFile(file, full); err != nil {
			return err
		}
	}
	x.broadcastWithin(ctx, publishTime, m)
	return nil
}

// complete adds what every broadcast of the run carries.
func (x *execution) complete(m swf.Message) swf.Message {
	return m.With(swf.Message{
		"execution_id": x.id, "run_id": x.player.run,
		"timestamp": swf.NaiveStamp(time.Now()), "simulation_tick": x.tick(),
	})
}

func (x *execution) broadcastWithin(ctx context.Context, most time.Duration, m swf.Message) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	tick := x.tick()
	if err := x.runner.base.Send(ctx, swf.TopicWorkflow, x.complete(m)); err != nil {
		x.unsent++
		x.log.Error("a broadcast was lost", "msg_type", m.Type(), "tick", tick, "err", err)
		return
	}
	x.over = m.Type() == swf.MsgEndRun
	x.log.Info("broadcast "+m.Type(), "run_id", x.player.run, "tick", tick)
}

func (x *execution) tick() float64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.clock == nil {
		return 0
	}
	return x.clock.Now()
}

func (x *execution) ended() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.result.String()
}

func (x *execution) status() Status {
	tick := x.tick()
	x.mu.Lock()
	defer x.mu.Unlock()
	since := x.since
	return Status{Running: true, ExecutionID: x.id, Workflow: x.run.Workflow, Phase: x.phase, RunID: x.number, STFs: x.files, Tick: tick, Since: &since}
}

// runNumber takes the next run number. Without a monitor it is the time in
// seconds, which is larger than any that the monitor has given and fits its
// database.
func (x *execution) runNumber(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	n, err := x.runner.o.Monitor.NextRunNumber(ctx)
	if err != nil {
		n = time.Now().Unix()
		x.log.Warn("the monitor gave no run number; the time makes one", "run_id", n, "err", err)
	}
	return strconv.FormatInt(n, 10)
}
