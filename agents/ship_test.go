package agents

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/swf"
)

// logs collects what is posted to a monitor that takes everything.
func logs(t *testing.T) (*monitor.Client, chan swf.LogEntry) {
	t.Helper()
	posted := make(chan swf.LogEntry, 1000)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var e swf.LogEntry
		if strings.HasSuffix(r.URL.Path, "/logs/") {
			if err := json.NewDecoder(r.Body).Decode(&e); err != nil {
				t.Error(err)
			}
			posted <- e
		}
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write([]byte(`{"agent_id":7,"status":"success"}`))
	}))
	t.Cleanup(server.Close)
	c := monitor.New(monitor.Options{URL: server.URL})
	t.Cleanup(c.Close)
	return c, posted
}

func TestLogsReachTheMonitor(t *testing.T) {
	s := newStage(t)
	o := s.options()
	var posted chan swf.LogEntry
	o.Monitor, posted = logs(t)
	b, _, _ := s.life(o)
	b.SetContext("wf-ann-0001", "100010")
	log := b.Log().With("a", 1).WithGroup("g")
	log.Debug("not sent")
	log.Info("hello", "b", "two words")
	log.Warn("", "workflow_name", "x")
	log.Error("wrong\x00", "err", "x")
	b.Log().Log(t.Context(), slog.LevelError+4, "worst", "execution_id", "other-ann-0002")
	want := []struct {
		level         int
		name, message string
	}{
		{20, "INFO", "hello a=1 g.b=two words"},
		{30, "WARNING", " a=1 g.workflow_name=x"},
		{40, "ERROR", "wrong a=1 g.err=x"},
		{50, "CRITICAL", "worst execution_id=other-ann-0002"},
	}
	for _, w := range want {
		var e swf.LogEntry
		select {
		case e = <-posted:
		case <-time.After(patience):
			t.Fatalf("no record %q came", w.message)
		}
		if e.Level != w.level || e.LevelName != w.name || e.Message != w.message || e.AppName != "base_agent" ||
			!strings.HasPrefix(e.InstanceName, "data-agent-ann-") || e.Module != "ship_test" || e.LineNo == 0 || !strings.Contains(e.FuncName, "TestLogs") || e.Process == 0 {
			t.Errorf("got %+v, want %+v", e, w)
		}
		var extra map[string]string
		if err := json.Unmarshal(e.ExtraData, &extra); err != nil || extra["username"] != "ann" || extra["run_id"] != "100010" || extra["execution_id"] == "" {
			t.Errorf("extra_data %s, %v", e.ExtraData, err)
		}
		if w.level == 50 && extra["execution_id"] != "other-ann-0002" {
			t.Errorf("extra_data %s", e.ExtraData)
		}
	}
}

func TestLoggingNeverBlocks(t *testing.T) {
	s := newStage(t)
	s.down.Store(true)
	b, err := New("DATA", s.options()) // nobody posts
	if err != nil {
		t.Fatal(err)
	}
	for n := range logsSize + 10 {
		b.Log().Info("flood", "n", n)
	}
	if n, dropped := b.logs.waiting(); n != logsSize || dropped != 10 {
		t.Errorf("%d wait, %d dropped", n, dropped)
	}
}

func TestPythonLevels(t *testing.T) {
	for l, want := range map[slog.Level]int{-8: 10, slog.LevelDebug: 10, slog.LevelInfo: 20, 2: 20, slog.LevelWarn: 30, 7: 30, slog.LevelError: 40, 11: 40, 12: 50, 20: 50} {
		if got, _ := pythonLevel(l); got != want {
			t.Errorf("%v is %d, want %d", l, got, want)
		}
	}
}
