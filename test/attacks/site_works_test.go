package attacks

import (
	"encoding/json"
	"testing"
)

// TestSiteWorks is the control of all attacks: who does what is theirs gets it,
// over every transport, so that a refusal means something.
func TestSiteWorks(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{})
	u := s.startManager(ann)
	everyTransport(t, s, func(t *testing.T, connect func(string) *client) {
		a := connect(ann).call(t, "check_agent_manager", nil)
		if a.Failed || a.Fields["alive"] != true {
			t.Errorf("%+v", a)
		}
	})
	c := dial(t, s, transports[1], "2025-11-25", ann, asks(func(json.RawMessage) map[string]any { return map[string]any{"action": "accept"} }))
	if a := c.call(t, "start_user_testbed", nil); a.Outcome != "succeeded" {
		t.Fatalf("start: %+v", a)
	}
	if len(s.sent.to(ann)) == 0 || len(s.sent.to(bob)) != 0 {
		t.Error("what was sent to whom is not seen")
	}
	t.Log("runs: ", u.programs())
}
