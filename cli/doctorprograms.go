package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/epic-swf/testbed/config"
	"github.com/epic-swf/testbed/swf"
)

// oldestSupervisord is the first version whose answers we understand.
var oldestSupervisord = [2]int{4, 0}

func (d *doctor) supervisord(ctx context.Context) {
	const check = "supervisord"
	path, err := d.place.supervisord()
	if err != nil {
		d.fail(check, err, "")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, checkPatience)
	defer cancel()
	said, err := exec.CommandContext(ctx, path, "--version").Output()
	version := strings.TrimSpace(string(said))
	if err != nil {
		d.fail(check, fmt.Errorf("%s does not say its version: %w", path, err), "install it anew: python3 -m venv .venv && .venv/bin/pip install supervisor in "+d.place.paths.Dir)
		return
	}
	major, rest, _ := strings.Cut(version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	m, err := strconv.Atoi(major)
	n, _ := strconv.Atoi(minor)
	if err != nil || slices.Compare([]int{m, n}, oldestSupervisord[:]) < 0 {
		d.add(check, isFailed, fmt.Sprintf("%s is version %q, and at least %d.%d is needed", path, clip(version, 40), oldestSupervisord[0], oldestSupervisord[1]),
			"install a newer one: python3 -m venv .venv && .venv/bin/pip install supervisor in "+d.place.paths.Dir)
		return
	}
	d.ok(check, fmt.Sprintf("%s, version %s", path, version))
}

func (d *doctor) supervisordConf(context.Context) {
	const check = "supervisord.conf"
	path := d.place.paths.SupervisordConf()
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		d.add(check, isFailed, "there is no "+path, "have one written: testbed init "+d.place.paths.Dir)
		return
	}
	c, err := d.place.supervisordConf()
	if err == nil {
		err = c.Check()
	}
	if err != nil {
		d.fail(check, err, "correct "+path+"; what testbed init writes into an empty folder is a pattern")
		return
	}
	d.conf = c
	if d.testbed == nil {
		d.ok(check, fmt.Sprintf("%d programs", len(c.Programs)))
		return
	}
	has := namesOf(c)
	for _, name := range append([]string{config.RunnerProgram}, d.testbed.EnabledPrograms()...) {
		if !slices.Contains(has, name) {
			d.add(check, isFailed, fmt.Sprintf("%s has no program %q, which %s needs", path, name, d.testbed.Shown), didYouMean(name, has, "add [program:"+name+"], or enable another agent; it has"))
			d.conf = nil
			return
		}
	}
	d.ok(check, "has "+strings.Join(has, ", "))
}

// programs looks whether what supervisord is to execute is there.
func (d *doctor) programs(context.Context) {
	const check = "programs"
	for _, q := range d.conf.Programs {
		command := commandWord(q.Command)
		if filepath.IsAbs(command) {
			info, err := os.Stat(command)
			if err == nil && !info.IsDir() && info.Mode().Perm()&0o111 != 0 {
				continue
			}
		} else if !filepath.IsAbs(command) { // supervisord looks on its PATH
			continue
		}
		d.add(check, isFailed, fmt.Sprintf("%s cannot be started: there is no program %s", q.Name, command),
			"correct its command= in "+d.conf.Path+", or build it: make build")
		return
	}
	d.ok(check, fmt.Sprintf("all %d can be executed", len(d.conf.Programs)))
}

// commandWord is the first word of a command line, less its quotes.
func commandWord(line string) string {
	line = strings.TrimSpace(line)
	if line == "" {
		return ""
	}
	if quote := line[0]; quote == '"' || quote == '\'' {
		word, _, _ := strings.Cut(line[1:], string(quote))
		return word
	}
	return strings.Fields(line)[0]
}

// supervisordSocket looks whether a supervisord answers, and what a dead one
// has left.
func (d *doctor) supervisordSocket(ctx context.Context) {
	const check = "supervisord's socket"
	ctx, cancel := context.WithTimeout(ctx, checkPatience)
	defer cancel()
	seen, err := d.place.testbed(d.app.log()).Observe(ctx)
	switch {
	case seen.Supervisor == "hung":
		d.add(check, isFailed, "supervisord does not answer at "+d.conf.Socket, "end it and what it runs: testbed stop-agents")
		return
	case err != nil:
		d.fail(check, err, "testbed stop-agents, then testbed run")
		return
	case seen.Supervisor == "running":
		d.runningPrograms(check, seen.Programs)
		return
	}
	if d.conf.Socket != "" {
		if _, err := os.Lstat(d.conf.Socket); err == nil {
			d.add(check, isWarning, d.conf.Socket+" is left from a supervisord that is gone", "nothing to do: the next testbed run replaces it; or rm "+d.conf.Socket)
			return
		}
	}
	if pid := readPID(d.conf.PIDFile); pid > 0 {
		who := "is gone"
		if syscall.Kill(pid, 0) == nil {
			who = "is another program now"
		}
		d.add(check, isWarning, fmt.Sprintf("%s is left from a supervisord whose pid %d %s", d.conf.PIDFile, pid, who), "nothing to do: the next testbed run replaces it; or rm "+d.conf.PIDFile)
		return
	}
	d.ok(check, "free: no supervisord runs")
}

func (d *doctor) runningPrograms(check string, list []swf.Program) {
	for _, q := range list {
		if q.State == swf.ProgramFatal || q.State == swf.ProgramBackoff {
			d.add(check, isWarning, fmt.Sprintf("supervisord runs, but %s is %s: %s", q.Name, q.State, q.Reason), "see why: testbed logs "+q.Name)
			return
		}
	}
	d.ok(check, "supervisord runs and answers")
}

func readPID(path string) int {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0
	}
	return pid
}

// dialURL reports whether somebody listens at an address or a URL.
func dialURL(address string) error {
	if u, err := url.Parse(address); err == nil && u.Host != "" {
		address = u.Host
	}
	conn, err := net.DialTimeout("tcp", address, checkPatience)
	if err != nil {
		return err
	}
	return conn.Close()
}
