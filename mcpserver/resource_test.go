package mcpserver

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/mcp"

	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/tools"
)

// whole is a server with everything that there is.
func whole(t *testing.T, change func(*Options)) *Server {
	t.Helper()
	set := tools.New(tools.Options{Commander: &answering{}, Limits: tools.Limits{PerSecond: -1}, Configs: func(string) []string { return []string{"testbed.toml"} }})
	o := Options{Tools: set.Tools(), Resources: set.Resources(), Prompts: set.Prompts(), Complete: set.Complete, Version: "v0.0.0-test"}
	if change != nil {
		change(&o)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func goldenFile(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (go test -update rewrites it):\n%s", path, got)
	}
}

// TestWhatIsOfferedBesideToolsIsGolden holds lists, instructions and errors.
func TestWhatIsOfferedBesideToolsIsGolden(t *testing.T) {
	s := whole(t, nil)
	for _, list := range []string{"resources", "resources/templates", "prompts"} {
		var b bytes.Buffer
		if err := json.Indent(&b, pipe1(t, s, rpc(1, list+"/list", ""))[0], "", "  "); err != nil {
			t.Fatal(err)
		}
		goldenFile(t, strings.ReplaceAll(list, "/", "-")+".json", append(b.Bytes(), '\n'))
	}
	var b bytes.Buffer
	for _, request := range []string{
		rpc(1, "resources/read", `{"uri":"testbed://bob/status"}`),
		rpc(1, "resources/read", `{"uri":"testbed://Bob/status"}`),
		rpc(1, "resources/read", `{"uri":"testbed://ann/secrets"}`),
		rpc(1, "resources/read", `{"uri":"testbed://executions/a-bob-1"}`),
		rpc(1, "prompts/get", `{"name":"bring_up_testbed","arguments":{"username":"x\ny"}}`),
		rpc(1, "prompts/get", `{"name":"bring_up_testbed","arguments":{"user":"ann"}}`),
		rpc(1, "prompts/get", `{"name":"tear_down"}`),
		rpc(1, "tools/call", `{"name":"tear_down"}`),
	} {
		fmt.Fprintf(&b, "%s\n%s\n\n", request, pipe1(t, s, request)[0])
	}
	goldenFile(t, "errors.golden", b.Bytes())
	b.Reset()
	for _, o := range offers {
		s := whole(t, func(x *Options) { x.Toolsets, x.ReadOnly = o.toolsets, o.readOnly })
		fmt.Fprintf(&b, "## %s\n%s\n", o.name, s.offer.instructions())
	}
	goldenFile(t, "instructions.golden", b.Bytes())
}

func read(t *testing.T, c *client.Client, uri string) (string, error) {
	t.Helper()
	var req mcp.ReadResourceRequest
	req.Params.URI = uri
	r, err := c.ReadResource(t.Context(), req)
	if err != nil {
		return "", err
	}
	text, ok := r.Contents[0].(mcp.TextResourceContents)
	if !ok || text.URI != uri || text.MIMEType != jsonType {
		t.Errorf("%s: %+v", uri, r.Contents)
	}
	return text.Text, nil
}

func TestResourcesPromptsAndCompletionOnEveryTransport(t *testing.T) {
	s := whole(t, func(o *Options) { o.ToolPrefix = "swf_" })
	onEveryTransport(t, s, func(t *testing.T, c *client.Client) {
		hello(t, c)
		list, err := c.ListResources(t.Context(), mcp.ListResourcesRequest{})
		if err != nil || len(list.Resources) != 2 || list.Resources[0].URI != "testbed://me/config" {
			t.Errorf("resources/list: %+v, %v", list, err)
		}
		for _, uri := range []string{"testbed://me/status", "testbed://ann/status"} {
			if text, err := read(t, c, uri); err != nil || !strings.Contains(text, `"username":"ann"`) {
				t.Errorf("%s: %s, %v", uri, text, err)
			}
		}
		for uri, want := range map[string]string{"testbed://bob/status": "forbidden", "testbed://executions/status": "forbidden", "testbed://%61nn/status": "no resource"} {
			if text, err := read(t, c, uri); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %s, %v", uri, text, err)
			}
		}
		var get mcp.GetPromptRequest
		get.Params.Name, get.Params.Arguments = "why_did_it_fail", map[string]string{"execution_id": "a-ann-1"}
		p, err := c.GetPrompt(t.Context(), get)
		if err != nil || len(p.Messages) != 1 {
			t.Fatalf("prompts/get: %+v, %v", p, err)
		}
		if text, _ := p.Messages[0].Content.(mcp.TextContent); !strings.Contains(text.Text, `swf_get_workflow_execution(execution_id="a-ann-1")`) {
			t.Errorf("prompt: %s", text.Text)
		}
		for _, q := range []struct {
			ref       any
			name, was string
			want      string
		}{
			{mcp.ResourceReference{Type: "ref/resource", URI: "testbed://{username}/status"}, "username", "a", "ann"},
			{mcp.PromptReference{Type: "ref/prompt", Name: "bring_up_testbed"}, "config_name", "", "testbed.toml"},
			{mcp.PromptReference{Type: "ref/prompt", Name: "bring_up_testbed"}, "username", "b", ""},
			{mcp.PromptReference{Type: "ref/prompt", Name: "nonsense"}, "username", "a", ""},
		} {
			var req mcp.CompleteRequest
			req.Params.Ref, req.Params.Argument = q.ref, mcp.CompleteArgument{Name: q.name, Value: q.was}
			got, err := c.Complete(t.Context(), req)
			if err != nil || strings.Join(got.Completion.Values, " ") != q.want {
				t.Errorf("%+v: %+v, %v", q, got, err)
			}
		}
	})
}

func TestWhatAToolsetLeavesOfTheRest(t *testing.T) {
	for _, c := range []struct {
		name               string
		change             func(*Options)
		templates, prompts string
	}{
		{"read-only", func(o *Options) { o.ReadOnly = true }, "execution testbed-config testbed-status", "why_did_it_fail"},
		{"monitor", func(o *Options) { o.Toolsets = []string{"monitor"} }, "execution", "why_did_it_fail"},
		{"control", func(o *Options) { o.Toolsets = []string{"control"} }, "testbed-config testbed-status", "bring_up_testbed run_workflow"},
	} {
		s := whole(t, c.change)
		if got := namesIn(t, pipe1(t, s, rpc(1, "resources/templates/list", ""))[0]); got != c.templates {
			t.Errorf("%s: templates %q", c.name, got)
		}
		if got := namesIn(t, pipe1(t, s, rpc(1, "prompts/list", ""))[0]); got != c.prompts {
			t.Errorf("%s: prompts %q", c.name, got)
		}
		if strings.Contains(c.templates, "testbed-status") {
			continue
		}
		for _, uri := range []string{"testbed://me/status", "testbed://ann/status", "testbed://executions/status"} {
			if l := pipe1(t, s, rpc(1, "resources/read", fmt.Sprintf(`{"uri":%q}`, uri)))[0]; bytes.Contains(l, []byte(`"result"`)) {
				t.Errorf("%s: %s is read: %s", c.name, uri, l)
			}
		}
	}
}

func namesIn(t *testing.T, line []byte) string {
	t.Helper()
	var answer struct {
		Result struct {
			Templates []struct{ Name string } `json:"resourceTemplates"`
			Prompts   []struct{ Name string } `json:"prompts"`
		} `json:"result"`
	}
	if err := json.Unmarshal(line, &answer); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, x := range append(answer.Result.Templates, answer.Result.Prompts...) {
		names = append(names, x.Name)
	}
	return strings.Join(names, " ")
}

// TestAStatusIsNotCached: what a resource shows is old at once.
func TestAStatusIsNotCached(t *testing.T) {
	st := serve(t, whole(t, nil), HTTPOptions{})
	r := modern(1, "resources/read", "")
	r.body = strings.Replace(r.body, `"params":{`, `"params":{"uri":"testbed://me/status",`, 1)
	r.header["Mcp-Name"] = "testbed://me/status"
	code, body := st.status(t, r)
	if code != http.StatusOK || !strings.Contains(body, `"ttlMs":0`) || !strings.Contains(body, "ann") {
		t.Errorf("%d %s", code, body)
	}
}

func TestAPanicInAResourceIsAnError(t *testing.T) {
	s := whole(t, func(o *Options) {
		o.Resources[0].Read = nil
		o.Complete = func(_ context.Context, _ swf.Principal, _ swf.Kind, _, _ string) tools.Completion {
			panic("secret: hunter2")
		}
	})
	for _, request := range []string{rpc(1, "resources/read", `{"uri":"testbed://me/status"}`),
		rpc(1, "completion/complete", `{"ref":{"type":"ref/prompt","name":"bring_up_testbed"},"argument":{"name":"username","value":""}}`)} {
		if l := pipe1(t, s, request)[0]; !bytes.Contains(l, []byte("its log says what")) || bytes.Contains(l, []byte("hunter2")) {
			t.Errorf("%s", l)
		}
	}
}

// TestAReadThatWaitsDoesNotStallTheRest: over a pipe, what asks managers or
// the monitor is not done in the order of the lines.
func TestAReadThatWaitsDoesNotStallTheRest(t *testing.T) {
	entered, open := make(chan struct{}, 2), make(chan struct{})
	s := whole(t, func(o *Options) {
		o.Resources[0].Read = func(context.Context, swf.Principal, string) (any, *swf.Error) {
			entered <- struct{}{}
			<-open
			return map[string]string{}, nil
		}
		o.Complete = func(context.Context, swf.Principal, swf.Kind, string, string) tools.Completion {
			entered <- struct{}{}
			<-open
			return tools.Completion{}
		}
	})
	w := connect(t, t.Context(), s)
	w.send(t, rpc(1, "resources/read", `{"uri":"testbed://me/status"}`))
	w.send(t, rpc(2, "completion/complete", `{"ref":{"type":"ref/prompt","name":"bring_up_testbed"},"argument":{"name":"username","value":""}}`))
	for range 2 {
		await(t, entered, "both are under way")
	}
	w.send(t, rpc(3, "ping", ""))
	if id := idOf(t, await(t, w.lines, "ping is answered")); id != "3" {
		t.Errorf("first answer %s", id)
	}
	close(open)
	for range 2 {
		await(t, w.lines, "the others are answered")
	}
	w.in.Close()
	if err := await(t, w.ended, "the server ends"); err != nil {
		t.Error(err)
	}
}
