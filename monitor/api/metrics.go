package api

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/epic-swf/testbed/monitor/store"
	"github.com/epic-swf/testbed/swf"
)

// countWait bounds the questions to the store of one collection.
const countWait = 3 * time.Second

// Collectors are what a monitor knows, for Prometheus: agents and managers by
// whether they were heard within their lease, executions that run, followers of
// the stream, and whether the store answers. The store is asked when they are
// collected, for 3 s at most.
func Collectors(s Records, hub *Hub, now func() time.Time) []prometheus.Collector {
	if now == nil {
		now = time.Now
	}
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("swf_monitor_"+name, help, labels, nil)
	}
	return []prometheus.Collector{
		&census{store: s, now: now,
			agents:     desc("agents", "Agents and managers that have not said goodbye, by type (manager, agent) and lease (held, lost): heard within it, or not.", "type", "lease"),
			executions: desc("running_executions", "Workflow executions that run."),
			up:         desc("store_up", "Whether the store answered the questions of this collection (1) or not (0)."),
		},
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "swf", Subsystem: "monitor", Name: "stream_followers", Help: "Clients that follow the stream of messages."},
			func() float64 {
				hub.mu.Lock()
				defer hub.mu.Unlock()
				return float64(len(hub.followers))
			}),
	}
}

// census counts records.
type census struct {
	store                  Records
	now                    func() time.Time
	agents, executions, up *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c *census) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.agents
	ch <- c.executions
	ch <- c.up
}

// Collect implements prometheus.Collector.
func (c *census) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), countWait)
	defer cancel()
	up := 1.0
	count := func(t *store.Table, q store.Query) float64 {
		n, err := c.store.Count(ctx, t, q)
		if err != nil {
			up = 0
		}
		return float64(n)
	}
	// Who says goodbye is EXITED; the lease of Python's, which beat every 30 s,
	// is the one that wrongs nobody here.
	since := c.now().Add(-store.LostAfterPython)
	living := func(where ...store.Condition) (managers, agents float64) {
		for _, status := range []string{swf.StatusOK, swf.StatusWarning, swf.StatusError} {
			all := count(store.Agents, store.Query{Equal: map[string]any{"status": status}, Where: where})
			m := count(store.Agents, store.Query{Equal: map[string]any{"status": status, "agent_type": swf.AgentTypeManager}, Where: where})
			managers, agents = managers+m, agents+all-m
		}
		return managers, agents
	}
	heldManagers, heldAgents := living(store.Condition{Column: "last_heartbeat", Is: store.AtLeast, Value: since})
	lostManagers, lostAgents := living(store.Condition{Column: "last_heartbeat", Is: store.Below, Value: since})
	running := count(store.Executions, store.Query{Equal: map[string]any{"status": swf.ExecutionRunning}})
	if up == 1 {
		ch <- prometheus.MustNewConstMetric(c.agents, prometheus.GaugeValue, heldManagers, "manager", "held")
		ch <- prometheus.MustNewConstMetric(c.agents, prometheus.GaugeValue, heldAgents, "agent", "held")
		ch <- prometheus.MustNewConstMetric(c.agents, prometheus.GaugeValue, lostManagers, "manager", "lost")
		ch <- prometheus.MustNewConstMetric(c.agents, prometheus.GaugeValue, lostAgents, "agent", "lost")
		ch <- prometheus.MustNewConstMetric(c.executions, prometheus.GaugeValue, running)
	}
	ch <- prometheus.MustNewConstMetric(c.up, prometheus.GaugeValue, up)
}
