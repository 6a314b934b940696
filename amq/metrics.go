package amq

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// counters are what a Conn has done since it was made.
type counters struct {
	out, in           linkCounters
	published, failed atomic.Uint64
}

type linkCounters struct{ connects, failures atomic.Uint64 }

// Metrics are the state of c for Prometheus: stomp_connection_up,
// stomp_connects_total and stomp_connection_failures_total, each by connection
// (publishing, consuming), stomp_published_total and
// stomp_publish_failures_total. labels tell it from the other connections of a
// registry. It costs nothing until it is collected; safe for concurrent use.
func Metrics(c *Conn, labels prometheus.Labels) prometheus.Collector {
	desc := func(name, help string, variable ...string) *prometheus.Desc {
		return prometheus.NewDesc("stomp_"+name, help, variable, labels)
	}
	return &collector{
		conn:      c,
		up:        desc("connection_up", "Whether the connection to the broker stands (1) or not (0).", "connection"),
		connects:  desc("connects_total", "Connections that the broker has taken; each after the first is a reconnect.", "connection"),
		failures:  desc("connection_failures_total", "Connections that were refused or lost.", "connection"),
		published: desc("published_total", "Messages that were handed to the network."),
		failed:    desc("publish_failures_total", "Messages that were given up because no connection took them in time."),
	}
}

type collector struct {
	conn                                      *Conn
	up, connects, failures, published, failed *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (m *collector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, ch) }

// Collect implements prometheus.Collector.
func (m *collector) Collect(ch chan<- prometheus.Metric) {
	c := m.conn
	c.mu.Lock()
	out, in := c.out != nil, c.in != nil
	c.mu.Unlock()
	for _, l := range []struct {
		role string
		up   bool
		n    *linkCounters
	}{{"publishing", out, &c.count.out}, {"consuming", in, &c.count.in}} {
		up := 0.0
		if l.up {
			up = 1
		}
		ch <- prometheus.MustNewConstMetric(m.up, prometheus.GaugeValue, up, l.role)
		ch <- prometheus.MustNewConstMetric(m.connects, prometheus.CounterValue, float64(l.n.connects.Load()), l.role)
		ch <- prometheus.MustNewConstMetric(m.failures, prometheus.CounterValue, float64(l.n.failures.Load()), l.role)
	}
	ch <- prometheus.MustNewConstMetric(m.published, prometheus.CounterValue, float64(c.count.published.Load()))
	ch <- prometheus.MustNewConstMetric(m.failed, prometheus.CounterValue, float64(c.count.failed.Load()))
}
