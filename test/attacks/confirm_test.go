package attacks

import (
	"encoding/json"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/epic-swf/testbed/swf"
)

// running makes the monitor show a running execution of the user.
func (s *site) running(username, id string) {
	s.t.Helper()
	ctx, m := s.t.Context(), s.monitorClient()
	namespace := "ns-" + username
	def, err := m.FindDefinition(ctx, "stf_datataking", "1")
	if err == nil && def == nil {
		def, err = m.CreateDefinition(ctx, swf.Definition{WorkflowName: "stf_datataking", Version: "1", WorkflowType: "simulation", Definition: "x", CreatedBy: username})
	}
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := m.CreateExecution(ctx, swf.Execution{ExecutionID: id, WorkflowDefinition: def.ID, Namespace: &namespace, Status: swf.ExecutionRunning,
		ExecutedBy: username, StartTime: swf.At(time.Now()), ParameterValues: json.RawMessage("{}")}); err != nil {
		s.t.Fatal(err)
	}
}

// TestStopAsksThePerson: during a run, or for another user, a stop asks the
// person behind the client, where the client can, in the way of its version; the
// others are told what would be lost.
func TestStopAsksThePerson(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{})
	s.startManager(ann)
	start := func(t *testing.T) {
		if a := dial(t, s, transports[1], "2025-11-25", ann).call(t, "start_user_testbed", nil); a.Outcome != "succeeded" {
			t.Fatalf("start: %+v", a)
		}
	}
	const execution = "stf_datataking-ann-0007"
	s.running(ann, execution)
	start(t)
	for _, tr := range transports {
		for _, version := range tr.versions {
			t.Run(tr.name+"/"+version, func(t *testing.T) {
				can := tr.name != "sse" // the old transport has no way to ask
				var seen atomic.Value
				action := "decline"
				c := dial(t, s, tr, version, ann, asks(func(params json.RawMessage) map[string]any {
					seen.Store(string(params))
					return map[string]any{"action": action}
				}))
				a := c.call(t, "stop_user_testbed", nil)
				want := map[bool]string{true: "cancelled", false: "confirmation_required"}[can]
				if a.code() != want || !a.Failed {
					t.Fatalf("declined: %+v", a)
				}
				if question, _ := seen.Load().(string); can && (!strings.Contains(question, execution) || !strings.Contains(question, "testbed of ann")) {
					t.Errorf("asked %q", question)
				}
				action = "accept"
				if !can {
					return
				}
				if a := c.call(t, "stop_user_testbed", nil); a.Outcome != "succeeded" {
					t.Fatalf("agreed: %+v", a)
				}
				start(t)
			})
		}
	}
	everyTransport(t, s, func(t *testing.T, connect func(string) *client) {
		a := connect(ann).call(t, "stop_user_testbed", nil)
		if a.code() != "confirmation_required" || !strings.Contains(a.Text, execution) || !strings.Contains(a.Error.Hint, "confirm=true") {
			t.Errorf("a client that cannot ask: %+v", a)
		}
	})
}

// TestConsentIsForWhatWasAsked: what a person agreed to cannot be used for
// another call, by another user, or after a change of what would be lost.
func TestConsentIsForWhatWasAsked(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{})
	s.startManager(ann)
	http := transports[1]
	if a := dial(t, s, http, "2025-11-25", ann).call(t, "start_user_testbed", nil); a.Outcome != "succeeded" {
		t.Fatalf("start: %+v", a)
	}
	s.running(ann, "stf_datataking-ann-0001")
	var state string
	ask := func(username string, arguments map[string]any, state string) (result struct {
		ResultType, RequestState string
		InputRequests            map[string]any
	}) {
		c := dial(t, s, http, "2026-07-28", username, asks(func(json.RawMessage) map[string]any { return nil }))
		params := map[string]any{"name": "stop_user_testbed", "arguments": arguments}
		if state != "" {
			params["requestState"], params["inputResponses"] = state, map[string]any{"confirm": map[string]any{"action": "accept"}}
		}
		raw, err := c.ask("tools/call", params)
		if err != nil {
			t.Fatal(err)
		}
		decode(t, raw, &result)
		return result
	}
	first := ask(ann, nil, "")
	if state = first.RequestState; state == "" || len(first.InputRequests) != 1 {
		t.Fatalf("not asked: %+v", first)
	}
	forged := strings.ToUpper(state[:4]) + state[4:]
	for name, again := range map[string]struct{ RequestState string }{
		"a forged state":     {ask(ann, nil, forged).RequestState},
		"no state":           {ask(ann, nil, "x.y").RequestState},
		"of another user":    {ask(carol, map[string]any{"username": ann}, state).RequestState},
		"of other arguments": {ask(ann, map[string]any{"username": ann}, state).RequestState},
	} {
		if again.RequestState == "" {
			t.Errorf("%s: nobody was asked anew", name)
		}
	}
	s.running(ann, "stf_datataking-ann-0002")
	if again := ask(ann, nil, state); again.RequestState == "" {
		t.Error("more would be lost now, and nobody was asked anew")
	}
	for _, m := range s.sent.to(ann) {
		if strings.Contains(string(m.Body), `"stop_testbed"`) {
			t.Errorf("sent: %s", m.Body)
		}
	}
}
