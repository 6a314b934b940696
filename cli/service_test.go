package cli

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/epic-swf/testbed/swf"
)

// serviceApp is an app of a testbed folder in a home of its own.
func serviceApp(t *testing.T, folder string) (*app, *bytes.Buffer) {
	t.Helper()
	home := t.TempDir()
	dir := filepath.Join(home, folder)
	var out bytes.Buffer
	env := map[string]string{"HOME": home, "XDG_CONFIG_HOME": filepath.Join(home, "config"), "XDG_STATE_HOME": filepath.Join(home, "s"),
		"PATH": os.Getenv("PATH"), "ACTIVEMQ_PASSWORD": "s3cret", "SWF_API_TOKEN": "t0ken"}
	a := &app{out: &out, err: &bytes.Buffer{}, getenv: func(k string) string { return env[k] }, environ: func() []string {
		var all []string
		for k, v := range env {
			all = append(all, k+"="+v)
		}
		return all
	}, dir: dir}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "agents.supervisord.conf"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return a, &out
}

func TestInstallService(t *testing.T) {
	a, out := serviceApp(t, `test bed 100%n $HOME`)
	ctx := context.Background()
	if err := a.installService(ctx, serviceWish{}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(a.getenv("XDG_CONFIG_HOME"), "systemd", "user", unitName)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	unit := string(text)
	for _, line := range []string{"Type=notify", "NotifyAccess=main", "WatchdogSec=60", "Restart=on-failure", "RestartPreventExitStatus=78 2", "KillMode=process",
		"StartLimitIntervalSec=300", "StartLimitBurst=5", "WorkingDirectory=" + strings.ReplaceAll(a.dir, "%", "%%")} {
		if !strings.Contains(unit, "\n"+line+"\n") {
			t.Errorf("the unit lacks %s", line)
		}
	}
	if !strings.Contains(unit, ` --dir "`+strings.NewReplacer("%", "%%", "$", "$$").Replace(a.dir)+`" agent-manager`) {
		t.Errorf("ExecStart does not name the folder:\n%s", unit)
	}
	if strings.Contains(unit, "s3cret") || strings.Contains(unit, "t0ken") {
		t.Error("there is a secret in the unit")
	}
	for _, next := range []string{path, "systemctl --user daemon-reload", "systemctl --user enable --now " + unitName, "loginctl enable-linger"} {
		if !strings.Contains(out.String(), next) {
			t.Errorf("it does not say %q", next)
		}
	}
	t.Run("again", func(t *testing.T) { // the same is no conflict, another is
		if err := a.installService(ctx, serviceWish{}); err != nil {
			t.Error(err)
		}
		if err := os.WriteFile(path, []byte("[Unit]\n# mine\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := a.installService(ctx, serviceWish{}); !swf.IsCode(err, swf.CodeInvalidArgument) {
			t.Errorf("over another's: %v", err)
		}
		if kept, _ := os.ReadFile(path); !strings.Contains(string(kept), "# mine") {
			t.Error("it was overwritten")
		}
		if err := a.installService(ctx, serviceWish{force: true}); err != nil {
			t.Error(err)
		}
		if now, _ := os.ReadFile(path); !bytes.Equal(now, text) {
			t.Error("--force did not write it")
		}
	})
	t.Run("systemd", func(t *testing.T) { verifyUnit(t, path) })
}

// verifyUnit has systemd itself read the unit.
func verifyUnit(t *testing.T, path string) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("needs systemd-analyze: ", err) // hosts without systemd are supported, and CI may be one
	}
	cmd := exec.Command("systemd-analyze", "verify", "--user", "--man=no", "--recursive-errors=no", path)
	cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+t.TempDir())
	said, err := cmd.CombinedOutput()
	about := slices.DeleteFunc(strings.Split(string(said), "\n"), func(l string) bool { return !strings.Contains(l, unitName) })
	if err != nil || len(about) > 0 {
		t.Errorf("systemd says %v: %s", err, said)
	}
}

func TestInstallServiceElsewhere(t *testing.T) {
	a, _ := serviceApp(t, "bed")
	folder := t.TempDir()
	if err := a.installService(context.Background(), serviceWish{output: folder}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(folder, unitName)); err != nil {
		t.Error(err)
	}
	if err := a.installService(context.Background(), serviceWish{output: folder, enable: true}); !errors.As(err, new(usageError)) {
		t.Errorf("--output with --enable: %v", err)
	}
	a.dir = t.TempDir()
	if err := a.installService(context.Background(), serviceWish{output: folder}); !swf.IsCode(err, swf.CodeEnvironment) {
		t.Errorf("without a testbed there: %v", err)
	}
}

func TestUnitWords(t *testing.T) {
	for in, want := range map[string]string{
		`/a/b`:      `"/a/b"`,
		`/a b/100%`: `"/a b/100%%"`,
		`/$HOME/"\`: `"/$$HOME/\"\\"`,
	} {
		if got := unitCommand(in); got != want {
			t.Errorf("%s is written %s, not %s", in, got, want)
		}
	}
}
