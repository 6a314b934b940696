package agents

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/epic-swf/testbed/swf"
)

// Limits of the data agent.
const (
	registering = 2 * time.Second // how long stf_ready waits for the file's registration
	publishing  = 5 * time.Second // how long a message waits for the broker
)

// Data is the data agent of the contract's section 7.4: it registers runs and
// STF files with the monitor and announces each file with stf_ready.
//
// Messages are worked on in order by one goroutine, calls to the monitor are
// made in order by another, and neither makes the bus wait. With the monitor
// down files are still announced; their registration follows.
type Data struct {
	base *Base
	desk *desk
	recs recorder

	// What follows belongs to the working goroutine.
	active map[string]int         // files of each run under way, by run number
	last   map[string]int         // the highest sequence number of each
	recent map[string]swf.Message // the stf_gen heard last of each
	done   int                    // files announced
}

// NewData returns a data agent; Run makes it one.
func NewData(o Options) (*Data, error) {
	b, err := New("DATA", o)
	if err != nil {
		return nil, err
	}
	d := &Data{
		base: b, active: make(map[string]int), last: make(map[string]int), recent: make(map[string]swf.Message),
		recs: recorder{monitor: o.Monitor, ids: make(map[int64]int64), files: make(map[string]stfFile)},
	}
	d.recs.handle(b.Outbox())
	d.desk = newDesk(b, d.handle, swf.MsgRunImminent, swf.MsgStartRun, swf.MsgSTFGen, swf.MsgEndRun)
	return d, nil
}

// Run works until ctx ends, and returns nil within about a second of that.
func (d *Data) Run(ctx context.Context) error { return d.base.Run(ctx, d.serve) }

func (d *Data) serve(ctx context.Context) error {
	return d.desk.serve(ctx, nil, d.base.Listen(swf.TopicWorkflow, d.desk.put))
}

func (d *Data) handle(ctx context.Context, m swf.Message) {
	run := runID(m)
	number, err := strconv.ParseInt(run, 10, 64)
	if err != nil || number <= 0 {
		d.base.Log().Warn("ignored a message without a run number", "msg_type", m.Type(), "run_id", run)
		return
	}
	d.base.SetContext(m.ExecutionID(), run)
	switch m.Type() {
	case swf.MsgRunImminent:
		if len(d.active) > keepRuns { // of runs that never ended
			clear(d.active)
			clear(d.last)
			clear(d.recent)
		}
		d.active[run], d.last[run] = 0, 0
		d.base.Log().Info("run imminent")
		d.base.Outbox().Add(eventRun, "register run "+run, runEvent{Number: number, At: swf.At(time.Now()), Conditions: m})
	case swf.MsgStartRun:
		d.base.Log().Info("run started")
		d.tell()
	case swf.MsgSTFGen:
		if n := whole(m, "sequence"); n > 0 {
			for _, missed := range d.missedFiles(ctx, run, number, m, n) {
				d.file(ctx, number, missed)
			}
			d.last[run] = max(d.last[run], n)
		}
		d.recent[run] = m
		d.file(ctx, number, m)
	case swf.MsgEndRun:
		if like, n := d.recent[run], whole(m, "total_stf_files"); like != nil && n > 0 {
			for _, missed := range d.missedFiles(ctx, run, number, like, n+1) {
				d.file(ctx, number, missed)
			}
		}
		d.end(number, m)
	}
}

// file registers one STF file, announces it, and marks it as processed.
func (d *Data) file(ctx context.Context, number int64, m swf.Message) {
	name := text(m, "filename")
	if name == "" {
		d.base.Log().Warn("ignored stf_gen without a filename")
		return
	}
	d.active[runID(m)]++
	out := d.base.Outbox()
	registered := out.Add(eventSTF, "register "+name, stfEvent{Number: number, Name: name, Message: m, By: d.base.Name(), At: swf.At(time.Now())})
	// Whoever hears stf_ready may look the file up, so it waits a little for
	// the registration, but a silent monitor does not hold the data up.
	waiting, cancel := context.WithTimeout(ctx, registering)
	out.Wait(waiting, registered)
	cancel()
	sending, cancel := context.WithTimeout(ctx, publishing)
	defer cancel()
	if err := d.base.Send(sending, swf.TopicWorkflow, ready(m, d.base.Name())); err != nil {
		d.base.Log().Error("could not announce an STF file", "filename", name, "err", err)
		return
	}
	d.done++
	out.Add(eventProcessed, "mark "+name+" processed", processedEvent{Name: name, By: d.base.Name(), At: swf.At(time.Now())})
}

func (d *Data) end(number int64, m swf.Message) {
	run := runID(m)
	seen := d.active[run]
	delete(d.active, run)
	delete(d.last, run)
	delete(d.recent, run)
	if want, ok := m["total_stf_files"].(float64); ok && int(want) != seen {
		d.base.Log().Warn("the run ended with another number of files than were seen", "expected", int(want), "seen", seen)
	} else {
		d.base.Log().Info("run ended", "files", seen)
	}
	d.base.Outbox().Add(eventEndRun, "end run "+run, endRunEvent{Number: number, At: swf.At(time.Now())})
	d.tell()
}

// tell puts the counters into the next heartbeat.
func (d *Data) tell() {
	files := 0
	for _, n := range d.active {
		files += n
	}
	d.base.SetDetails(map[string]any{"active_runs": len(d.active), "active_files": files, "completed_tasks": d.done})
}

// ready makes the stf_ready that answers an stf_gen: the contract's fields,
// and execution_id and timestamp, which the Python agent leaves out.
func ready(m swf.Message, by string) swf.Message {
	out := swf.Message{
		"msg_type": swf.MsgSTFReady, "timestamp": swf.NaiveStamp(time.Now()),
		"run_id": runID(m), "processed_by": by,
	}
	for _, k := range []string{
		"execution_id", "filename", "file_url", "checksum", "size_bytes", "start", "end",
		"state", "substate", "sequence", "simulation_tick",
	} {
		out[k] = m[k] // null where the sender had none
	}
	return out
}

// runID reads run_id, which is a string in the contract and a number in some
// hands.
func runID(m swf.Message) string {
	if n, ok := m["run_id"].(float64); ok && n == float64(int64(n)) {
		return fmt.Sprint(int64(n))
	}
	return m.RunID()
}

func text(m swf.Message, key string) string {
	s, _ := m[key].(string)
	return s
}
