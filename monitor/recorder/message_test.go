package recorder

import (
	"encoding/json"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/epic-swf/testbed/amq"
)

// FuzzHeard: whatever is on the bus, a message that is kept has a record that
// every database takes, and the same id twice.
func FuzzHeard(f *testing.F) {
	for _, seed := range []string{
		`{"msg_type":"end_run","run_id":"100010","simulation_tick":34.2,"timestamp":"2026-11-23T12:00:00"}`,
		`{"msg_type":"start_run","run_id":100010,"state":"run","substate":null,"execution_id":7}`,
		`{"agent_name":"a","status":"OK","timestamp":"9999-12-31T23:59:59"}`, `{"agent_name":{},"status":[]}`,
		`{"msg_type":"\u0000","sender":"\ud800"}`, `{"msg_type":{"a":1}}`, `{"run_id":"1e999","msg_type":"pause_run","simulation_tick":"NaN"}`,
		`[]`, `null`, `"x"`, ``, "\xff", `{"msg_type":"run_imminent","run_id":" -1 "}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		now := time.Unix(1, 0)
		h, p, err := heard(amq.Message{Destination: "/topic/epictopic", Body: body}, now)
		if err != nil || h.Message == nil {
			return
		}
		again, _, _ := heard(amq.Message{Body: body}, now)
		if again.Message["message_id"] != h.Message["message_id"] {
			t.Fatal("another id")
		}
		for name, v := range h.Message {
			if s, ok := v.(string); ok && (!utf8.ValidString(s) || len([]rune(s)) > 100) {
				t.Fatalf("%s: %q", name, s)
			}
		}
		if e, err := enriched(p, h.Message); err != nil || !json.Valid(e) {
			t.Fatalf("%v: %s", err, e)
		}
	})
}
