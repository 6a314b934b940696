package supervisor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Whatever the file, it is read or refused with a *ConfError; what is read has
// programs with names that supervisord could have.
func FuzzReadConf(f *testing.F) {
	stock, err := os.ReadFile("testdata/agents.supervisord.conf")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(stock))
	f.Add(confHead + "[program:a]\ncommand=x\nprocess_name=%(process_num)05d\nnumprocs=3\n")
	f.Add(confHead + "[program:a]\ncommand=%(here)99s %(ENV_USER)s\nenvironment=A='x',B=\"y\",C=z\n")
	f.Add("[inet_http_server:x]\nport=[::1]:80\n[supervisord]\nidentifier=%%\n")
	f.Add("[DEFAULT]\n a=b\n[x]\n\tc\n d\n[include]\nfiles=%(here)s/none*.conf [\n")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "include") && strings.ContainsAny(text, "/.*?") {
			return // would read whatever this machine has
		}
		path := filepath.Join(dir, "fuzz.conf")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, strict := range []bool{true, false} {
			c, err := readConf(path, "", confEnv, strict)
			if err != nil {
				if _, ok := err.(*ConfError); !ok {
					t.Fatalf("%T: %v", err, err)
				}
				continue
			}
			if c.Endpoint.Address == "" || c.ServerURL == "" || !filepath.IsAbs(c.PIDFile) {
				t.Errorf("%+v", c)
			}
			for _, p := range c.Programs {
				if p.Name == "" || strings.ContainsAny(p.Name+p.Group, " :/") || p.StopSignal <= 0 {
					t.Errorf("%+v", p)
				}
			}
		}
	})
}

// Whatever the answer, decoding it ends without a panic.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`<?xml version='1.0'?><methodResponse><params><param><value><array><data><value><struct>` +
		`<member><name>name</name><value><string>a</string></value></member><member><name>state</name><value><int>20</int></value></member>` +
		`</struct></value></data></array></value></param></params></methodResponse>`))
	f.Add([]byte(`<methodResponse><fault><value><struct><member><name>faultCode</name><value><int>10</int></value></member>` +
		`<member><name>faultString</name><value><string>BAD_NAME: x</string></value></member></struct></value></fault></methodResponse>`))
	f.Add([]byte(`<methodResponse><params><param><value></value></param></params></methodResponse>`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var infos []processInfo
		_ = decode(b, &infos)
		var anything []any
		if decode(b, &anything) == nil {
			for _, r := range anything {
				_ = multicallFault(r)
			}
		}
		var pid int
		_ = decode(b, &pid)
	})
}

func FuzzClean(f *testing.F) {
	f.Add("\x1b[31mred\x1b[0m \x1b]0;title\x07x\r\n\x00\xff\u202e")
	f.Fuzz(func(t *testing.T, s string) {
		for _, r := range clean(s) {
			if r < ' ' && r != '\n' && r != '\t' || r == 0x7f {
				t.Errorf("%q in %q", r, clean(s))
			}
		}
	})
}
