package agents

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/epic-swf/testbed/swf"
)

// Times of the processing agent.
const (
	processingTime = 500 * time.Millisecond // of one STF
	completeKept   = 10 * time.Minute       // a processing_complete that nobody takes
	keepProcessed  = 8                      // runs whose files are remembered
)

// Processing is the processing agent of the contract's section 7.5: it works
// on each STF for half a second (in virtual time for none) and tells of it
// with processing_complete. It takes messages from its queue and from the
// workflow topic, since nothing feeds the queue in the stock testbeds; a file
// that comes by both is processed once.
type Processing struct {
	base *Base
	desk *desk

	// What follows belongs to the desk's goroutine.
	lookups lookups
	seen    map[string]map[string]bool // files processed, by run
	order   []string
	total   int
}

// NewProcessing returns a processing agent; Run makes it one.
func NewProcessing(o Options) (*Processing, error) {
	b, err := New("STF_Processing", o)
	if err != nil {
		return nil, err
	}
	p := &Processing{base: b, seen: make(map[string]map[string]bool)}
	p.desk = newDesk(b, p.handle, swf.MsgRunImminent, swf.MsgStartRun, swf.MsgSTFReady, swf.MsgEndRun)
	return p, nil
}

// Run works until ctx ends, and returns nil within about a second of that.
func (p *Processing) Run(ctx context.Context) error { return p.base.Run(ctx, p.serve) }

func (p *Processing) serve(ctx context.Context) error {
	return p.desk.serve(ctx, nil, p.base.Listen(swf.QueueProcessing, p.desk.put), p.base.Listen(swf.TopicWorkflow, p.desk.put))
}

func (p *Processing) handle(ctx context.Context, m swf.Message) {
	run := runID(m)
	p.base.SetContext(m.ExecutionID(), run)
	switch m.Type() {
	case swf.MsgRunImminent:
		p.base.Log().Info("preparing for run " + run)
		p.files(run)
		p.base.BeatNow()
	case swf.MsgStartRun:
		p.base.SetState(swf.OpProcessing)
	case swf.MsgSTFReady:
		p.process(ctx, run, m)
	case swf.MsgEndRun:
		done := len(p.files(run))
		if want, ok := m["total_stf_files"].(float64); ok && int(want) != done {
			p.base.Log().Info("the run ended; files may still come", "expected", int(want), "processed", done)
		} else {
			p.base.Log().Info("run ended", "processed", done)
		}
		p.tell()
		p.base.SetState(swf.OpReady)
		p.base.SetContext("", "")
	}
}

// files returns which files of a run have been processed.
func (p *Processing) files(run string) map[string]bool {
	files := p.seen[run]
	if files == nil {
		files = make(map[string]bool)
		p.seen[run] = files
		if p.order = append(p.order, run); len(p.order) > keepProcessed {
			delete(p.seen, p.order[0])
			p.order = p.order[1:]
		}
	}
	return files
}

func (p *Processing) process(ctx context.Context, run string, m swf.Message) {
	name := text(m, "filename")
	files := p.files(run)
	if name == "" || files[name] {
		return
	}
	if p.base.parameters(ctx, &p.lookups, m.ExecutionID()).realtime() && !pause(ctx, processingTime) {
		return // the agent ends: the file is not processed
	}
	files[name] = true
	p.total++
	p.tell()
	base := strings.TrimSuffix(name, ".stf")
	sending, cancel := context.WithTimeout(ctx, publishing)
	defer cancel()
	err := p.base.SendWith(sending, swf.QueueMonitoring, swf.Message{
		"msg_type": swf.MsgProcessingComplete, "timestamp": swf.NaiveStamp(time.Now()), "filename": name, "run_id": run,
		"execution_id": m["execution_id"], "input_file_url": m["file_url"], "input_checksum": m["checksum"], "input_size_bytes": m["size_bytes"],
		"output_files":       []string{base + "_processed.dat", base + "_summary.json"},
		"processing_time_ms": processingTime.Milliseconds(), "simulation_tick": m["simulation_tick"], "processed_by": p.base.Name(),
	}, map[string]string{ // nobody takes them yet: they must not pile up at the broker
		"persistent": "false", "expires": strconv.FormatInt(time.Now().Add(completeKept).UnixMilli(), 10),
	})
	if err != nil {
		p.base.Log().Error("could not tell of a processed file", "filename", name, "err", err)
	}
}

func (p *Processing) tell() {
	p.base.Count(map[string]any{"completed_tasks": p.total, "active_runs": len(p.seen)})
}
