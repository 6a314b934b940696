package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/epic-swf/testbed/swf"
)

func env(vars map[string]string) func(string) string {
	return func(key string) string { return vars[key] }
}

func TestFolder(t *testing.T) {
	home := t.TempDir()
	for _, sub := range []string{"swf-testbed/workflows", "conf", "empty"} {
		check(t, os.MkdirAll(filepath.Join(home, sub), 0o755))
	}
	check(t, os.WriteFile(filepath.Join(home, "conf", "agents.supervisord.conf"), nil, 0o644))
	at := func(sub string) string { return filepath.Join(home, sub) }
	for _, c := range []struct {
		flag, cwd, swfHome, want string
		code                     swf.Code
	}{
		{at("conf"), at("swf-testbed"), home, at("conf"), ""},
		{"../conf", at("swf-testbed"), "", at("conf"), ""},
		{"", at("swf-testbed"), "/nowhere", at("swf-testbed"), ""},
		{"", at("conf"), "", at("conf"), ""},
		{"", at("empty"), home, at("swf-testbed"), ""},
		{"", at("empty"), "", "", swf.CodeEnvironment},
		{"", at("empty"), at("empty"), "", swf.CodeEnvironment},
		{at("none"), at("conf"), home, "", swf.CodeInvalidArgument},
	} {
		got, err := Folder(c.flag, c.cwd, env(map[string]string{"SWF_HOME": c.swfHome}))
		if got != c.want || (c.code != "") != swf.IsCode(err, c.code) {
			t.Errorf("%+v: %q, %v", c, got, err)
		}
	}
}

func TestPaths(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		vars          map[string]string
		state, config string
	}{
		{map[string]string{"HOME": "/home/ann"}, "/home/ann/.local/state/swf-testbed", "/home/ann/.config/swf-testbed"},
		{map[string]string{"HOME": "/home/ann", "XDG_STATE_HOME": "/s", "XDG_CONFIG_HOME": "/c"}, "/s/swf-testbed", "/c/swf-testbed"},
		{map[string]string{"HOME": "/home/ann", "XDG_STATE_HOME": "relative"}, "/home/ann/.local/state/swf-testbed", "/home/ann/.config/swf-testbed"},
	} {
		p, err := FindPaths(dir, env(c.vars))
		if err != nil || p.State != c.state || p.Config != c.config || p.Up || p.Dir != dir {
			t.Errorf("%v: %+v, %v", c.vars, p, err)
		}
	}
	if _, err := FindPaths(dir, env(nil)); !swf.IsCode(err, swf.CodeEnvironment) {
		t.Errorf("without HOME: %v", err)
	}
	up := UpPaths(dir)
	check(t, up.Make())
	p, err := FindPaths(dir, env(map[string]string{"HOME": "/home/ann"}))
	if err != nil || p != up || !strings.HasPrefix(p.Journal(), dir) || !strings.HasPrefix(p.ServerSettings(), dir) {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestFoldersArePrivate(t *testing.T) {
	dir := t.TempDir()
	p := UpPaths(dir)
	check(t, os.MkdirAll(p.State, 0o755))
	check(t, p.Make())
	for _, folder := range []string{p.State, p.Config, filepath.Join(dir, "run")} {
		if info, err := os.Stat(folder); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", folder, info.Mode(), err)
		}
	}
	blocked := UpPaths(filepath.Join(dir, "file"))
	check(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
	if err := blocked.Make(); !swf.IsCode(err, swf.CodeEnvironment) {
		t.Errorf("%v", err)
	}
}

func TestSocketPathsFit(t *testing.T) {
	p := Paths{State: "/home/ann/.local/state/swf-testbed"}
	path, err := p.Socket("manager")
	if err != nil || filepath.Dir(path) != p.State || len(path) > maxSocket {
		t.Errorf("%q, %v", path, err)
	}
	p.State = "/" + strings.Repeat("x", maxSocket)
	if _, err := p.Socket("manager"); !swf.IsCode(err, swf.CodeEnvironment) || !strings.Contains(swf.AsError(err).Hint, "--dir") {
		t.Errorf("%v", err)
	}
}
