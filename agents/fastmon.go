package agents

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/swf"
)

// FastMon is the fastmon agent of the contract's section 7.6: it samples the
// time frames of each STF that the data agent announces, registers each sample
// as a TF file and announces it with tf_file_registered.
//
// What is sampled follows from the run's parameters and the file's name (see
// plan), so a copy of a message, or an agent that died and begins anew, makes
// the same TF files, and the monitor keeps one of each.
type FastMon struct {
	base *Base
	desk *desk

	// What follows belongs to the outbox's goroutine.
	lookups        lookups
	files, samples int
	begun          string // the STF whose samples are being told,
	told           int    // and how many of them were
}

// eventSample is an STF of which samples are to be taken. They are chosen when
// it is told: then the monitor can say what the run's parameters are.
const eventSample = "sample"

// NewFastMon returns a fastmon agent; Run makes it one.
func NewFastMon(o Options) (*FastMon, error) {
	b, err := New("fastmon", o)
	if err != nil {
		return nil, err
	}
	f := &FastMon{base: b}
	Handle(b.Outbox(), eventSample, f.tellSamples)
	f.desk = newDesk(b, f.handle, swf.MsgRunImminent, swf.MsgSTFReady, swf.MsgEndRun)
	return f, nil
}

// Run works until ctx ends, and returns nil within about a second of that.
func (f *FastMon) Run(ctx context.Context) error { return f.base.Run(ctx, f.serve) }

func (f *FastMon) serve(ctx context.Context) error {
	return f.desk.serve(ctx, f.catchUp, f.base.Listen(swf.TopicWorkflow, f.desk.put))
}

// catchUp puts the STF files of unfinished runs onto the desk: those of them
// that were announced while nobody listened are sampled now.
func (f *FastMon) catchUp() {
	f.base.Outbox().Do("find what was missed", func(ctx context.Context) error {
		runs, err := f.base.unfinishedRuns(ctx, &f.lookups)
		if err != nil {
			return err
		}
		for _, run := range runs {
			for _, file := range run.files {
				m := run.message(swf.MsgSTFReady).With(swf.Message{"filename": file.STFFilename})
				if file.TFCount != nil {
					m["tf_count"] = float64(*file.TFCount)
				}
				f.desk.offer(m)
			}
		}
		return nil
	})
}

func (f *FastMon) handle(ctx context.Context, m swf.Message) {
	f.base.SetContext(m.ExecutionID(), runID(m))
	switch m.Type() {
	case swf.MsgRunImminent, swf.MsgEndRun:
		f.base.BeatNow()
	case swf.MsgSTFReady:
		f.sample(ctx, m)
	}
}

func (f *FastMon) sample(ctx context.Context, m swf.Message) {
	stf := text(m, "filename")
	if stf == "" {
		f.base.Log().Warn("ignored stf_ready without a filename")
		return
	}
	f.base.Outbox().Room(ctx, ahead)
	f.base.Outbox().Add(eventSample, "samples of "+stf, m)
}

// tellSamples takes the samples of one STF.
func (f *FastMon) tellSamples(ctx context.Context, m swf.Message, _ bool) error {
	p, err := f.base.parametersTold(ctx, &f.lookups, m.ExecutionID())
	if err != nil {
		return err
	}
	held := framesPerSTF
	if n, ok := m["tf_count"].(float64); ok && n >= 1 && n <= 1e9 {
		held = int(n)
	}
	stf := text(m, "filename")
	taken := planOf(p).sample(stf, held)
	if f.begun != stf {
		f.begun, f.told = stf, 0
	}
	for _, s := range taken[min(f.told, len(taken)):] { // what an earlier attempt told is not announced again
		if err := f.register(ctx, m, s, held); err != nil {
			return err
		}
		f.told++
	}
	f.begun = ""
	f.files++
	f.samples += len(taken)
	f.base.Count(map[string]any{"stf_files": f.files, "tf_files": f.samples})
	return nil
}

// register makes one sample known to the monitor, then to the other agents.
func (f *FastMon) register(ctx context.Context, m swf.Message, s frames, held int) error {
	stf := text(m, "filename")
	metadata, err := json.Marshal(map[string]any{
		"simulation": true, "created_from": stf, "tf_size_fraction": float64(s.count()) / float64(held), "agent_name": f.base.Name(),
		"state": m["state"], "substate": m["substate"], "start": m["start"], "end": m["end"],
	})
	if err != nil {
		return err
	}
	count := s.count()
	file := swf.FastMonFile{
		STFFile: stf, TFFilename: s.name, TFFirst: &s.first, TFLast: &s.last, TFCount: &count, Status: "registered", Metadata: metadata,
	}
	if size, ok := m["size_bytes"].(float64); ok && size >= 0 && size < 1<<53 {
		part := int64(size) * int64(s.count()) / int64(held)
		file.FileSizeBytes = &part
	}
	made, err := f.base.o.Monitor.CreateFastMonFile(ctx, file)
	switch {
	case exists(err): // by us before a crash, or by another agent of the namespace
		made, err = f.base.o.Monitor.FastMonFile(ctx, s.name)
		if err == nil && made == nil {
			err = fmt.Errorf("TF file %s is said to exist but is not to be found", s.name)
		}
		if err != nil {
			return err
		}
	case noSTF(err):
		return later{err} // the data agent announced the file before the monitor had it
	case err != nil:
		return err
	}
	return f.base.Send(ctx, swf.TopicWorkflow, f.registered(m, made))
}

// registered makes the message that tells of a TF file, from what the monitor
// has of it.
func (f *FastMon) registered(m swf.Message, file *swf.FastMonFile) swf.Message {
	return swf.Message{
		"msg_type": swf.MsgTFFileRegistered, "timestamp": swf.NaiveStamp(time.Now()), "processed_by": f.base.Name(),
		"run_id": runID(m), "execution_id": m["execution_id"], "simulation_tick": m["simulation_tick"],
		"tf_file_id": file.TFFileID, "tf_filename": file.TFFilename, "tf_first": file.TFFirst, "tf_last": file.TFLast, "tf_count": file.TFCount,
		"file_size_bytes": file.FileSizeBytes, "stf_filename": file.STFFile, "status": file.Status,
	}
}

// noSTF reports whether the monitor does not know the file that another one
// belongs to, yet.
func noSTF(err error) bool {
	var status *monitor.StatusError
	return errors.As(err, &status) && status.Status == http.StatusBadRequest &&
		(strings.Contains(status.Body, `"stf_file"`) || strings.Contains(status.Body, `"fastmon_file"`)) &&
		strings.Contains(status.Body, "does not exist")
}
