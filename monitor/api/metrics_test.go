package api_test

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/epic-swf/testbed/monitor/api"
	"github.com/epic-swf/testbed/monitor/store"
	"github.com/epic-swf/testbed/swf"
)

// TestCensus counts who was heard, who went silent, and not who said goodbye.
func TestCensus(t *testing.T) {
	s := newSite(t, "")
	beat := func(name, kind, status string) {
		if _, _, err := s.store.Beat(t.Context(), store.Beat{Instance: name, Values: store.Record{"instance_name": name, "agent_type": kind, "status": status}}); err != nil {
			t.Fatal(err)
		}
	}
	beat("silent", "data", swf.StatusOK)
	beat("gone", "data", swf.StatusExited)
	s.clock.Advance(store.LostAfterPython + time.Second)
	beat("manager-ann", swf.AgentTypeManager, swf.StatusWarning)
	r := prometheus.NewPedanticRegistry()
	for _, c := range api.Collectors(s.store, api.NewHub(), s.clock.Now) {
		r.MustRegister(c)
	}
	want := `# HELP swf_monitor_agents Agents and managers that have not said goodbye, by type (manager, agent) and lease (held, lost): heard within it, or not.
# TYPE swf_monitor_agents gauge
swf_monitor_agents{lease="held",type="agent"} 0
swf_monitor_agents{lease="held",type="manager"} 1
swf_monitor_agents{lease="lost",type="agent"} 1
swf_monitor_agents{lease="lost",type="manager"} 0
# HELP swf_monitor_store_up Whether the store answered the questions of this collection (1) or not (0).
# TYPE swf_monitor_store_up gauge
swf_monitor_store_up 1
`
	if err := testutil.GatherAndCompare(r, strings.NewReader(want), "swf_monitor_agents", "swf_monitor_store_up"); err != nil {
		t.Error(err)
	}
}
