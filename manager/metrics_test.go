package manager

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

// TestMetricsTellWhatHappened, and a manager that has ended leaves nothing in
// the registry, so that the next one in this process can register its own.
func TestMetricsTellWhatHappened(t *testing.T) {
	b := newBench(t)
	reg := prometheus.NewPedanticRegistry()
	b.metrics = reg
	w := b.wire()
	for range 2 {
		m := b.manager()
		b.want(b.ask(control.Command{Verb: control.StartTestbed, ConfigName: "no-such"}), control.Refused, swf.CodeUnknownConfig)
		b.want(b.ask(control.Command{Verb: control.StopTestbed}), control.Succeeded, "")
		_, body := command(t, control.Command{Verb: control.StopTestbed})
		w.send(swf.ControlQueue("ann"), control.NewKey().Sign(control.DomainCommand, body), body)
		polled(t, "the forgery is counted", func() bool {
			return value(t, reg, "swf_manager_refused_messages_total", "code", string(swf.CodeBadSignature)) == 1
		})
		polled(t, "a heartbeat has looked at supervisord", func() bool { return value(t, reg, "swf_manager_supervisord_healthy", "", "") == 1 })
		for _, want := range []struct {
			name, label, value string
			n                  float64
		}{
			{"swf_manager_commands_total", "outcome", "refused", 1},
			{"swf_manager_commands_total", "outcome", "succeeded", 1},
			{"swf_manager_busy_since_timestamp_seconds", "", "", 0},
			{"swf_manager_journal_sealed", "", "", 0},
			{"stomp_connection_up", "connection", "consuming", 1},
		} {
			if got := value(t, reg, want.name, want.label, want.value); got != want.n {
				t.Errorf("%s of %q is %v, not %v", want.name, want.value, got, want.n)
			}
		}
		if value(t, reg, "swf_manager_journal_commands", "", "") < 2 || value(t, reg, "swf_manager_journal_bytes", "", "") == 0 {
			t.Error("the journal is empty")
		}
		m.leave(t)
		if families, err := reg.Gather(); err != nil || len(families) != 0 {
			t.Fatalf("%d families are left, %v", len(families), err)
		}
	}
}

// TestTraceHeaderDecidesNothing: a command is executed the same way with any
// header, and nothing of it outlives the command.
func TestTraceHeaderDecidesNothing(t *testing.T) {
	b := newBench(t)
	recorded := tracetest.NewSpanRecorder()
	b.tracer = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorded))
	m := b.manager()
	w := b.wire()
	const sender = "0af7651916cd43dd8448eb211c80319c"
	for _, header := range []string{"00-" + sender + "-b7ad6b7169203331-01", "00-nonsense", ""} {
		cmd, body := command(t, control.Command{Verb: control.StopTestbed})
		h := map[string]string{control.SignatureHeader: b.key.Sign(control.DomainCommand, body), control.TraceHeader: header}
		if err := w.conn.Publish(t.Context(), amq.Message{Destination: swf.ControlQueue("ann"), Headers: h, Body: body}); err != nil {
			t.Fatal(err)
		}
		polled(t, "it succeeds", func() bool {
			rec, err := m.m.journal.Get(cmd.ID)
			return err == nil && rec != nil && rec.Phase == phaseDone && rec.Outcome.Outcome == control.Succeeded
		})
		polled(t, "its trace is forgotten", func() bool {
			m.m.traces.mu.Lock()
			defer m.m.traces.mu.Unlock()
			return len(m.m.traces.of) == 0
		})
	}
	m.leave(t)
	count := map[string]int{}
	for _, s := range recorded.Ended() {
		if s.SpanContext().TraceID().String() == sender {
			count[s.Name()]++
		}
	}
	for _, name := range []string{"accept stop_testbed", "journal accepted", "execute stop_testbed", "journal outcome"} {
		if count[name] != 1 {
			t.Errorf("%d spans %q in the sender's trace: %v", count[name], name, count)
		}
	}
}

// polled waits for what nobody tells.
func polled(t *testing.T, what string, ok func() bool) {
	t.Helper()
	end := time.NewTimer(time.Minute)
	defer end.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-end.C:
			t.Fatal("waited in vain: ", what)
		}
	}
}

// value adds up the series of a name whose label has that value, "" all.
func value(t *testing.T, r prometheus.Gatherer, name, label, of string) float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == label && l.GetValue() == of {
					sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
				}
			}
			if label == "" {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}
