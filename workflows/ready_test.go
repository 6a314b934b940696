package workflows

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/epic-swf/testbed/swf"
)

func TestReady(t *testing.T) {
	s := newStage(t, strings.Replace(testbedFile, "enabled = false", "enabled = true", 1))
	r, err := New(s.options())
	if err != nil {
		t.Fatal(err)
	}
	ns, other, now, old := "ns1", "ns2", swf.At(time.Now()), swf.At(time.Now().Add(-time.Hour))
	good := swf.Agent{InstanceName: "data-agent-ann-7", AgentType: "DATA", OperationalState: swf.OpReady, Namespace: &ns, LastHeartbeat: &now,
		Metadata: json.RawMessage(`{"start_id":"start-1","program":"example-data-agent"}`)}
	for name, tc := range map[string]struct {
		change func(*swf.Agent)
		ready  bool
	}{
		"ours":              {func(*swf.Agent) {}, true},
		"working":           {func(a *swf.Agent) { a.OperationalState = swf.OpProcessing }, true},
		"not yet ready":     {func(a *swf.Agent) { a.OperationalState = swf.OpStarting }, false},
		"earlier start":     {func(a *swf.Agent) { a.Metadata = json.RawMessage(`{"start_id":"start-0"}`) }, false},
		"another program":   {func(a *swf.Agent) { a.Metadata = json.RawMessage(`{"start_id":"start-1","program":"p"}`) }, false},
		"another namespace": {func(a *swf.Agent) { a.Namespace = &other }, false},
		"another user":      {func(a *swf.Agent) { a.InstanceName = "data-agent-bob-7" }, false},
		"Python, fresh":     {func(a *swf.Agent) { a.Metadata = json.RawMessage("null") }, true},
		"Python, old":       {func(a *swf.Agent) { a.Metadata = nil; a.LastHeartbeat = &old }, false},
		"another kind":      {func(a *swf.Agent) { a.Metadata = nil; a.AgentType = "fastmon" }, false},
	} {
		a := good
		tc.change(&a)
		if got := len(r.missing([]swf.Agent{a})) == 0; got != tc.ready {
			t.Errorf("%s: ready is %v", name, got)
		}
	}
}
