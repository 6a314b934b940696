package house

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestSetup runs the set-up script on machines made of a folder of programs:
// what is not in the folder the machine does not have. Every fake notes how it
// was called.
func TestSetup(t *testing.T) {
	const (
		note    = `echo "${0##*/} $*" >>"$CALLS"; `
		nothing = note
		fails   = note + `exit 1`
		// installs supervisord beside itself, as a package manager would.
		installs = note + `case "$*" in *" supervisor") printf '#!/bin/sh\n' >"${0%/*}/supervisord"; chmod +x "${0%/*}/supervisord";; esac`
		// python makes an environment whose pip installs supervisord.
		python = note + `[ "$2" = venv ] || exit 1; mkdir -p "$3/bin"
cat >"$3/bin/python" <<'EOF'
#!/bin/sh
printf '#!/bin/sh\n' >"${0%/*}/supervisord"; chmod +x "${0%/*}/supervisord"
EOF
chmod +x "$3/bin/python"`
		root = `echo 0`
		user = `echo 1000`
	)
	for _, tt := range []struct {
		name     string
		programs map[string]string
		calls    string // how the fakes were called
		finds    string // supervisord's path, below the machine's folder
		err      string
	}{
		{
			name:     "nothing is missing",
			programs: map[string]string{"id": root, "supervisord": nothing, "dnf": nothing, "python3": nothing},
			finds:    "bin/supervisord",
		},
		{
			name:     "root has a package manager",
			programs: map[string]string{"id": root, "dnf": installs},
			calls:    "dnf install -y -q supervisor\n",
			finds:    "bin/supervisord",
		},
		{
			name:     "a user has sudo without a password",
			programs: map[string]string{"id": user, "apk": installs, "sudo": `[ "$1" = -n ] && shift && "$@"`, "true": ``},
			calls:    "apk add --no-progress supervisor\n",
			finds:    "bin/supervisord",
		},
		{
			name:     "a user has Python",
			programs: map[string]string{"id": user, "dnf": nothing, "python3": python},
			calls:    "python3 -m venv {cache}/venv\n",
			finds:    "cache/venv/bin/supervisord",
		},
		{
			name:     "the package manager does not have it",
			programs: map[string]string{"id": root, "dnf": fails, "python3": python},
			calls:    "dnf install -y -q supervisor\npython3 -m venv {cache}/venv\n",
			finds:    "cache/venv/bin/supervisord",
		},
		{
			name:     "a user has nothing",
			programs: map[string]string{"id": user, "dnf": nothing, "sudo": fails},
			calls:    "sudo -n true\nsudo -n true\n",
			err:      "error: supervisord is missing and could not be installed\nhint: install the package supervisor",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			bin, cache, calls := filepath.Join(dir, "bin"), filepath.Join(dir, "cache"), filepath.Join(dir, "calls")
			machine(t, bin, tt.programs)
			script, err := filepath.Abs(filepath.Join("..", "..", "scripts", "setup.sh"))
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("/bin/sh", script, "demo", "sh", "-c", `echo "$SWF_SUPERVISORD"`)
			cmd.Env = []string{"PATH=" + bin, "CALLS=" + calls, "SWF_SETUP_CACHE=" + cache, "SSL_CERT_FILE=any"}
			var said strings.Builder
			cmd.Stderr = &said
			out, err := cmd.Output()
			if (err != nil) != (tt.err != "") || !strings.Contains(said.String(), tt.err) {
				t.Fatalf("got %v and said %q, want %q", err, said.String(), tt.err)
			}
			if tt.err == "" && strings.TrimSpace(string(out)) != filepath.Join(dir, tt.finds) {
				t.Errorf("found supervisord at %q, not at %s", out, tt.finds)
			}
			called, err := os.ReadFile(calls)
			if err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			if want := strings.ReplaceAll(tt.calls, "{cache}", cache); string(called) != want {
				t.Errorf("called:\n%swant:\n%s", called, want)
			}
		})
	}
}

// machine fills a folder with the fakes and with what every machine has.
func machine(t *testing.T, bin string, programs map[string]string) {
	t.Helper()
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"sh", "cat", "chmod", "dirname", "mkdir", "rm", "tail", "uname"} {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range programs {
		write(t, filepath.Join(bin, name), text)
	}
	write(t, filepath.Join(bin, "go"), "")
}

func write(t *testing.T, path, script string) {
	t.Helper()
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}
