package recorder

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Collectors are the recorder's state for Prometheus: what became of the
// messages, how many wait and for how long the oldest of them has. They cost
// nothing until they are collected.
func (r *Recorder) Collectors() []prometheus.Collector {
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "swf", Subsystem: "recorder", Name: name, Help: help}, value)
	}
	return []prometheus.Collector{
		&outcomes{r, prometheus.NewDesc("swf_recorder_messages_total",
			"Messages of the bus by what became of them; dropped and refused ones are lost.", []string{"result"}, nil)},
		gauge("queue_length", "Messages that wait for the store.", func() float64 { return float64(len(r.queue)) }),
		gauge("queue_bytes", "Bytes of the messages that wait for the store.", func() float64 { return float64(r.bytes.Load()) }),
		gauge("lag_seconds", "How far the store is behind the bus: the age of the message that is being written, 0 when none is.", func() float64 { return r.lag().Seconds() }),
	}
}

// lag is the age of the oldest message in the hands of write.
func (r *Recorder) lag() time.Duration {
	if at := r.writing.Load(); at != 0 {
		return max(0, r.o.Now().Sub(time.Unix(0, at)))
	}
	return 0
}

// outcomes exposes Stats.
type outcomes struct {
	r    *Recorder
	desc *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (o *outcomes) Describe(ch chan<- *prometheus.Desc) { ch <- o.desc }

// Collect implements prometheus.Collector.
func (o *outcomes) Collect(ch chan<- prometheus.Metric) {
	s := o.r.Stats()
	for _, one := range []struct {
		result string
		n      uint64
	}{{"recorded", s.Recorded}, {"repeated", s.Repeated}, {"ignored", s.Ignored}, {"malformed", s.Malformed}, {"dropped", s.Dropped}, {"refused", s.Refused}} {
		ch <- prometheus.MustNewConstMetric(o.desc, prometheus.CounterValue, float64(one.n), one.result)
	}
}
