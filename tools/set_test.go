package tools

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (go test -update rewrites it); got:\n%s", name, got)
	}
}

// badCalls are arguments that must be refused before anything is asked.
var badCalls = []struct{ tool, args string }{
	{"start_user_testbed", `{"config": "testbed.toml"}`},
	{"start_user_testbed", `{"config_name": "../../etc/passwd"}`},
	{"start_user_testbed", `{"config_name": 7}`},
	{"start_user_testbed", `{"username": "Bob"}`},
	{"start_user_testbed", `{"username": "bob "}`},
	{"start_user_testbed", `{"username": "b\u200bob"}`},
	{"start_user_testbed", `{"username": "%6f"}`},
	{"start_user_testbed", `{"command_id": "a b"}`},
	{"start_user_testbed", `[]`},
	{"stop_user_testbed", `{"confirm": "yes"}`},
	{"start_workflow", `{"stf_count": 0}`},
	{"start_workflow", `{"stf_count": 1000000000}`},
	{"start_workflow", `{"stf_count": 2.5}`},
	{"start_workflow", `{"stf_count": "10"}`},
	{"start_workflow", `{"stf_count": null}`},
	{"start_workflow", `{"duration": -1}`},
	{"start_workflow", `{"duration": 86401}`},
	{"start_workflow", `{"realtime": 1}`},
	{"start_workflow", `{"namespace": "a\nb"}`},
	{"start_workflow", `{"workflow_name": "group:*"}`},
	{"stop_workflow", `{}`},
	{"stop_workflow", `{"execution_id": ""}`},
	{"stop_workflow", `{"execution_id": "a/b"}`},
	{"stop_workflow", `{"execution_id": {"$ne": 1}}`},
	{"get_testbed_status", `{"verbose": true}`},
	{"check_agent_manager", `{"username": ["ann"]}`},
	{"list_agents", `{"limit": 0}`},
	{"list_agents", `{"limit": 101}`},
	{"list_agents", `{"status": "READY"}`},
	{"list_workflow_executions", `{"status": "done"}`},
	{"list_workflow_executions", `{"start_time": "yesterday"}`},
	{"list_workflow_executions", `{"hours": 1e9}`},
	{"get_workflow_execution", `{}`},
	{"get_workflow_execution", `{"execution_id": "../../etc"}`},
	{"list_logs", `{"level": "error"}`},
	{"list_logs", `{"limit": 201}`},
	{"list_logs", `{"search": "` + strings.Repeat("x", 101) + `"}`},
	{"list_messages", `{"username": "bob"}`},
	{"list_messages", `{"message_type": "stf gen"}`},
	{"get_agent_log", `{}`},
	{"get_agent_log", `{"program": "../x"}`},
	{"get_agent_log", `{"program": "x", "lines": -1}`},
}

func TestBadArgumentsRunNothing(t *testing.T) {
	m := &manager{pong: alivePong(), act: always(control.Reply{Outcome: control.Succeeded})}
	s := New(Options{Commander: m, Monitor: &records{}, Limits: Limits{PerSecond: -1}})
	var b strings.Builder
	for _, c := range badCalls {
		r := call(t, s, ann, c.tool, c.args, nil)
		if !r.Failed {
			t.Errorf("%s %s was not refused", c.tool, c.args)
		}
		conforms(t, s, c.tool, r)
		fmt.Fprintf(&b, "%s %s\n%s\n", c.tool, c.args, r.Text)
	}
	if n := len(m.commands()); n != 0 {
		t.Errorf("%d commands were sent", n)
	}
	golden(t, "bad-arguments.golden", b.String())
}

// conforms checks an answer against its tool's output schema.
func conforms(t *testing.T, s *Set, tool string, r Result) {
	t.Helper()
	for _, tl := range s.Tools() {
		if tl.Name != tool {
			continue
		}
		raw, err := json.Marshal(r.Value)
		if err != nil {
			t.Fatal(err)
		}
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		for what, schema := range map[string]json.RawMessage{"schema": tl.Output, "exact schema": encode(exact.of(reflect.TypeOf(r.Value).Elem()))} {
			if err := compile(t, schema).Validate(v); err != nil {
				t.Errorf("%s: answer does not match its %s: %v\n%s", tool, what, err, raw)
			}
		}
	}
}

func compile(t *testing.T, raw json.RawMessage) *jsonschema.Schema {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("mem:///s.json", v); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("mem:///s.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func TestSchemasAreClosedAndSpeakOfEverything(t *testing.T) {
	s := New(Options{Commander: &manager{}})
	if n := len(s.Tools()); n != 12 {
		t.Fatalf("%d tools", n)
	}
	for _, tl := range s.Tools() {
		for kind, raw := range map[string]json.RawMessage{"input": tl.Input, "output": tl.Output} {
			compile(t, raw)
			var v struct {
				Type       string `json:"type"`
				Additional *bool  `json:"additionalProperties"`
				Properties map[string]struct {
					Description string `json:"description"`
				} `json:"properties"`
			}
			if err := json.Unmarshal(raw, &v); err != nil {
				t.Fatal(err)
			}
			if v.Type != "object" || v.Additional == nil || *v.Additional || len(v.Properties) == 0 {
				t.Errorf("%s: the %s schema is not a closed, filled object", tl.Name, kind)
			}
			for name, p := range v.Properties {
				if kind == "input" && p.Description == "" {
					t.Errorf("%s: argument %s has no description", tl.Name, name)
				}
			}
		}
		for _, other := range s.Tools() {
			if bytes.Contains(append(tl.Input[:len(tl.Input):len(tl.Input)], tl.Output...), []byte(other.Name)) {
				t.Errorf("%s: a schema speaks of %s, which may be called otherwise or not be offered", tl.Name, other.Name)
			}
		}
		if bytes.Contains(tl.Output, []byte(`"type":[`)) {
			t.Errorf("%s: a list of types is not portable", tl.Name)
		}
	}
}

// TestEveryPatternInASchemaIsTheOneThatIsChecked holds what clients are told
// against what is accepted.
func TestInputSchemaAgreesWithTheCheck(t *testing.T) {
	m := &manager{pong: alivePong(), act: always(control.Reply{Outcome: control.Succeeded}), status: &control.Reply{Outcome: control.Succeeded, Pong: alivePong()}}
	s := New(Options{Commander: m, Monitor: &records{}, Limits: Limits{PerSecond: -1}})
	for _, tl := range s.Tools() {
		schema := compile(t, tl.Input)
		for _, c := range badCalls {
			if c.tool != tl.Name || c.args == `[]` || strings.Contains(c.args, `""`) {
				continue
			}
			v, err := jsonschema.UnmarshalJSON(strings.NewReader(c.args))
			if err != nil {
				t.Fatal(err)
			}
			if schema.Validate(v) == nil {
				t.Errorf("%s: the schema accepts %s, the tool does not", tl.Name, c.args)
			}
		}
	}
	good := `{"workflow_name":"stf_datataking","namespace":"torre2","config":"fast_processing_default","realtime":false,"duration":0,
		"stf_count":100000,"physics_period_count":1,"physics_period_duration":2.5,"stf_interval":0.1,"username":"ann","command_id":"key-1"}`
	if r := call(t, s, ann, "start_workflow", good, nil); r.Failed {
		t.Errorf("all arguments at once: %s", r.Text)
	}
}

func TestOthersTestbedsAreForbidden(t *testing.T) {
	var log bytes.Buffer
	m := &manager{pong: alivePong(), act: always(control.Reply{Outcome: control.Succeeded}), status: &control.Reply{Outcome: control.Succeeded, Pong: alivePong()},
		log: func(string) *control.Reply { return &control.Reply{Outcome: control.Succeeded} }}
	s := New(Options{Commander: m, Monitor: &records{}, Log: slog.New(slog.NewTextHandler(&log, nil)), Limits: Limits{PerSecond: -1}})
	for tool, args := range map[string]string{
		"check_agent_manager": `{"username":"bob"}`,
		"start_user_testbed":  `{"username":"bob"}`,
		"stop_user_testbed":   `{"username":"bob","confirm":true}`,
		"start_workflow":      `{"username":"bob"}`,
		"get_testbed_status":  `{"username":"bob","command_id":"x"}`,

		"list_agents":              `{"username":"bob"}`,
		"list_workflow_executions": `{"username":"bob"}`,
		"list_logs":                `{"username":"bob"}`,
		"get_agent_log":            `{"username":"bob","program":"example-data-agent"}`,
	} {
		log.Reset()
		r := call(t, s, ann, tool, args, nil)
		if !r.Failed || !strings.Contains(r.Text, "forbidden") {
			t.Errorf("%s: %s", tool, r.Text)
		}
		conforms(t, s, tool, r)
		if l := log.String(); !strings.Contains(l, "principal=ann") || !strings.Contains(l, "username=bob") || strings.Count(l, "\n") != 1 {
			t.Errorf("%s: audit says %q", tool, l)
		}
		if r := call(t, s, ops, tool, args, nil); r.Failed {
			t.Errorf("%s by an operator: %s", tool, r.Text)
		}
	}
	for _, c := range m.commands() {
		if c.Username != "bob" || c.IssuedBy != "ops" {
			t.Errorf("sent %+v", c)
		}
	}
	if r := call(t, s, swf.Principal{}, "check_agent_manager", "{}", nil); !strings.Contains(r.Text, "unauthenticated") {
		t.Errorf("without a principal: %s", r.Text)
	}
}

func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &manager{pong: alivePong(), status: &control.Reply{Outcome: control.Succeeded, Pong: alivePong()}}
		s := New(Options{Commander: m, Monitor: &records{}})
		limited := func(p swf.Principal) int {
			n := 0
			for range 30 {
				if r := call(t, s, p, "check_agent_manager", "{}", nil); strings.Contains(r.Text, "rate_limited") {
					n++
				}
			}
			return n
		}
		if n := limited(ann); n != 10 {
			t.Errorf("%d of 30 calls at once were refused, want 10", n)
		}
		if n := limited(swf.Principal{Name: "bob"}); n != 10 {
			t.Errorf("another principal: %d refused, want 10", n)
		}
		time.Sleep(time.Second) // of the bubble's clock
		if n := limited(ann); n != 20 {
			t.Errorf("a second later %d of 30 were refused, want 20", n)
		}
	})
}

func TestCallsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{Commander: &manager{}, Monitor: &records{}, Limits: Limits{PerSecond: -1, AtOnce: 3}})
		done := make(chan bool, 5)
		for range 5 {
			go func() {
				r := call(t, s, ann, "check_agent_manager", "{}", nil)
				done <- strings.Contains(r.Text, "rate_limited")
			}()
		}
		refused := 0
		for range 5 {
			if <-done {
				refused++
			}
		}
		if refused != 2 {
			t.Errorf("%d refused, want 2", refused)
		}
		if r := call(t, s, ann, "check_agent_manager", "{}", nil); strings.Contains(r.Text, "rate_limited") {
			t.Error("a call that was answered is still counted")
		}
	})
}
