package config

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/epic-swf/testbed/swf"
)

// maxSocket is the longest path in bytes that a unix socket may have.
const maxSocket = 99

// appDir is the name of our folders below the XDG ones.
const appDir = "swf-testbed"

// Folder finds the testbed folder, design 4a: the flag's value, else cwd if
// it holds workflows/ or agents.supervisord.conf, else $SWF_HOME/swf-testbed.
// The path is absolute and the folder exists.
func Folder(flag, cwd string, getenv func(string) string) (string, error) {
	if flag != "" {
		dir := flag
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(cwd, dir)
		}
		if !isDir(dir) {
			return "", swf.E(swf.CodeInvalidArgument, fmt.Sprintf("there is no folder %s", short(dir)), `make one with "testbed init `+short(flag)+`"`)
		}
		return filepath.Clean(dir), nil
	}
	if isDir(filepath.Join(cwd, "workflows")) || exists(filepath.Join(cwd, "agents.supervisord.conf")) {
		return filepath.Abs(cwd)
	}
	if home := getenv("SWF_HOME"); home != "" {
		dir := filepath.Join(home, appDir)
		if isDir(dir) {
			return filepath.Abs(dir)
		}
		return "", swf.E(swf.CodeEnvironment, fmt.Sprintf("SWF_HOME names %s, which holds no %s", short(home), appDir), "set SWF_HOME, or give --dir DIR")
	}
	return "", swf.E(swf.CodeEnvironment, "this is no testbed folder: it has neither workflows/ nor agents.supervisord.conf",
		`go to your testbed folder, give --dir DIR, or make one with "testbed init"`)
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// Paths are the places of one testbed. Everything below State and Config is
// ours alone: folders 0700, files 0600.
type Paths struct {
	Dir    string // the testbed folder
	State  string // journal, locks, logs, sockets, resolved configurations
	Config string // settings and keys
	Up     bool   // both are below Dir, as "testbed up" has it
}

// StateDir is $XDG_STATE_HOME/swf-testbed, by default
// ~/.local/state/swf-testbed.
func StateDir(getenv func(string) string) (string, error) {
	return xdg(getenv, "XDG_STATE_HOME", ".local/state")
}

// ConfigDir is $XDG_CONFIG_HOME/swf-testbed, by default ~/.config/swf-testbed.
func ConfigDir(getenv func(string) string) (string, error) {
	return xdg(getenv, "XDG_CONFIG_HOME", ".config")
}

// xdg ignores relative values, as the XDG specification wants.
func xdg(getenv func(string) string, key, fallback string) (string, error) {
	if base := getenv(key); filepath.IsAbs(base) {
		return filepath.Join(base, appDir), nil
	}
	home := getenv("HOME")
	if !filepath.IsAbs(home) {
		return "", swf.E(swf.CodeEnvironment, "neither HOME nor "+key+" is set to an absolute path", "set HOME")
	}
	return filepath.Join(home, fallback, appDir), nil
}

// FindPaths returns the places of the testbed in dir: below dir where
// "testbed up" has been at work (run/endpoints.json or run/state is there),
// else the user's XDG folders. It makes nothing; see Make.
func FindPaths(dir string, getenv func(string) string) (Paths, error) {
	if exists(endpointsPath(dir)) || isDir(filepath.Join(dir, "run", "state")) {
		return UpPaths(dir), nil
	}
	state, err := StateDir(getenv)
	if err != nil {
		return Paths{}, err
	}
	conf, err := ConfigDir(getenv)
	if err != nil {
		return Paths{}, err
	}
	return Paths{Dir: dir, State: state, Config: conf}, nil
}

// UpPaths returns the places that "testbed up --dir dir" uses: all below dir.
func UpPaths(dir string) Paths {
	run := filepath.Join(dir, "run")
	return Paths{Dir: dir, State: filepath.Join(run, "state"), Config: filepath.Join(run, "config"), Up: true}
}

// Make makes the folders State and Config, mode 0700. It refuses ones that
// belong to somebody else or that others may write to, what is in them and open
// to others, and a testbed folder whose files anybody may change; the hint names
// the chmod. That others could only look in is mended.
func (p Paths) Make() error {
	folders := []string{p.State, p.Config}
	if p.Up {
		folders = append([]string{filepath.Dir(p.State)}, folders...)
	}
	for _, folder := range folders {
		if err := makePrivate(folder); err != nil {
			return err
		}
	}
	if err := checkFiles(p.Config, true); err != nil {
		return err
	}
	if err := checkFiles(p.State, false); err != nil {
		return err
	}
	return checkDir(p.Dir)
}

// Check is Make for who only looks: it makes nothing and mends nothing, and
// what is not there yet is fine.
func (p Paths) Check() error {
	for _, folder := range []string{p.State, p.Config} {
		info, err := os.Stat(folder)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return swf.E(swf.CodeEnvironment, "the folder "+folder+" cannot be looked at", "check its permissions").Because(err)
		}
		if !ownedByUs(info) {
			return swf.E(swf.CodeEnvironment, "the folder "+folder+" belongs to somebody else", "set XDG_STATE_HOME and XDG_CONFIG_HOME to folders of your own")
		}
		if info.Mode().Perm()&0o077 != 0 {
			return swf.E(swf.CodeEnvironment, "the folder "+folder+" is open to others", "look whether what is in it is yours, then: chmod 700 "+folder)
		}
	}
	if err := checkFiles(p.Config, true); err != nil {
		return err
	}
	if err := checkFiles(p.State, false); err != nil {
		return err
	}
	return checkDir(p.Dir)
}

func makePrivate(folder string) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return swf.E(swf.CodeEnvironment, "the folder "+folder+" could not be made", "check its parents' permissions, or set XDG_STATE_HOME and XDG_CONFIG_HOME").Because(err)
	}
	info, err := os.Stat(folder)
	if err != nil {
		return swf.E(swf.CodeEnvironment, "the folder "+folder+" cannot be looked at", "check its permissions").Because(err)
	}
	if !ownedByUs(info) {
		return swf.E(swf.CodeEnvironment, "the folder "+folder+" belongs to somebody else", "set XDG_STATE_HOME and XDG_CONFIG_HOME to folders of your own")
	}
	if info.Mode().Perm()&0o022 != 0 {
		return checkWritten(folder)
	}
	if info.Mode().Perm()&0o077 == 0 {
		return nil
	}
	if err := os.Chmod(folder, 0o700); err != nil {
		return swf.E(swf.CodeEnvironment, "the folder "+folder+" is open to others", "chmod 700 "+folder).Because(err)
	}
	return nil
}

// Socket returns the path of a socket of ours in the state folder. The host
// is part of the name because the folder may be on a shared file system. A
// path too long for a socket is an error.
func (p Paths) Socket(name string) (string, error) {
	path := filepath.Join(p.State, name+"-"+hostTag()+".sock")
	if len(path) > maxSocket {
		return "", swf.E(swf.CodeEnvironment,
			fmt.Sprintf("the path %s has %d bytes; a socket's may have %d", path, len(path), maxSocket),
			"use a folder with a shorter path: --dir, or XDG_STATE_HOME")
	}
	return path, nil
}

// hostTag stands for this host's name in 8 characters.
func hostTag() string {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	sum := sha256.Sum256([]byte(strings.ToLower(host)))
	return hex.EncodeToString(sum[:4])
}

// The files and folders of a testbed.
func (p Paths) Journal() string           { return filepath.Join(p.State, "journal.db") }
func (p Paths) Runs() string              { return filepath.Join(p.State, "runs") }
func (p Paths) Outbox() string            { return filepath.Join(p.State, "outbox") }
func (p Paths) Logs() string              { return filepath.Join(p.State, "logs") }
func (p Paths) RunnerKey() string         { return filepath.Join(p.State, "runner.key") }
func (p Paths) Audit(part string) string  { return filepath.Join(p.State, "audit-"+part+".jsonl") }
func (p Paths) ControlKey() string        { return filepath.Join(p.Config, "control.key") }
func (p Paths) ManagerSettings() string   { return filepath.Join(p.Config, "manager.toml") }
func (p Paths) ServerSettings() string    { return filepath.Join(p.Config, "server.toml") }
func (p Paths) Tokens() string            { return filepath.Join(p.Config, "tokens.toml") }
func (p Paths) SupervisordConf() string   { return filepath.Join(p.Dir, "agents.supervisord.conf") }
func (p Paths) Resolved(id string) string { return filepath.Join(p.State, "configs", id+".toml") }
