package agents

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/swf"
)

func (s *stage) startData() (stop func()) {
	s.t.Helper()
	d, err := NewData(s.options())
	if err != nil {
		s.t.Fatal(err)
	}
	stop = s.start(d.Run)
	s.eventually("data agent subscribed", func() bool { return d.base.state() == swf.OpReady })
	s.settled(s.bus)
	return stop
}

func (s *stage) publish(m swf.Message) {
	s.t.Helper()
	body, err := m.Encode()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.bus.Publish(s.t.Context(), amq.Message{Destination: swf.TopicWorkflow, Body: body}); err != nil {
		s.t.Fatal(err)
	}
}

func daq(kind string, more swf.Message) swf.Message {
	return swf.Message{"msg_type": kind, "namespace": "ns1", "execution_id": "wf-ann-0001", "run_id": "100010", "sender": "runner"}.With(more)
}

func stf(n int) swf.Message {
	return daq(swf.MsgSTFGen, swf.Message{
		"filename": fmt.Sprintf("swf.100010.%06d.stf", n), "sequence": n, "state": "run", "substate": "physics", "simulation_tick": 14.2,
	})
}

func (s *stage) files(status string) []swf.STFFile {
	s.t.Helper()
	files, err := s.monitor.STFFiles(s.t.Context(), monitor.FileFilter{Status: status})
	if err != nil {
		s.t.Fatal(err)
	}
	return files
}

func TestDataAgentFollowsARun(t *testing.T) {
	s := newStage(t)
	stop := s.startData()
	s.eventually("the monitor has named the agent", func() bool { return s.agent(swf.OpReady) != nil })
	s.publish(daq(swf.MsgRunImminent, swf.Message{"state": "beam", "substate": "not_ready"}))
	s.publish(daq(swf.MsgStartRun, nil))
	s.publish(daq("run_imminent", swf.Message{"namespace": "another", "run_id": "7"})) // not ours
	for n := 1; n <= 3; n++ {
		s.publish(stf(n))
		m := s.next(swf.MsgSTFReady)
		if m["filename"] != stf(n)["filename"] || m.ExecutionID() != "wf-ann-0001" || m.RunID() != "100010" || m.Namespace() != "ns1" ||
			m["processed_by"] != m["sender"] || m["sequence"] != float64(n) || m["simulation_tick"] != 14.2 || m["timestamp"] == nil {
			t.Errorf("stf_ready %v", m)
		}
		for _, k := range []string{"file_url", "checksum", "size_bytes", "start", "end"} {
			if v, ok := m[k]; !ok || v != nil {
				t.Errorf("stf_ready: %s = %v, %v", k, v, ok)
			}
		}
	}
	s.publish(daq(swf.MsgEndRun, swf.Message{"total_stf_files": 3}))
	s.eventually("three processed files", func() bool { return len(s.files("processed")) == 3 })
	s.eventually("end of the run", func() bool {
		run, err := s.monitor.RunByNumber(t.Context(), 100010)
		return err == nil && run != nil && run.EndTime != nil
	})
	for _, f := range s.files("") {
		var meta map[string]any
		if err := json.Unmarshal(f.Metadata, &meta); err != nil {
			t.Fatal(err)
		}
		if f.MachineState != "run" || meta["created_by"] != "data-agent-ann-1" || meta["substate"] != "physics" || meta["sequence"] == nil ||
			meta["processed_by"] != "data-agent-ann-1" || meta["updated_at"] == nil {
			t.Errorf("file %+v metadata %s", f, f.Metadata)
		}
	}
	stop()
	if runs, err := s.monitor.Runs(t.Context()); err != nil || len(runs) != 1 {
		t.Errorf("runs %v, %v", runs, err)
	}
}

func TestDataAgentRestartedInMidRunGoesOn(t *testing.T) {
	s := newStage(t)
	stop := s.startData()
	s.publish(daq(swf.MsgRunImminent, nil))
	s.publish(stf(1))
	s.next(swf.MsgSTFReady)
	s.eventually("first file", func() bool { return len(s.files("processed")) == 1 })
	stop()
	s.startData()
	s.publish(stf(1)) // a duplicate is harmless
	s.publish(stf(2))
	s.publish(daq(swf.MsgEndRun, swf.Message{"total_stf_files": 2}))
	s.eventually("end of the run", func() bool {
		run, err := s.monitor.RunByNumber(t.Context(), 100010)
		return err == nil && run != nil && run.EndTime != nil
	})
	files := s.files("processed")
	if len(files) != 2 || files[0].Run != files[1].Run {
		t.Errorf("files %+v", files)
	}
}

// Sequence numbers tell which files were made while nobody listened.
func TestDataAgentMakesUpForWhatItMissed(t *testing.T) {
	s := newStage(t)
	stop := s.startData()
	s.publish(daq(swf.MsgRunImminent, nil))
	s.publish(stf(1))
	s.eventually("first file", func() bool { return len(s.files("processed")) == 1 })
	stop()
	s.startData()
	s.publish(stf(4))
	s.publish(stf(5))
	s.publish(stf(5))
	s.publish(stf(8))
	s.publish(daq(swf.MsgEndRun, swf.Message{"total_stf_files": 9}))
	for _, n := range []int{1, 2, 3, 4, 5, 5, 6, 7, 8, 9} {
		if m := s.next(swf.MsgSTFReady); m["filename"] != stf(n)["filename"] || m["sequence"] != float64(n) || m.ExecutionID() == "" {
			t.Errorf("stf_ready %v, want number %d", m, n)
		}
	}
	s.eventually("nine files, each once", func() bool { return len(s.files("processed")) == 9 && len(s.files("")) == 9 })
}

func TestTwoDataAgentsOfOneNamespace(t *testing.T) {
	s := newStage(t)
	s.startData()
	s.startData()
	s.publish(daq(swf.MsgRunImminent, nil))
	for n := 1; n <= 5; n++ {
		s.publish(stf(n))
	}
	s.publish(stf(6)) // after everything else
	for range 12 {
		s.next(swf.MsgSTFReady)
	}
	s.eventually("all files once", func() bool { return len(s.files("processed")) == 6 && len(s.files("")) == 6 })
}

func TestDataAgentAnnouncesWithoutMonitorAndRegistersLater(t *testing.T) {
	s := newStage(t)
	s.down.Store(true)
	s.startData()
	s.publish(daq(swf.MsgRunImminent, nil))
	for n := 1; n <= 3; n++ {
		s.publish(stf(n))
		s.next(swf.MsgSTFReady)
	}
	s.publish(daq(swf.MsgEndRun, swf.Message{"total_stf_files": 3}))
	s.down.Store(false)
	s.eventually("three processed files", func() bool { return len(s.files("processed")) == 3 })
	s.eventually("end of the run", func() bool {
		run, err := s.monitor.RunByNumber(t.Context(), 100010)
		return err == nil && run != nil && run.EndTime != nil
	})
}

func TestDataAgentIgnoresWhatItCannotUse(t *testing.T) {
	s := newStage(t)
	s.startData()
	for _, m := range []swf.Message{
		{"msg_type": "stf_gen"}, {"msg_type": "stf_gen", "run_id": "x"}, {"msg_type": "stf_gen", "run_id": "7"},
		{"msg_type": "end_run", "run_id": "8"}, {"msg_type": "unheard_of"}, {"run_id": 5}, {},
	} {
		s.publish(m)
	}
	s.publish(daq(swf.MsgRunImminent, swf.Message{"run_id": 100010})) // a number is understood
	s.publish(stf(1))
	s.next(swf.MsgSTFReady)
	s.eventually("the one good file", func() bool { return len(s.files("processed")) == 1 })
	runs, err := s.monitor.Runs(context.Background())
	if err != nil || len(runs) != 1 || runs[0].RunNumber != 100010 {
		t.Errorf("runs %+v, %v", runs, err)
	}
}
