package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/epic-swf/testbed/swf"
)

var ours = entry{Command: "/opt/swf-mcp", Args: []string{"stdio", "--dir", "/home/ann/tb"}}

func TestMergeKeepsWhatIsThere(t *testing.T) {
	t.Parallel()
	added := `"testbed-control":{"command":"/opt/swf-mcp","args":["stdio","--dir","/home/ann/tb"]}`
	for _, tt := range []struct{ name, have, want string }{
		{"nothing", "", `{"mcpServers":{` + added + `}}`},
		{"an empty object", "{}\n", `{"mcpServers":{` + added + `}}`},
		{"order and numbers", `{"z":1.50,"a":[1e3],"mcpServers":{"y":{},"b":{"n":0}},"m":null}`, `{"z":1.50,"a":[1e3],"mcpServers":{"y":{},"b":{"n":0},` + added + `},"m":null}`},
		{"names that need quotes", `{"<a&\"b>":1}`, `{"<a&\"b>":1,"mcpServers":{` + added + `}}`},
		{"a mark of byte order", "\xef\xbb\xbf{}", `{"mcpServers":{` + added + `}}`},
	} {
		got, err := mergeServer([]byte(tt.have), "mcpServers", serverKey, ours)
		var flat bytes.Buffer
		if err != nil || json.Compact(&flat, got) != nil || flat.String() != tt.want {
			t.Errorf("%s: %v\n%s\nwant\n%s", tt.name, err, flat.String(), tt.want)
		}
		again, err := mergeServer(got, "mcpServers", serverKey, ours)
		if err != nil || !bytes.Equal(again, got) {
			t.Errorf("%s: the second time changed it: %v", tt.name, err)
		}
	}
}

func TestMergeRefuses(t *testing.T) {
	t.Parallel()
	for have, code := range map[string]swf.Code{
		`{"mcpServers":{"testbed-control":{"command":"mine"}}}`: swf.CodeConflict,
		`{"mcpServers":[]}`:                   swf.CodeInvalidConfig,
		`{"mcpServers":{},"mcpServers":{}}`:   swf.CodeInvalidConfig,
		`{} {}`:                               swf.CodeInvalidConfig,
		`[]`:                                  swf.CodeInvalidConfig,
		"{ // mine\n}":                        swf.CodeInvalidConfig,
		`{"mcpServers":{}`:                    swf.CodeInvalidConfig,
		strings.Repeat(`{"a":`, 20000) + "1}": swf.CodeInvalidConfig,
	} {
		if got, err := mergeServer([]byte(have), "mcpServers", serverKey, ours); !swf.IsCode(err, code) || got != nil {
			t.Errorf("%.60s: %v, not %s", have, err, code)
		}
	}
}

// FuzzMerge: what is there is there afterwards, whatever it is.
func FuzzMerge(f *testing.F) {
	for _, s := range []string{"", "{}", `{"a":1,"mcpServers":{"x":{"y":[1,2]}}}`, `{"mcpServers":null}`, `{"\u0000":"\ud800"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, have []byte) {
		got, err := mergeServer(have, "mcpServers", serverKey, ours)
		if err != nil {
			return
		}
		before, err := readObject(have)
		after, err2 := readObject(got)
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		for _, name := range before.names {
			if name != "mcpServers" && !sameJSON(before.get(name), after.get(name)) {
				t.Errorf("%q was %s and is %s", name, before.get(name), after.get(name))
			}
		}
		list, err := readObject(after.get("mcpServers"))
		if err != nil || list.get(serverKey) == nil {
			t.Errorf("no %s in %s", serverKey, got)
		}
	})
}

func TestInstallKeepsLinkAndMode(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, link := filepath.Join(dir, "real.json"), filepath.Join(dir, "link.json")
	if err := os.WriteFile(file, []byte(`{"a":1}`), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	if changed, err := installServer(link, "servers", serverKey, ours); err != nil || !changed {
		t.Fatal(changed, err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode().Type() != os.ModeSymlink {
		t.Error("the link is one no more")
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v %v", info, err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 2 {
		t.Errorf("left behind: %v", entries)
	}
}

func TestWhereClientsLook(t *testing.T) {
	t.Parallel()
	at := map[string]homes{
		"linux":   {goos: "linux", home: "/home/ann", config: "/home/ann/.config"},
		"darwin":  {goos: "darwin", home: "/Users/ann", config: "/Users/ann/.config"},
		"windows": {goos: "windows", home: "/Users/ann", appData: "/Users/ann/AppData/Roaming"},
	}
	for _, tt := range []struct{ client, scope, goos, want string }{
		{"claude-code", "", "linux", "/p/.mcp.json"},
		{"claude-code", "user", "linux", "/home/ann/.claude.json"},
		{"claude-desktop", "", "linux", "/home/ann/.config/Claude/claude_desktop_config.json"},
		{"claude-desktop", "", "darwin", "/Users/ann/Library/Application Support/Claude/claude_desktop_config.json"},
		{"claude-desktop", "", "windows", "/Users/ann/AppData/Roaming/Claude/claude_desktop_config.json"},
		{"vscode", "", "darwin", "/p/.vscode/mcp.json"},
		{"vscode", "user", "linux", "/home/ann/.config/Code/User/mcp.json"},
		{"vscode", "user", "darwin", "/Users/ann/Library/Application Support/Code/User/mcp.json"},
		{"cursor", "project", "windows", "/p/.cursor/mcp.json"},
		{"cursor", "user", "darwin", "/Users/ann/.cursor/mcp.json"},
	} {
		c, err := clientNamed(tt.client)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.file(tt.scope, "/p", at[tt.goos]); err != nil || got != tt.want {
			t.Errorf("%s %s on %s: %s %v, want %s", tt.client, tt.scope, tt.goos, got, err, tt.want)
		}
	}
}
