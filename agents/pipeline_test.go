package agents

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/swf"
)

const testExecution = "wf-ann-0001"

// fastParameters are two slices of three frames from each of two samples of 4
// frames: 2 and 1.
var fastParameters = map[string]any{
	"stf_sampling_rate": 0.008, "samples_per_stf": 2, "num_tf_per_slice": 3, "slices_per_sample": 5,
	"target_worker_count": 4, "slice_processing_time": 30, "worker_rampup_time": 60, "worker_rampdown_time": 60,
}

const (
	samplesOfOne = 2
	slicesOfOne  = 4
)

// newRun has the monitor know an execution that runs in virtual time.
func (s *stage) newRun(parameters map[string]any) {
	s.t.Helper()
	ctx := s.t.Context()
	d, err := s.monitor.CreateDefinition(ctx, swf.Definition{WorkflowName: "wf", Version: "1", WorkflowType: "simulation", Definition: "x", CreatedBy: "ann"})
	if err != nil {
		s.t.Fatal(err)
	}
	values, err := json.Marshal(map[string]any{"workflow": map[string]any{"realtime": false}, "fast_processing": parameters})
	if err != nil {
		s.t.Fatal(err)
	}
	ns := "ns1"
	if _, err := s.monitor.CreateExecution(ctx, swf.Execution{
		ExecutionID: testExecution, WorkflowDefinition: d.ID, Namespace: &ns, Status: swf.ExecutionRunning, ExecutedBy: "ann", ParameterValues: values, StartTime: swf.At(time.Now()),
	}); err != nil {
		s.t.Fatal(err)
	}
	if err := s.monitor.CreateRunState(ctx, swf.RunState{RunNumber: 100010, Phase: "initializing", State: "imminent", TargetWorkerCount: 4}); err != nil {
		s.t.Fatal(err)
	}
}

// with starts an agent of that kind and waits until it listens.
func (s *stage) with(kind string) (stop func()) {
	s.t.Helper()
	o := s.options()
	o.Program, o.Outbox = kind, s.outbox
	var run func(context.Context) error
	var base *Base
	var err error
	switch kind {
	case "data":
		var a *Data
		if a, err = NewData(o); err == nil {
			run, base = a.Run, a.base
		}
	case "fastmon":
		var a *FastMon
		if a, err = NewFastMon(o); err == nil {
			run, base = a.Run, a.base
		}
	case "fast":
		var a *Fast
		if a, err = NewFast(o); err == nil {
			run, base = a.Run, a.base
		}
	case "processing":
		var a *Processing
		if a, err = NewProcessing(o); err == nil {
			run, base = a.Run, a.base
		}
	default:
		index, of := 0, 1
		_, _ = fmt.Sscanf(kind, "worker %d of %d", &index, &of)
		var a *Worker
		if a, err = NewWorker(o, index, of); err == nil {
			run, base = a.Run, a.base
		}
	}
	if err != nil {
		s.t.Fatal(err)
	}
	stop = s.start(run)
	s.eventually(kind+" agent subscribed", func() bool { return base.state() != swf.OpStarting })
	s.settled(s.bus)
	return stop
}

func (s *stage) slices(status string) []swf.TFSlice {
	s.t.Helper()
	found, err := s.monitor.FindTFSlices(s.t.Context(), monitor.SliceFilter{RunNumber: 100010, Status: status, Limit: 1000})
	if err != nil {
		s.t.Fatal(err)
	}
	return found
}

// counted waits until the run's state shows these counts.
func (s *stage) counted(samples, created, completed int) *swf.RunState {
	s.t.Helper()
	var r *swf.RunState
	defer func() {
		if s.t.Failed() && r != nil {
			s.t.Logf("the run's state is %+v", *r)
		}
	}()
	s.eventually(fmt.Sprintf("%d samples, %d slices, %d completed", samples, created, completed), func() bool {
		var err error
		r, err = s.monitor.RunState(s.t.Context(), 100010)
		return err == nil && r != nil && r.STFSamplesReceived == samples && r.SlicesCreated == created && r.SlicesQueued == created && r.SlicesCompleted == completed
	})
	return r
}

func (s *stage) play(first, last int) {
	s.t.Helper()
	for n := first; n <= last; n++ {
		s.publish(stf(n))
	}
}

func (s *stage) begin() {
	s.t.Helper()
	s.publish(daq(swf.MsgRunImminent, swf.Message{"state": "beam", "substate": "not_ready", "simulation_tick": 5}))
	s.publish(daq(swf.MsgStartRun, swf.Message{"state": "run", "substate": "physics"}))
}

func TestPipeline(t *testing.T) {
	s := newStage(t)
	s.newRun(fastParameters)
	for _, kind := range []string{"data", "fastmon", "fast", "worker 0 of 2", "worker 1 of 2"} {
		s.with(kind)
	}
	s.begin()
	s.play(1, 3)
	s.publish(daq(swf.MsgPauseRun, swf.Message{"reason": "standby"}))
	s.publish(daq(swf.MsgResumeRun, nil))
	s.publish(daq(swf.MsgEndRun, swf.Message{"total_stf_files": 3}))

	m := s.next(swf.MsgTFFileRegistered)
	if m["tf_filename"] != "swf.100010.000001_tf_001.tf" || m["stf_filename"] != "swf.100010.000001.stf" || m.ExecutionID() != testExecution || m.RunID() != "100010" ||
		m["tf_count"] != 4.0 || m["status"] != "registered" || m["tf_file_id"] == "" || m["timestamp"] == nil || m["simulation_tick"] != 14.2 {
		t.Errorf("tf_file_registered %v", m)
	}
	r := s.counted(3*samplesOfOne, 3*slicesOfOne, 3*slicesOfOne)
	s.eventually("the run ended", func() bool {
		r, _ = s.monitor.RunState(t.Context(), 100010)
		return r != nil && r.Phase == "completed" && r.State == "ended" && r.Substate == nil
	})
	workers := map[string]bool{}
	for _, one := range s.slices("") {
		var meta struct {
			Execution string `json:"execution_id"`
			By        string `json:"created_by"`
			Result    struct {
				Harvester string  `json:"harvester_id"`
				Start     float64 `json:"simulated_start"`
				End       float64 `json:"simulated_end"`
			}
		}
		if err := json.Unmarshal(one.Metadata, &meta); err != nil {
			t.Fatal(err)
		}
		workers[meta.Result.Harvester] = true
		if one.Status != "completed" || one.CompletedAt == nil || meta.Execution != testExecution || !strings.HasPrefix(meta.By, "fast_processing-agent-ann-") ||
			meta.Result.End != meta.Result.Start+30 || meta.Result.Start < 20 { // the first of four workers is up 15 s after tick 5
			t.Errorf("slice %+v metadata %s", one, one.Metadata)
		}
	}
	if len(workers) != 2 {
		t.Errorf("the work was done by %v", workers)
	}
	// All of it again: nothing is made twice.
	s.play(1, 3)
	s.play(4, 4)
	s.counted(4*samplesOfOne, 4*slicesOfOne, 4*slicesOfOne)
	if files, err := s.monitor.FastMonFiles(t.Context(), ""); err != nil || len(files) != 4*samplesOfOne {
		t.Errorf("%d TF files, %v", len(files), err)
	}
}

// announced waits until the monitor has what those before the late agent make
// of n STFs.
func (s *stage) announced(late string, n int) {
	s.t.Helper()
	s.eventually(fmt.Sprint(n, " STFs on their way"), func() bool {
		if late == "fastmon" {
			return len(s.files("processed")) == n
		}
		files, err := s.monitor.FastMonFiles(s.t.Context(), "")
		return err == nil && len(files) == n*samplesOfOne && (late == "fast" || len(s.slices("")) == n*slicesOfOne)
	})
}

// An agent that was not there takes up what it missed.
func TestAgentsThatComeLate(t *testing.T) {
	for _, late := range []string{"fastmon", "fast", "worker"} {
		t.Run(late, func(t *testing.T) {
			s := newStage(t)
			s.newRun(fastParameters)
			for _, kind := range []string{"data", "fastmon", "fast", "worker"} {
				if kind != late {
					s.with(kind)
				}
			}
			s.begin()
			s.play(1, 2)
			s.announced(late, 2)
			stop := s.with(late)
			s.counted(2*samplesOfOne, 2*slicesOfOne, 2*slicesOfOne)
			stop()
			s.play(3, 3) // and again, after it had been there
			s.announced(late, 3)
			s.with(late)
			s.counted(3*samplesOfOne, 3*slicesOfOne, 3*slicesOfOne)
			if n := len(s.slices("")); n != 3*slicesOfOne {
				t.Errorf("%d slices", n)
			}
			s.eventually("each sample has its event", func() bool {
				events, err := s.monitor.StateEvents(s.t.Context(), 100010, "tf_file_processed", 1000, 0)
				return err == nil && len(events.Items) == 3*samplesOfOne
			})
		})
	}
}

// An agent that was not there when a run ended does what it missed of it when
// it comes back: its part of the last file, and the end.
func TestEndThatAnAgentMissed(t *testing.T) {
	for _, late := range []string{"fastmon", "fast"} {
		t.Run(late, func(t *testing.T) {
			s := newStage(t)
			s.newRun(fastParameters)
			leave := map[string]func(){}
			for _, kind := range []string{"data", "fastmon", "fast", "worker"} {
				leave[kind] = s.with(kind)
			}
			s.begin()
			s.play(1, 1)
			s.counted(samplesOfOne, slicesOfOne, slicesOfOne)
			leave[late]()
			s.play(2, 2)
			s.announced(late, 2)
			s.publish(daq(swf.MsgEndRun, swf.Message{"total_stf_files": 2}))
			s.eventually("the run has an end", func() bool {
				run, err := s.monitor.RunByNumber(s.t.Context(), 100010)
				return err == nil && run != nil && run.EndTime != nil
			})
			if err := s.monitor.PatchExecution(s.t.Context(), testExecution, map[string]any{"status": swf.ExecutionCompleted}); err != nil {
				t.Fatal(err)
			}
			s.with(late)
			s.counted(2*samplesOfOne, 2*slicesOfOne, 2*slicesOfOne)
			s.eventually("its state says so", func() bool {
				r, err := s.monitor.RunState(s.t.Context(), 100010)
				return err == nil && r != nil && r.State == stateEnded && r.SlicesCompleted == 2*slicesOfOne
			})
		})
	}
}

func TestResultsOfStrangersArePassedOn(t *testing.T) {
	s := newStage(t)
	s.newRun(fastParameters)
	stranger := s.options()
	stranger.Namespace, stranger.Username = "ns2", "bob"
	f, err := NewFast(stranger)
	if err != nil {
		t.Fatal(err)
	}
	s.start(f.Run)
	s.eventually("the stranger listens", func() bool { return f.base.state() == swf.OpReady })
	for _, kind := range []string{"data", "fastmon", "fast", "worker"} {
		s.with(kind)
	}
	s.begin()
	s.play(1, 5)
	s.counted(5*samplesOfOne, 5*slicesOfOne, 5*slicesOfOne)
}

func TestPipelineWithoutMonitorForAWhile(t *testing.T) {
	s := newStage(t)
	s.newRun(fastParameters)
	for _, kind := range []string{"data", "fastmon", "fast", "worker"} {
		s.with(kind)
	}
	s.begin()
	s.play(1, 1)
	s.counted(samplesOfOne, slicesOfOne, slicesOfOne)
	s.down.Store(true)
	s.play(2, 3)
	s.next(swf.MsgSTFReady)
	s.next(swf.MsgSTFReady)
	s.next(swf.MsgSTFReady)
	s.down.Store(false)
	s.counted(3*samplesOfOne, 3*slicesOfOne, 3*slicesOfOne)
}

func TestFastIgnoresWhatItCannotUse(t *testing.T) {
	s := newStage(t)
	s.newRun(fastParameters)
	for _, kind := range []string{"data", "fastmon", "fast", "worker"} {
		s.with(kind)
	}
	for _, m := range []swf.Message{
		{"msg_type": "tf_file_registered"}, {"msg_type": "tf_file_registered", "run_id": "7", "tf_filename": "x"},
		{"msg_type": "tf_file_registered", "run_id": "7", "tf_filename": "x", "tf_first": 5, "tf_last": 2}, {"msg_type": "stf_ready", "run_id": "7"}, {"msg_type": "start_run"},
	} {
		s.publish(m)
	}
	for _, m := range []string{`x`, `{}`, `{"msg_type":"slice_result","run_id":"100010"}`, `{"msg_type":"slice_result","run_id":"x","content":{"result":{"result":{"tf_filename":"a_slice_001.tf"}}}}`,
		`{"msg_type":"slice_result","run_id":"100010","content":{"result":{"result":{"tf_filename":"a_slice_001.tf","slice_id":1,"processed":true}}}}`} {
		for _, destination := range []string{swf.QueueSliceResults, swf.TopicSliceResults, swf.TopicSlices, swf.TopicWorkers} {
			if err := s.bus.Publish(t.Context(), amq.Message{Destination: destination, Body: []byte(m)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.begin()
	s.play(1, 1)
	s.counted(samplesOfOne, slicesOfOne, slicesOfOne)
}

func TestProcessing(t *testing.T) {
	s := newStage(t)
	s.newRun(nil)
	got := make(chan swf.Message, 10)
	s.bus.Subscribe(swf.QueueMonitoring, amq.SubscribeOptions{AutoAck: true}, func(_ context.Context, d *amq.Delivery) {
		if m, err := swf.DecodeMessage(d.Body); err == nil {
			got <- m
		}
	})
	s.with("processing")
	s.begin()
	s.eventually("PROCESSING", func() bool { return s.agent(swf.OpProcessing) != nil })
	ready := stf(1).With(swf.Message{"msg_type": swf.MsgSTFReady})
	body, err := ready.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, destination := range []string{swf.QueueProcessing, swf.TopicWorkflow, swf.TopicWorkflow} {
		if err := s.bus.Publish(t.Context(), amq.Message{Destination: destination, Body: body}); err != nil {
			t.Fatal(err)
		}
	}
	s.publish(stf(2).With(swf.Message{"msg_type": swf.MsgSTFReady}))
	s.publish(daq(swf.MsgEndRun, swf.Message{"total_stf_files": 2}))
	for n := 1; n <= 2; n++ {
		m := <-got
		if m["filename"] != stf(n)["filename"] || m.ExecutionID() != testExecution || m["processing_time_ms"] != 500.0 || len(m["output_files"].([]any)) != 2 {
			t.Errorf("processing_complete %v", m)
		}
	}
	s.eventually("READY", func() bool { return s.agent(swf.OpReady) != nil })
}
