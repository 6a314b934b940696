package manager

import (
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

// metrics are what a manager counts, and what it knows when it is asked. Each
// label has a closed set of values: nothing that a sender chooses becomes one.
type metrics struct {
	commands  *prometheus.CounterVec
	accept    prometheus.Histogram
	execute   *prometheus.HistogramVec
	refused   *prometheus.CounterVec
	unsent    prometheus.Counter
	beats     *prometheus.CounterVec
	lastBeat  prometheus.Gauge
	programs  *prometheus.GaugeVec
	supervise prometheus.Gauge
}

func newMetrics() *metrics {
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: "swf", Subsystem: "manager", Name: name, Help: help}
	}
	counter := func(name, help string) prometheus.CounterOpts { return prometheus.CounterOpts(opts(name, help)) }
	gauge := func(name, help string) prometheus.GaugeOpts { return prometheus.GaugeOpts(opts(name, help)) }
	c := &metrics{
		commands: prometheus.NewCounterVec(counter("commands_total", "Commands that have an outcome."), []string{"command", "outcome"}),
		accept: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "swf", Subsystem: "manager", Name: "accept_seconds",
			Help: "From a command's arrival until it is on disk and said to be accepted.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 14)}),
		execute: prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "swf", Subsystem: "manager", Name: "execute_seconds",
			Help: "From a command's acceptance until its outcome is on disk.", Buckets: []float64{.01, .05, .1, .25, .5, 1, 2.5, 5, 10, 20, 30, 60, 120}}, []string{"command"}),
		refused:   prometheus.NewCounterVec(counter("refused_messages_total", "Messages that did not get past the door, by the code of the error."), []string{"code"}),
		unsent:    prometheus.NewCounter(counter("unsent_replies_total", "Replies that were dropped or that the broker did not take; the journal has the outcomes.")),
		beats:     prometheus.NewCounterVec(counter("heartbeats_total", "Heartbeats to the monitor, by result (ok, failed)."), []string{"result"}),
		lastBeat:  prometheus.NewGauge(gauge("last_heartbeat_timestamp_seconds", "When the monitor last took a heartbeat.")),
		programs:  prometheus.NewGaugeVec(gauge("programs", "Programs of supervisord by state, as the last heartbeat saw them."), []string{"state"}),
		supervise: prometheus.NewGauge(gauge("supervisord_healthy", "Whether supervisord answers or is not running (1), or hangs (0).")),
	}
	c.begin()
	return c
}

// begin makes every series that there will be, at 0: the first of something is
// an increase too.
func (c *metrics) begin() {
	for _, verb := range []control.Verb{control.StartTestbed, control.StopTestbed, control.RunWorkflow, control.StopWorkflow, control.Restart} {
		c.execute.WithLabelValues(string(verb))
		for _, o := range []control.Outcome{control.Succeeded, control.Failed, control.Refused, control.Expired} {
			c.commands.WithLabelValues(string(verb), string(o))
		}
	}
	for _, code := range []swf.Code{swf.CodeBadSignature, swf.CodeForbidden, swf.CodeInvalidArgument, swf.CodeUnknownCommand} {
		c.refused.WithLabelValues(string(code))
	}
	c.beats.WithLabelValues("ok")
	c.beats.WithLabelValues("failed")
	c.saw(Observation{}, nil)
}

// ended counts a command whose outcome stands.
func (c *metrics) ended(rec *record) {
	c.commands.WithLabelValues(string(rec.Command.Verb), string(rec.Outcome.Outcome)).Inc()
	c.execute.WithLabelValues(string(rec.Command.Verb)).Observe(rec.DoneAt.Sub(rec.AcceptedAt).Seconds())
}

func (c *metrics) beat(err error) {
	if err != nil {
		c.beats.WithLabelValues("failed").Inc()
		return
	}
	c.beats.WithLabelValues("ok").Inc()
	c.lastBeat.SetToCurrentTime()
}

func (c *metrics) saw(seen Observation, err error) {
	c.supervise.Set(truth(err == nil))
	for _, s := range []swf.ProgramState{swf.ProgramRunning, swf.ProgramStarting, swf.ProgramBackoff, swf.ProgramStopping, swf.ProgramStopped, swf.ProgramExited, swf.ProgramFatal} {
		c.programs.WithLabelValues(string(s)).Set(0)
	}
	for _, p := range seen.Programs {
		c.programs.WithLabelValues(string(p.State)).Inc()
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// knowledge are the metrics that are looked up when somebody asks.
func (m *Manager) knowledge() []prometheus.Collector {
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "swf", Subsystem: "manager", Name: name, Help: help}, value)
	}
	return []prometheus.Collector{
		gauge("busy_since_timestamp_seconds", "When the command that holds the executor was taken; 0 when it is free.", func() float64 {
			if j := m.exec.Holder(); j != nil {
				return seconds(j.since)
			}
			return 0
		}),
		gauge("last_probe_timestamp_seconds", "When a ping to itself last came back through the broker; 0 when none has.", func() float64 {
			return float64(m.probed.Load()) / float64(time.Second)
		}),
		gauge("monitor_up", "Whether the monitor took the last heartbeat (1) or not (0).", func() float64 { return truth(m.monitorUp.Load()) }),
		gauge("reply_queue_length", "Replies that wait for the broker.", func() float64 { return float64(len(m.outbox)) }),
		gauge("untold_outcomes", "Outcomes that wait for the monitor.", func() float64 { return float64(len(m.told)) }),
		gauge("journal_commands", "Ids in the journal.", func() float64 { return float64(m.journal.ids()) }),
		gauge("journal_capacity_commands", "Ids that the journal may hold.", func() float64 { return keepIDs }),
		gauge("journal_bytes", "Size of the journal's file.", func() float64 { return float64(fileSize(m.journal.path)) }),
		gauge("journal_sealed", "Whether the journal is damaged and takes nothing (1).", func() float64 { return truth(m.journal.Sealed() != nil) }),
		gauge("state_free_bytes", "Space that is left where the journal is.", func() float64 { return float64(freeBytes(m.o.Paths.State)) }),
		amq.Metrics(m.bus, prometheus.Labels{"part": "manager"}),
	}
}

func seconds(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }

func fileSize(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// expose registers everything until the function that it returns is called: a
// restarted manager in the same process registers its own.
func (m *Manager) expose() (withdraw func()) {
	if m.o.Metrics == nil {
		return func() {}
	}
	c := m.count
	all := append(m.knowledge(), c.commands, c.accept, c.execute, c.refused, c.unsent, c.beats, c.lastBeat, c.programs, c.supervise)
	var mine []prometheus.Collector
	for _, one := range all {
		if err := m.o.Metrics.Register(one); err != nil {
			m.log.Error("a metric is not exposed", "err", err)
			continue
		}
		mine = append(mine, one)
	}
	return func() {
		for _, one := range mine {
			m.o.Metrics.Unregister(one)
		}
	}
}

// turnedAway counts a message that was dropped at a door.
func (c *metrics) turnedAway(code string) { c.refused.WithLabelValues(code).Inc() }

// acceptedAfter measures an acceptance.
func (m *Manager) acceptedAfter(cmd *control.Command, took time.Duration) {
	m.count.accept.Observe(took.Seconds())
	m.logOf(cmd.ID).Info("accepted", "command", cmd.Verb, "issued_by", cmd.IssuedBy, "took", took.Round(time.Microsecond))
}
