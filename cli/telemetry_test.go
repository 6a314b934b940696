package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metricsql"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	yaml "go.yaml.in/yaml/v3"

	"github.com/epic-swf/testbed/config"
)

// TestWhatIsWatched brings everything up once: the names of all metrics follow
// the conventions, and dashboard and alerts ask for nothing else.
func TestWhatIsWatched(t *testing.T) {
	watchedUp(t, func(u *up, e *config.Endpoints, said string) {
		for _, url := range []string{e.Monitor + "/healthz", e.MCP} {
			get(t, url, "") // a server's series begin with its first request
		}
		problems, err := testutil.GatherAndLint(u.watch.registry)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems {
			if strings.HasPrefix(p.Metric, "swf_") || strings.HasPrefix(p.Metric, "stomp_") {
				t.Errorf("%s: %s", p.Metric, p.Text)
			}
		}
		have := exposed(t, u.watch.registry)
		for _, name := range []string{"swf_manager_commands_total", "swf_tool_calls_total", "swf_http_requests_total", "swf_recorder_lag_seconds", "swf_monitor_store_up", "stomp_connection_up"} {
			if !have[name] {
				t.Errorf("%s is not exposed", name)
			}
		}
		for where, list := range map[string][]string{"alerts": expressions(alerts(t)), "dashboard": dashboardExpressions(t)} {
			for _, expr := range list {
				for _, name := range asked(t, expr) {
					if !have[name] && name != "up" {
						t.Errorf("the %s ask for %s, which nobody exposes: %s", where, name, expr)
					}
				}
			}
		}
		url := regexp.MustCompile(`http://\S+/metrics`).FindString(said)
		token, err := os.ReadFile(filepath.Join(u.paths.Config, "metrics.token"))
		if err != nil || url == "" {
			t.Fatalf("no metrics in %q, %v", said, err)
		}
		metricsAreClosed(t, url, e, strings.TrimSpace(string(token)))
	})
}

// metricsAreClosed attacks the listener of the metrics.
func metricsAreClosed(t *testing.T, url string, e *config.Endpoints, token string) {
	t.Helper()
	for given, want := range map[string]int{"": 401, "wrong": 401, e.Token.Reveal(): 401, e.MonitorToken.Reveal(): 401, token: 200} {
		status, body := get(t, url, given)
		if status != want || strings.Contains(body, "swf_manager_") != (want == 200) {
			t.Errorf("a token of %d characters gets %d, not %d:\n%.300s", len(given), status, want, body)
		}
	}
	root := strings.TrimSuffix(url, "/metrics")
	for _, path := range []string{"/", "/debug/pprof/", "/health"} {
		if status, _ := get(t, root+path, ""); status != 401 {
			t.Errorf("%s is answered with %d to nobody", path, status)
		}
	}
	for _, other := range []string{e.Monitor, strings.TrimSuffix(e.MCP, "/mcp")} {
		if status, body := get(t, other+"/metrics", token); status == 200 || strings.Contains(body, "swf_manager_") {
			t.Errorf("%s serves metrics: %d", other, status)
		}
	}
	req, _ := http.NewRequest(http.MethodGet, url, nil)
	req.Header.Set("Authorization", "Bearer "+token)
	req.Host = "evil.example"
	if status, _ := do(t, req); status != 403 {
		t.Errorf("a foreign Host gets %d", status)
	}
}

// watchedUp runs testbed up with metrics and calls f when all is up.
func watchedUp(t *testing.T, f func(u *up, e *config.Endpoints, said string)) {
	t.Helper()
	dir, err := os.MkdirTemp("", "up") // short: sockets live in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.WriteFile(filepath.Join(dir, "swf-agent"), []byte("#!/bin/sh\n"), 0o700); err != nil { // is named in a file, and not started
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	var said bytes.Buffer
	vars := map[string]string{"HOME": dir, "PATH": os.Getenv("PATH"), "USER": os.Getenv("USER")}
	a := &app{in: strings.NewReader(""), out: io.Discard, err: &said, getenv: func(k string) string { return vars[k] },
		environ: func() []string { return []string{"HOME=" + dir, "PATH=" + vars["PATH"]} }}
	a.linked = TestLinked
	u := a.newUp(upFlags{dir: dir, broker: loopbackPort, monitor: loopbackPort, mcp: loopbackPort, metrics: metricsFlag{loopbackPort}, quiet: true})
	u.log = discardLog()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	called := false
	err = u.during(ctx, func(_ context.Context, e *config.Endpoints) error {
		called = true
		f(u, e, said.String())
		return nil
	})
	if err != nil || !called {
		t.Fatal(err, said.String())
	}
}

func get(t *testing.T, url, token string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return do(t, req)
}

func do(t *testing.T, req *http.Request) (status int, body string) {
	t.Helper()
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// exposed are the names that one can ask for.
func exposed(t *testing.T, r prometheus.Gatherer) map[string]bool {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	for _, f := range families {
		if f.GetType() != dto.MetricType_HISTOGRAM {
			have[f.GetName()] = true
			continue
		}
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			have[f.GetName()+suffix] = true
		}
	}
	return have
}

// rule is one of alerts.yaml.
type rule struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

func alerts(t *testing.T) []rule {
	t.Helper()
	f, err := os.Open("../deploy/prometheus/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var file struct {
		Groups []struct {
			Name  string `yaml:"name"`
			Rules []rule `yaml:"rules"`
		} `yaml:"groups"`
	}
	dec := yaml.NewDecoder(f)
	dec.KnownFields(true)
	if err := dec.Decode(&file); err != nil {
		t.Fatal(err)
	}
	var all []rule
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

func expressions(rules []rule) []string {
	var list []string
	for _, r := range rules {
		list = append(list, r.Expr)
	}
	return list
}

// TestEachAlertHasItsCure holds docs/operations.md to the alerts.
func TestEachAlertHasItsCure(t *testing.T) {
	text, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(text), "\n## Alerts\n")
	documented := map[string]string{}
	for _, section := range strings.Split(list, "\n### ")[1:] {
		name, body, _ := strings.Cut(section, "\n")
		documented[name] = body
	}
	for _, r := range alerts(t) {
		body := documented[r.Alert]
		delete(documented, r.Alert)
		if !strings.Contains(body, "`"+r.Expr+"`") || !strings.Contains(body, "**Cure.** ") || !strings.Contains(body, "("+r.Labels["severity"]+")") {
			t.Errorf("docs/operations.md does not say of %s what it is and how it is cured", r.Alert)
		}
		if _, err := time.ParseDuration(r.For); err != nil {
			t.Errorf("%s: for %q", r.Alert, r.For)
		}
		if r.Annotations["summary"] == "" || r.Annotations["runbook"] != "docs/operations.md#"+strings.ToLower(r.Alert) {
			t.Errorf("%s: annotations %v", r.Alert, r.Annotations)
		}
	}
	for name := range documented {
		t.Errorf("docs/operations.md has %s, which is no alert", name)
	}
}

// dashboardExpressions are the queries of the dashboard, with Grafana's
// variables filled in.
func dashboardExpressions(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../deploy/grafana/testbed.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Title, UID string
		Panels     []struct {
			ID      int
			Type    string
			Title   string
			GridPos struct{ H, W, X, Y int }
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	fill := strings.NewReplacer("$__rate_interval", "5m", "$instance", ".*")
	var list []string
	ids := map[int]bool{}
	for _, p := range dashboard.Panels {
		if ids[p.ID] || p.Title == "" || p.GridPos.W == 0 || p.GridPos.X+p.GridPos.W > 24 || (p.Type != "row") != (len(p.Targets) > 0) {
			t.Errorf("panel %d %q is not in order", p.ID, p.Title)
		}
		ids[p.ID] = true
		for _, target := range p.Targets {
			list = append(list, fill.Replace(target.Expr))
		}
	}
	return list
}

// asked are the metrics of an expression, which must parse.
func asked(t *testing.T, expr string) []string {
	t.Helper()
	parsed, err := metricsql.Parse(expr)
	if err != nil {
		t.Errorf("%s: %v", expr, err)
		return nil
	}
	found := map[string]bool{}
	metricsql.VisitAll(parsed, func(e metricsql.Expr) {
		m, ok := e.(*metricsql.MetricExpr)
		if !ok {
			return
		}
		for _, filters := range m.LabelFilterss {
			for _, f := range filters {
				if f.Label == "__name__" {
					found[f.Value] = true
				}
			}
		}
	})
	if len(found) == 0 {
		t.Errorf("%s asks for nothing", expr)
	}
	return slices.Collect(maps.Keys(found))
}
