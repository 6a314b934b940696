package mcpserver

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mark3labs/mcp-go/mcp"

	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/tools"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// listed returns tools/list as a client gets it: the whole result, and each
// tool.
func listed(t *testing.T, o Options) (json.RawMessage, map[string]json.RawMessage) {
	t.Helper()
	if o.Tools == nil {
		o.Tools = tools.New(tools.Options{}).Tools()
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	lines := pipe1(t, s, rpc(1, "tools/list", ""))
	var answer struct {
		Result struct {
			Tools []json.RawMessage `json:"tools"`
		} `json:"result"`
	}
	if err := json.Unmarshal(lines[0], &answer); err != nil {
		t.Fatal(err)
	}
	byName := map[string]json.RawMessage{}
	for _, raw := range answer.Result.Tools {
		var tl struct {
			Name string `json:"name"`
		}
		if err := json.Unmarshal(raw, &tl); err != nil {
			t.Fatal(err)
		}
		byName[tl.Name] = raw
	}
	return lines[0], byName
}

func TestListOfToolsIsGolden(t *testing.T) {
	_, list := listed(t, Options{})
	if len(list) != 12 {
		t.Errorf("%d tools", len(list))
	}
	for name, raw := range list {
		var b bytes.Buffer
		if err := json.Indent(&b, raw, "", "  "); err != nil {
			t.Fatal(err)
		}
		b.WriteByte('\n')
		path := filepath.Join("testdata", "tools", name+".json")
		if *update {
			if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b.Bytes(), want) {
			t.Errorf("%s differs (go test -update rewrites it):\n%s", path, b.Bytes())
		}
	}
}

// maxListTokens is what the definitions may cost in every conversation, at
// four bytes a token.
const maxListTokens = 6000

func TestListOfToolsFitsItsBudget(t *testing.T) {
	for _, prefix := range []string{"", "swf_"} {
		raw, _ := listed(t, Options{ToolPrefix: prefix})
		if n := len(raw) / 4; n > maxListTokens {
			t.Errorf("with the prefix %q tools/list costs about %d tokens, %d are allowed", prefix, n, maxListTokens)
		} else {
			t.Logf("with the prefix %q tools/list costs about %d of %d tokens", prefix, n, maxListTokens)
		}
	}
}

func TestHintsFollowFromTheEffect(t *testing.T) {
	_, list := listed(t, Options{})
	want := map[string]string{ // readOnly destructive idempotent openWorld
		"check_agent_manager": "true false true false", "get_testbed_status": "true false true false",
		"start_user_testbed": "false false false false", "start_workflow": "false false false false",
		"stop_user_testbed": "false true true false", "stop_workflow": "false true true false",
	}
	for _, name := range []string{"list_agents", "list_workflow_executions", "get_workflow_execution", "list_logs", "list_messages", "get_agent_log"} {
		want[name] = "true false true false"
	}
	for name, raw := range list {
		var tl struct {
			Title       string          `json:"title"`
			Description string          `json:"description"`
			Annotations map[string]any  `json:"annotations"`
			Input       json.RawMessage `json:"inputSchema"`
			Output      json.RawMessage `json:"outputSchema"`
		}
		if err := json.Unmarshal(raw, &tl); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, h := range []string{"readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"} {
			b, _ := json.Marshal(tl.Annotations[h])
			got = append(got, string(b))
		}
		if s := strings.Join(got, " "); s != want[name] {
			t.Errorf("%s: hints %s, want %s", name, s, want[name])
		}
		if tl.Title == "" || tl.Description == "" || len(tl.Input) < 50 || len(tl.Output) < 50 {
			t.Errorf("%s: something is missing: %s", name, raw)
		}
	}
}

func TestPrefixIsEverywhere(t *testing.T) {
	raw, list := listed(t, Options{ToolPrefix: "swf_"})
	for name := range list {
		if !strings.HasPrefix(name, "swf_") {
			t.Errorf("%s has no prefix", name)
		}
	}
	if bytes.Contains(raw, []byte(" stop_user_testbed")) {
		t.Error("a description speaks of a tool that is not served")
	}
	s, err := New(Options{Tools: tools.New(tools.Options{}).Tools(), ToolPrefix: "swf_"})
	if err != nil {
		t.Fatal(err)
	}
	if l := pipe1(t, s, initialize); !bytes.Contains(l[0], []byte("swf_get_testbed_status")) || !bytes.Contains(l[0], []byte(`"name":"swf-testbed"`)) {
		t.Errorf("initialize: %s", l[0])
	}
	if _, err := New(Options{ToolPrefix: "x-"}); !swf.IsCode(err, swf.CodeInvalidArgument) {
		t.Errorf("a bad prefix: %v", err)
	}
}

func TestReadMessage(t *testing.T) {
	deep := `{"jsonrpc":"2.0","id":1,"method":"m","params":` + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + `}`
	var keys []string
	for i := range maxKeys {
		keys = append(keys, fmt.Sprintf(`"k%d":1`, i))
	}
	many := `{"jsonrpc":"2.0","id":1,"method":"m","params":{` + strings.Join(keys, ",") + `}}`
	for name, bad := range map[string]string{
		"not JSON":           `{`,
		"trailing data":      `{"jsonrpc":"2.0","id":1,"method":"m"} {}`,
		"a batch":            `[{"jsonrpc":"2.0","id":1,"method":"m"}]`,
		"a string":           `"x"`,
		"another case":       `{"jsonrpc":"2.0","id":1,"METHOD":"tools/call"}`,
		"both cases":         `{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call"}`,
		"a key twice":        `{"jsonrpc":"2.0","id":1,"method":"m","params":{"name":"a","name":"b"}}`,
		"twice, other case":  `{"jsonrpc":"2.0","id":1,"method":"m","params":{"name":"a","Name":"b"}}`,
		"twice, escaped":     `{"jsonrpc":"2.0","id":1,"method":"m","params":{"name":"a","n\u0061me":"b"}}`,
		"deep inside, twice": `{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":[{"b":{"c":1,"c":2}}]}}`,
		"a NUL in a key":     `{"jsonrpc":"2.0","id":1,"method":"m","params":{"a\u0000":1}}`,
		"an unknown key":     `{"jsonrpc":"2.0","id":1,"method":"m","extra":1}`,
		"too deep":           deep,
		"too many keys":      many,
		"a big id":           `{"jsonrpc":"2.0","id":9007199254740993,"method":"m"}`,
		"a fraction":         `{"jsonrpc":"2.0","id":1.5,"method":"m"}`,
		"an object as id":    `{"jsonrpc":"2.0","id":{},"method":"m"}`,
		"null as id":         `{"jsonrpc":"2.0","id":null,"method":"m"}`,
		"a number as method": `{"jsonrpc":"2.0","id":1,"method":7}`,
	} {
		if _, p := readMessage([]byte(bad)); p == nil {
			t.Errorf("%s was accepted", name)
		} else if !json.Valid(p.reply(nil)) {
			t.Errorf("%s: %s", name, p.reply(nil))
		}
	}
	for good, want := range map[string]message{
		`{"jsonrpc":"2.0","id":"a","method":"m","params":{"a":{"x":1},"b":{"x":[{"x":1},{"x":2}]}}}`: {ID: json.RawMessage(`"a"`), Method: "m"},
		` {"jsonrpc":"2.0","method":"n\"q","params":{"\"":"}","\\":"{"}} `:                           {Method: `n"q`},
		`{"jsonrpc":"2.0","id":-3,"result":{}}`:                                                      {ID: json.RawMessage(`-3`)},
		modern(1, "tools/list", "").body:                                                             {ID: json.RawMessage(`1`), Method: "tools/list", Modern: true},
	} {
		m, p := readMessage([]byte(good))
		if p != nil || string(m.ID) != string(want.ID) || m.Method != want.Method || m.Modern != want.Modern {
			t.Errorf("%s: %+v, %v", good, m, p)
		}
	}
}

func FuzzReadMessage(f *testing.F) {
	f.Add([]byte(initialize))
	f.Add([]byte(callTool(2, "x")))
	f.Add([]byte(modern(3, "tools/list", "").body))
	f.Add([]byte(`{"params" : {"_meta":{"io.modelconte\u0078tprotocol/protocolVersion":"2026-07-28"}} , "id" : "a" }`))
	f.Add([]byte(`{"a":[{"b":"\\\"{"}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, p := readMessage(raw)
		if p != nil {
			return
		}
		var top map[string]json.RawMessage
		if err := json.Unmarshal(raw, &top); err != nil {
			t.Fatalf("accepted what is no object: %q", raw)
		}
		var theirs struct { // as the library reads it
			ID     json.RawMessage `json:"id"`
			Method string          `json:"method"`
			Params struct {
				Meta *mcp.Meta `json:"_meta"`
			} `json:"params"`
		}
		_ = json.Unmarshal(raw, &theirs)
		if string(theirs.ID) != string(m.ID) || theirs.Method != m.Method || mcp.IsModernProtocol(theirs.Params.Meta.ProtocolVersion()) != m.Modern {
			t.Errorf("%q: the library reads %+v, we read %+v", raw, theirs, m)
		}
		for k := range top {
			if !envelopeKeys[k] {
				t.Errorf("accepted the key %q", k)
			}
		}
	})
}
