package docs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// address is where the pages say that the repository is.
const address = "https://github.com/epic-swf/testbed"

// root is the repository.
const root = "../.."

// site is what all sessions share: a repository to clone, which holds what the
// working tree holds now, its programs, and stand-ins for what is not here.
type site struct {
	dir  string
	repo string
	bin  string // the programs, and stand-ins

	caches []string // Go's, which lie below a home otherwise
}

// newSite copies the repository below dir and builds it.
func newSite(ctx context.Context, dir string) (*site, error) {
	s := &site{dir: dir, repo: filepath.Join(dir, "repo"), bin: filepath.Join(dir, "repo", "bin")}
	for _, name := range []string{"GOCACHE", "GOMODCACHE"} {
		value, err := exec.CommandContext(ctx, "go", "env", name).Output()
		if err != nil {
			return nil, fmt.Errorf("go env %s: %w", name, err)
		}
		s.caches = append(s.caches, name+"="+strings.TrimSpace(string(value)))
	}
	if err := s.copyTree(ctx); err != nil {
		return nil, err
	}
	if err := s.in(ctx, s.repo, "make", "build"); err != nil {
		return nil, err
	}
	return s, os.WriteFile(filepath.Join(s.bin, "ssh"), []byte(ssh), 0o755)
}

// ssh stands in for another host: the same programs with another home.
const ssh = `#!/bin/bash
# ssh HOST COMMAND...
set -eu
HOME=$HOME/hosts/$1
shift
mkdir -p "$HOME"
cd "$HOME"
exec bash -c "$*"
`

// notCopied are folders of the working tree that are made, not written.
var notCopied = map[string]bool{".git": true, ".cache": true, "bin": true, "dist": true}

// copyTree copies the working tree and makes a repository of what git does not
// ignore.
func (s *site) copyTree(ctx context.Context) error {
	err := filepath.WalkDir(root, func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		switch {
		case err != nil:
			return err
		case notCopied[name]:
			return filepath.SkipDir
		case !e.Type().IsRegular():
			return nil
		}
		return copyFile(path, filepath.Join(s.repo, name))
	})
	if err != nil {
		return err
	}
	for _, args := range [][]string{
		{"init", "-q", "-b", "main"},
		{"add", "-A"},
		{"-c", "user.name=docs", "-c", "user.email=docs@localhost", "commit", "-q", "-m", "as it is now"},
	} {
		if err := s.in(ctx, s.repo, "git", args...); err != nil {
			return err
		}
	}
	return nil
}

func copyFile(from, to string) error {
	info, err := os.Stat(from)
	if errors.Is(err, os.ErrNotExist) {
		return nil // deleted meanwhile
	}
	if err != nil {
		return err
	}
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, text, info.Mode().Perm())
}

// in runs a program in a folder; its output is the error's text.
func (s *site) in(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// visitor makes a session of its own. With programs on PATH it needs no
// checkout; a newcomer has none, and clones the repository from its address.
func (s *site) visitor(name string, programs bool) (*session, error) {
	bin := ""
	if programs {
		bin = s.bin
	}
	v, err := newSession(filepath.Join(s.dir, name), bin)
	if err != nil {
		return nil, err
	}
	v.env = append(v.env, s.caches...)
	git := fmt.Sprintf("[url %q]\n\tinsteadOf = %s\n[safe]\n\tdirectory = *\n", s.repo, address)
	return v, os.WriteFile(filepath.Join(v.home, ".gitconfig"), []byte(git), 0o600)
}
