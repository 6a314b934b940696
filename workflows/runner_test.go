package workflows

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/epic-swf/testbed/agents"
	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/swf"
)

func TestRunInVirtualTimeWithADataAgent(t *testing.T) {
	s := newStage(t, strings.Replace(testbedFile, "enabled = false", "enabled = true", 1))
	data, err := agents.NewData(agents.Options{
		Bus: s.bus, Monitor: s.monitor, Username: "ann", Namespace: "ns1", StartID: "start-1", Program: "example-data-agent",
	})
	if err != nil {
		t.Fatal(err)
	}
	s.background(func(ctx context.Context) { data.Run(ctx) })
	s.start(s.options())
	id := s.begin("c1", control.RunParams{Params: map[string]any{"stf_count": 3}})
	if id != "stf_datataking-ann-0001" {
		t.Errorf("execution id %s", id)
	}
	var ticks []string
	for _, kind := range []string{"run_imminent", "start_run", "stf_gen", "stf_gen", "stf_gen", "end_run"} {
		m := s.next(kind)
		ticks = append(ticks, fmt.Sprint(m["simulation_tick"]))
		if m.Namespace() != "ns1" || m.ExecutionID() != id || m.RunID() != "100010" || !strings.HasPrefix(m["sender"].(string), "daq_simulator-agent-ann-") {
			t.Errorf("%s: %v", kind, m)
		}
		if at, err := swf.ParseTimestamp(m["timestamp"].(string)); err != nil || strings.HasSuffix(m["timestamp"].(string), "Z") || time.Since(at.Time).Abs() > time.Hour {
			t.Errorf("%s: timestamp %v", kind, m["timestamp"])
		}
	}
	if got := strings.Join(ticks, " "); got != "5 13.1 14.2 16.6 19 19.2" {
		t.Errorf("ticks %s", got)
	}
	x := s.execution(id, swf.ExecutionCompleted)
	var sections map[string]map[string]any
	if err := json.Unmarshal(x.ParameterValues, &sections); err != nil || sections["stf_datataking"]["stf_count"] != 3.0 || sections["daq_state_machine"] == nil {
		t.Errorf("parameter_values %s, %v", x.ParameterValues, err)
	}
	if x.EndTime == nil || x.ExecutedBy != "ann" || x.Namespace == nil || *x.Namespace != "ns1" || !strings.Contains(string(x.PerformanceMetrics), `"stf_count":3,"stf_ready":3`) {
		t.Errorf("execution %+v metrics %s", x, x.PerformanceMetrics)
	}
	d, err := s.monitor.FindDefinition(t.Context(), "stf_datataking", "1.0")
	if err != nil || d == nil || d.ID != x.WorkflowDefinition || d.CreatedBy != "ann" || !strings.Contains(d.Definition, "stf_interval") {
		t.Errorf("definition %+v, %v", d, err)
	}
	s.eventually("three processed files", func() bool {
		files, err := s.monitor.STFFiles(t.Context(), monitor.FileFilter{RunNumber: 100010, Status: "processed"})
		return err == nil && len(files) == 3
	})
	if n := s.patched(); n != 1 {
		t.Errorf("%d PATCHes of the execution", n)
	}
	s.eventually("the claim is closed", func() bool { // which is after the monitor has heard
		open, err := s.runs.Open()
		return err == nil && len(open) == 0
	})
}

func TestOneRunAtATimeAndStopInMidSleep(t *testing.T) {
	s := newStage(t, testbedFile)
	s.start(s.options())
	s.refused(s.ask(control.StopWorkflow, "c0", control.StopParams{}), swf.CodeNotRunning)
	id := s.begin("c1", control.RunParams{Realtime: yes(), Params: map[string]any{"no_beam_not_ready_delay": 0, "beam_not_ready_delay": 3600}})
	s.execution(id, swf.ExecutionRunning) // which the answer waited for, but no longer than half a second
	imminent := s.next(swf.MsgRunImminent)

	if again := s.run("c1", control.RunParams{}); again.Outcome != control.Succeeded || again.ExecutionID != id {
		t.Errorf("a copy of the command: %+v", again)
	}
	busy := s.run("c2", control.RunParams{})
	if s.refused(busy, swf.CodeBusy); busy.ExecutionID != id {
		t.Errorf("busy names %q", busy.ExecutionID)
	}
	other := s.ask(control.StopWorkflow, "c3", control.StopParams{ExecutionID: "stf_datataking-ann-0099"})
	s.refused(other, swf.CodeUnknownExecution)

	status := s.ask(control.Status, "", nil)
	var told Status
	if err := json.Unmarshal(status.Details, &told); err != nil || !told.Running || told.ExecutionID != id || told.Workflow != "stf_datataking" ||
		told.Phase != "beam/not_ready" || told.Since == nil || status.Pong == nil || status.Pong.BusyID != id {
		t.Errorf("status %s, pong %+v, err %v", status.Details, status.Pong, err)
	}
	begin := time.Now()
	stop := s.ask(control.StopWorkflow, "c4", control.StopParams{ExecutionID: id})
	t.Logf("stopped after %v", time.Since(begin))
	if stop.Outcome != control.Succeeded || stop.ExecutionID != id {
		t.Fatalf("stop: %+v %+v", stop, stop.Error)
	}
	end := s.next(swf.MsgEndRun)
	if end.RunID() != imminent.RunID() || end["total_stf_files"] != 0.0 || !strings.Contains(end["reason"].(string), "by ann") || end["simulation_tick"].(float64) > 60 {
		t.Errorf("end_run %v", end)
	}
	x := s.execution(id, swf.ExecutionTerminated)
	if x.EndTime == nil || !strings.Contains(string(x.PerformanceMetrics), "stopped by ann") || s.patched() != 1 {
		t.Errorf("execution %+v metrics %s, %d PATCHes", x, x.PerformanceMetrics, s.patched())
	}
	again := s.ask(control.StopWorkflow, "c4", control.StopParams{ExecutionID: id})
	if again.Outcome != control.Succeeded || again.ExecutionID != id {
		t.Errorf("a copy of the stop: %+v", again)
	}
	s.refused(s.ask(control.StopWorkflow, "c5", control.StopParams{ExecutionID: id}), swf.CodeNotRunning)
	next := s.begin("c6", control.RunParams{Params: map[string]any{"stf_count": 1}})
	s.execution(next, swf.ExecutionCompleted)
}

func TestRunsThatAreRefused(t *testing.T) {
	s := newStage(t, testbedFile)
	s.start(s.options())
	for i, tc := range []struct {
		p    control.RunParams
		code swf.Code
		says string
	}{
		{control.RunParams{Workflow: "bogus"}, swf.CodeUnknownWorkflow, "stf_datataking"},
		{control.RunParams{Config: "bogus"}, swf.CodeUnknownConfig, ""},
		{control.RunParams{Workflow: "bogus", Config: "stf_datataking_default"}, swf.CodeUnknownWorkflow, "stf_datataking"},
		{control.RunParams{Namespace: "ns2"}, swf.CodeWrongNamespace, ""},
		{control.RunParams{Params: map[string]any{"stf_cuont": 3}}, swf.CodeInvalidArgument, ""},
		{control.RunParams{Workflow: "../x"}, swf.CodeInvalidArgument, ""},
	} {
		r := s.run(fmt.Sprint("c", i), tc.p)
		if s.refused(r, tc.code); r.Error != nil && !strings.Contains(r.Error.Hint+r.Error.Message, tc.says) {
			t.Errorf("%+v: %+v", tc.p, r.Error)
		}
	}
	s.refused(s.ask(control.StartTestbed, "c20", nil), swf.CodeUnsupported)
	if _, won, err := s.runs.Claim(control.Claim{CommandID: "c30", Withdrawn: "a stop began", At: time.Now()}); err != nil || !won {
		t.Fatal(won, err)
	}
	s.refused(s.run("c30", control.RunParams{}), swf.CodeSuperseded)
	if xs, err := s.monitor.Executions(t.Context(), monitor.Filter{}); err != nil || len(xs) != 0 {
		t.Errorf("executions %v, %v", xs, err)
	}
}

func TestOnlyTheKeyOfThisStartIsObeyed(t *testing.T) {
	s := newStage(t, testbedFile)
	s.start(s.options())
	cmd := control.Command{Verb: control.RunWorkflow, ID: "forged", Username: "ann", IssuedAt: time.Now(), ExpiresAt: time.Now().Add(time.Minute), ReplyTo: swf.ReplyPrefix + "x"}
	body, err := cmd.Encode()
	if err != nil {
		t.Fatal(err)
	}
	foreign := cmd
	foreign.Username = "bob"
	theirs, err := foreign.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []amq.Message{
		{Body: body},
		{Body: body, Headers: map[string]string{control.SignatureHeader: control.NewKey().Sign(control.DomainCommand, body)}},
		{Body: body, Headers: map[string]string{control.SignatureHeader: s.key.Sign(control.DomainReply, body)}},
		{Body: theirs, Headers: map[string]string{control.SignatureHeader: s.key.Sign(control.DomainCommand, theirs)}},
		{Body: []byte("not json")},
	} {
		m.Destination = swf.WorkflowQueue("ann")
		if err := s.bus.Publish(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	if pong := s.ask(control.Ping, "", nil).Pong; pong == nil || pong.Username != "ann" || pong.Namespace != "ns1" || pong.BusyID != "" || pong.Protocol != control.Protocol {
		t.Errorf("pong %+v", pong) // it comes after all of them were handled
	}
	if _, err := s.runs.Read("forged"); err == nil {
		t.Error("the forged command was claimed")
	}
}

func TestExpiredCommandsAreNotBegun(t *testing.T) {
	s := newStage(t, testbedFile)
	late := control.Command{Verb: control.RunWorkflow, ID: "late", Username: "ann", IssuedAt: time.Now(), ExpiresAt: time.Now().Add(300 * time.Millisecond)}
	replies := make(chan control.Reply, 1)
	s.background(func(ctx context.Context) {
		if r, err := s.client.Ask(ctx, late, nil); err == nil {
			replies <- r
		}
	})
	<-time.After(time.Until(late.ExpiresAt)) // the runner comes back too late
	s.start(s.options())
	select {
	case r := <-replies:
		if r.Outcome != control.Expired || r.Error == nil || r.Error.Code != swf.CodeExpired {
			t.Errorf("reply %+v", r)
		}
	case <-time.After(patience):
		t.Fatal("no reply")
	}
	if _, err := s.runs.Read("late"); err == nil {
		t.Error("the late command was claimed")
	}
}

func TestDurationEndsARun(t *testing.T) {
	s := newStage(t, testbedFile)
	s.start(s.options())
	id := s.begin("c1", control.RunParams{Realtime: no(), Duration: 20, Params: map[string]any{"physics_period_count": 0}})
	end := s.next(swf.MsgEndRun)
	if end["simulation_tick"] != 20.0 || !strings.Contains(end["reason"].(string), "duration") {
		t.Errorf("end_run %v", end)
	}
	if x := s.execution(id, swf.ExecutionCompleted); x.EndTime == nil || !strings.Contains(string(x.PerformanceMetrics), "duration") {
		t.Errorf("metrics %s", x.PerformanceMetrics)
	}
}

func TestQuitEndsTheRun(t *testing.T) {
	s := newStage(t, testbedFile)
	stop := s.start(s.options())
	id := s.begin("c1", control.RunParams{Realtime: yes(), Params: map[string]any{"no_beam_not_ready_delay": 0}})
	s.next(swf.MsgRunImminent)
	begin := time.Now()
	stop()
	t.Logf("quit after %v", time.Since(begin))
	if end := s.next(swf.MsgEndRun); !strings.Contains(end["reason"].(string), "quit") {
		t.Errorf("end_run %v", end)
	}
	if x := s.execution(id, swf.ExecutionTerminated); x.EndTime == nil {
		t.Errorf("execution %+v", x)
	}
	s.eventually("the runner is known to have exited", func() bool {
		all, err := s.monitor.Agents(t.Context())
		return err == nil && len(all) == 1 && all[0].OperationalState == swf.OpExited && all[0].AgentType == "DAQ_Simulator"
	})
	if open, err := s.runs.Open(); err != nil || len(open) != 0 {
		t.Errorf("open claims %v, %v", open, err)
	}
}

func TestARestartedRunnerEndsWhatWasLostAndRerunsNothing(t *testing.T) {
	s := newStage(t, testbedFile)
	namespace := "ns1"
	d, err := s.monitor.CreateDefinition(t.Context(), swf.Definition{WorkflowName: "stf_datataking", Version: "0.9", WorkflowType: "simulation", Definition: "x", CreatedBy: "ann"})
	if err != nil {
		t.Fatal(err)
	}
	for n, status := range []string{swf.ExecutionRunning, swf.ExecutionCompleted, ""} {
		id := fmt.Sprintf("stf_datataking-ann-%04d", 90+n)
		if _, _, err := s.runs.Claim(control.Claim{CommandID: fmt.Sprint("old", n), ExecutionID: id, Workflow: "stf_datataking", Namespace: "ns1", At: time.Now()}); err != nil {
			t.Fatal(err)
		}
		if status == "" {
			continue // the monitor never heard of it
		}
		x := swf.Execution{ExecutionID: id, WorkflowDefinition: d.ID, Namespace: &namespace, Status: status, ExecutedBy: "ann", StartTime: swf.At(time.Now())}
		if _, err := s.monitor.CreateExecution(t.Context(), x); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.monitor.CreateRun(t.Context(), swf.Run{RunNumber: 100007, StartTime: swf.At(time.Now()), RunConditions: []byte(`{"execution_id":"stf_datataking-ann-0090"}`)}); err != nil {
		t.Fatal(err)
	}
	s.start(s.options())
	if end := s.next(swf.MsgEndRun); end.RunID() != "100007" || end.ExecutionID() != "stf_datataking-ann-0090" || end["reason"] != reasonLost || end.Namespace() != "ns1" {
		t.Errorf("end_run of the lost run: %v", end)
	}
	x := s.execution("stf_datataking-ann-0090", swf.ExecutionLost)
	if x.EndTime == nil || !strings.Contains(string(x.PerformanceMetrics), "reason") {
		t.Errorf("execution %+v metrics %s", x, x.PerformanceMetrics)
	}
	s.eventually("all claims ended", func() bool { open, err := s.runs.Open(); return err == nil && len(open) == 0 })
	s.execution("stf_datataking-ann-0091", swf.ExecutionCompleted)
	if r := s.run("old0", control.RunParams{}); r.Outcome != control.Succeeded || r.ExecutionID != "stf_datataking-ann-0090" {
		t.Errorf("the old command again: %+v", r)
	}
	if s.ask(control.Ping, "", nil).Pong.BusyID != "" || s.patched() != 1 {
		t.Errorf("something runs, or %d PATCHes", s.patched())
	}
}

func TestARunWithoutMonitor(t *testing.T) {
	s := newStage(t, testbedFile)
	s.down.Store(true)
	s.start(s.options())
	id := s.begin("c1", control.RunParams{Params: map[string]any{"stf_count": 2}})
	if ok, _ := regexp.MatchString(`^stf_datataking-ann-x[0-9a-f]{8}$`, id); !ok || swf.ExecutionOwner(id) != "ann" {
		t.Errorf("execution id %s", id)
	}
	if end := s.next(swf.MsgEndRun); end["total_stf_files"] != 2.0 || end["simulation_tick"] != 16.8 {
		t.Errorf("end_run %v", end)
	}
	s.down.Store(false)
	x := s.execution(id, swf.ExecutionCompleted)
	if x.EndTime == nil || s.patched() != 1 {
		t.Errorf("execution %+v, %d PATCHes", x, s.patched())
	}
}

func TestTheRunnerOutlivesItsBroker(t *testing.T) {
	s := newStage(t, testbedFile)
	s.start(s.options())
	id := s.begin("c1", control.RunParams{Realtime: yes(), Params: map[string]any{"no_beam_not_ready_delay": 0, "beam_not_ready_delay": 3600}})
	s.next(swf.MsgRunImminent)
	s.stopBroker()
	s.eventually("the broker to be missed", func() bool { return !s.bus.Up() })
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	s.startBroker(l)
	if r := s.ask(control.StopWorkflow, "c2", control.StopParams{}); r.Outcome != control.Succeeded || r.ExecutionID != id {
		t.Errorf("stop: %+v %+v", r, r.Error)
	}
	s.execution(id, swf.ExecutionTerminated)
}

// A stop must not wait for a run that waits for its agents.
func TestStopWhileWaitingForAgents(t *testing.T) {
	s := newStage(t, strings.Replace(testbedFile, "enabled = false", "enabled = true", 1))
	s.start(s.options())
	id := s.begin("c1", control.RunParams{})
	status := s.ask(control.Status, "", nil)
	if !strings.Contains(string(status.Details), `"phase":"waiting for agents"`) {
		t.Errorf("status %s", status.Details)
	}
	if r := s.ask(control.StopWorkflow, "c2", control.StopParams{}); r.Outcome != control.Succeeded {
		t.Errorf("stop: %+v", r)
	}
	if x := s.execution(id, swf.ExecutionTerminated); x.EndTime == nil {
		t.Errorf("execution %+v", x)
	}
}

func TestLegacyQueue(t *testing.T) {
	s := newStage(t, testbedFile)
	o := s.options()
	o.LegacyQueue = true
	send := func(m swf.Message) {
		t.Helper()
		body, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if err := s.bus.Publish(t.Context(), amq.Message{Destination: swf.QueueLegacyWorkflow, Body: body}); err != nil {
			t.Fatal(err)
		}
	}
	run := swf.Message{
		"msg_type": "run_workflow", "namespace": "ns1", "workflow_name": "stf_datataking", "config": nil, "realtime": false,
		"params": map[string]any{"stf_count": 1, "no_beam_not_ready_delay": 0, "namespace": "ns1"}, "timestamp": "2026-08-01T12:00:00.000001", "source": "mcp", "duration": 0,
	}
	send(run.With(swf.Message{"timestamp": "2026-08-01T11:00:00"})) // waits in the queue: stale
	s.start(o)
	s.eventually("the nonce to come back", func() bool {
		send(run)
		select {
		case m := <-s.seen:
			return m.Type() == swf.MsgRunImminent
		default:
			return false
		}
	})
	send(run.With(swf.Message{"namespace": "another"}))
	send(swf.Message{"msg_type": "status_request"})
	send(swf.Message{"msg_type": "nonsense"})
	end := s.next(swf.MsgEndRun)
	if end.ExecutionID() != "stf_datataking-ann-0001" {
		t.Errorf("the first run is %s", end.ExecutionID())
	}
	s.execution(end.ExecutionID(), swf.ExecutionCompleted)
	s.eventually("the runner idle", func() bool { return s.ask(control.Ping, "", nil).Pong.BusyID == "" })
	send(run) // the same message is the same command
	send(run.With(swf.Message{"timestamp": "2026-08-01T12:00:00.000002", "realtime": true}))
	imminent := s.next(swf.MsgRunImminent)
	if imminent.ExecutionID() != "stf_datataking-ann-0002" {
		t.Errorf("the second run is %s", imminent.ExecutionID())
	}
	send(swf.Message{"msg_type": "stop_workflow", "namespace": "ns1", "execution_id": "stf_datataking-ann-0002"})
	s.execution("stf_datataking-ann-0002", swf.ExecutionTerminated)
}
