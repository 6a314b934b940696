package amq_test

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/amq/broker"
)

// TestMetricsFollowTheLinks: what Prometheus is told is what happened.
func TestMetricsFollowTheLinks(t *testing.T) {
	s := newEmbedded(t, broker.Options{})
	c := amq.New(brisk(s.Addr()))
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(amq.Metrics(c, prometheus.Labels{"part": "test"}))
	if got := total(t, r, "stomp_connection_up"); got != 0 {
		t.Errorf("%v connections are up before there is any", got)
	}
	start(t, c)
	if err := c.WaitUp(within(t)); err != nil {
		t.Fatal(err)
	}
	publish(t, c, unique(t, "queue"), "x")
	for name, want := range map[string]float64{"stomp_connection_up": 2, "stomp_connects_total": 2, "stomp_connection_failures_total": 0, "stomp_published_total": 1, "stomp_publish_failures_total": 0} {
		if got := total(t, r, name); got != want {
			t.Errorf("%s is %v, not %v", name, got, want)
		}
	}
	s.Stop(t)
	waitDown(t, c)
	s.Start(t)
	if err := c.WaitUp(within(t)); err != nil {
		t.Fatal(err)
	}
	if up, connects, failures := total(t, r, "stomp_connection_up"), total(t, r, "stomp_connects_total"), total(t, r, "stomp_connection_failures_total"); up != 2 || connects < 3 || failures < 1 {
		t.Errorf("after a restart of the broker: %v up, %v connects, %v failures", up, connects, failures)
	}
}

// total adds up the series of a name.
func total(t *testing.T, r prometheus.Gatherer, name string) float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum, found := 0.0, false
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name {
				sum, found = sum+m.GetGauge().GetValue()+m.GetCounter().GetValue(), true
			}
		}
	}
	if !found {
		t.Errorf("there is no %s", name)
	}
	return sum
}
