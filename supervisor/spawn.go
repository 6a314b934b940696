package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

const maxOutput = 1024 // bytes of supervisord's complaints that an error carries

// spawnMark is the variable by which a supervisord is known, from its exec on,
// before it has a socket or a pid file: who started it may be dead by then. Its
// programs inherit it.
const spawnMark = "SUPERVISOR_SPAWNED_AS"

// Spawn executes supervisord with exactly the environment env and returns once
// it answers. The file is read anew, with env, and checked; missing folders for
// logs are made; the socket of a dead supervisord is removed.
//
// Errors: *ConfError; ErrAlreadyRunning, ErrHung or ErrShuttingDown when there
// is one; *SpawnError with what supervisord said, secrets of env masked. When
// the context ends late, a supervisord may be running: Shutdown undoes it.
func (d *Daemon) Spawn(ctx context.Context, env []string) error {
	release, err := d.act(ctx)
	if err != nil {
		return err
	}
	defer release()
	conf, err := readConf(d.opts.Conf, d.opts.Dir, env, true)
	if err != nil {
		return err
	}
	if was := d.Conf().Endpoint; conf.Endpoint != was {
		return &ConfError{Path: conf.Path, Problem: fmt.Sprintf(
			"means %s in the environment of the start, but %s before", conf.Endpoint, was)}
	}
	if err := conf.Check(); err != nil {
		return err
	}
	if err := d.clear(ctx, conf); err != nil {
		return err
	}
	if err := conf.makeLogDirs(); err != nil {
		return err
	}
	d.mu.Lock()
	d.conf = conf
	d.mu.Unlock()
	if err := d.execute(ctx, env); err != nil {
		return err
	}
	return d.firstAnswer(ctx, env)
}

// clear makes sure that no supervisord is there, nor the socket of a dead one.
func (d *Daemon) clear(ctx context.Context, conf *Conf) error {
	_, err := d.client.State(ctx)
	if err == nil {
		return ErrAlreadyRunning
	}
	if !errors.Is(err, ErrNotRunning) {
		return err
	}
	if id, ok := d.locate(); ok {
		if err := d.outwait(ctx, id); err != nil {
			return err
		}
	}
	if errors.Is(err, syscall.ECONNREFUSED) && conf.Socket != "" {
		d.log.Info("removing the socket of a dead supervisord", "socket", conf.Socket)
		return conf.removeStale()
	}
	return nil
}

// outwait lets a supervisord that has closed its socket come to its end: it
// still has a pid file to remove, which might be the new one's.
func (d *Daemon) outwait(ctx context.Context, id identity) error {
	h, err := hold(id)
	if errors.Is(err, errGone) {
		return nil
	}
	if err != nil {
		return err
	}
	defer h.Close()
	if err := d.waitFor(ctx, h, readTimeout); err != nil {
		return fmt.Errorf("%w, without its socket: %w", ErrAlreadyRunning, err)
	}
	return nil
}

// execute runs the foreground part of supervisord, which ends with status 0
// when the daemon has its sockets.
func (d *Daemon) execute(ctx context.Context, env []string) error {
	if d.opts.Binary == "" {
		return ErrNoBinary
	}
	// A file and not a pipe: a daemon that kept a pipe open would be waited for.
	out, err := os.CreateTemp("", "supervisord-*.out")
	if err != nil {
		return fmt.Errorf("output of supervisord: %w", err)
	}
	defer out.Close()
	if err := os.Remove(out.Name()); err != nil {
		return fmt.Errorf("output of supervisord: %w", err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, d.limits.spawn,
		fmt.Errorf("not up after %s", d.limits.spawn))
	defer cancel()
	cmd := exec.CommandContext(ctx, d.opts.Binary, "-c", d.Conf().Path)
	cmd.Dir = d.opts.Dir
	cmd.Env = append(withoutSupervisor(env), spawnMark+"="+d.Conf().ServerURL)
	cmd.Stdout, cmd.Stderr = out, out
	// A Ctrl-C at the terminal must not hit it before it is a daemon.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	d.spawned()
	err = cmd.Run()
	d.spawned() // of autostart programs
	if err == nil {
		return nil
	}
	text := spawnOutput(out, env)
	se := &SpawnError{ExitCode: cmd.ProcessState.ExitCode(), Output: text}
	switch {
	case ctx.Err() != nil:
		se.Err = context.Cause(ctx)
	case strings.Contains(text, "already listening"):
		se.Err = ErrAlreadyRunning // somebody was faster
	case cmd.ProcessState == nil:
		se.Err = err
	}
	return se
}

// firstAnswer waits for the daemon to speak and remembers who it is.
func (d *Daemon) firstAnswer(ctx context.Context, env []string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, d.limits.answer,
		fmt.Errorf("no answer %s after its start", d.limits.answer))
	defer cancel()
	var last error
	for {
		id, err := d.identify(ctx)
		if err == nil {
			d.log.Info("supervisord started", "pid", id.pid, "conf", d.opts.Conf)
			return nil
		}
		if last == nil || ctx.Err() == nil {
			last = err // and not that time was up while asking
		}
		if cause := pause(ctx, 10*time.Millisecond); cause != nil {
			text, _ := tailFile(d.Conf().LogFile, maxOutput)
			return &SpawnError{Output: redact(text, env), Err: fmt.Errorf("%w: %w", cause, last)}
		}
	}
}

// withoutSupervisor drops what marks a child of a supervisord: whoever carries
// the mark of ours is taken for one of its programs. It sets them itself.
func withoutSupervisor(env []string) []string {
	out := make([]string, 0, len(env))
	for _, kv := range env {
		switch name, _, _ := strings.Cut(kv, "="); name {
		case "SUPERVISOR_ENABLED", "SUPERVISOR_SERVER_URL", "SUPERVISOR_PROCESS_NAME", "SUPERVISOR_GROUP_NAME", spawnMark:
		default:
			out = append(out, kv)
		}
	}
	return out
}

func spawnOutput(f *os.File, env []string) string {
	b := make([]byte, 64<<10)
	n, err := f.ReadAt(b, 0)
	if err != nil && err != io.EOF {
		return ""
	}
	return redact(string(b[:n]), env)
}

// redact makes supervisord's output fit for a log: without the list of all
// variables that it prints, without the values of those that look secret,
// without the line that recommends -h, and short.
func redact(s string, env []string) string {
	var keep []string
	for _, line := range strings.Split(clean(s), "\n") {
		line, _, _ = strings.Cut(line, "Available names:")
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "For help, use") {
			keep = append(keep, line)
		}
	}
	s = strings.Join(keep, "\n")
	for _, kv := range env {
		name, value, _ := strings.Cut(kv, "=")
		if len(value) >= 4 && secretName(name) {
			s = strings.ReplaceAll(s, value, "<"+name+">")
		}
	}
	return clip(s, maxOutput)
}

func secretName(name string) bool {
	name = strings.ToUpper(name)
	for _, word := range []string{"PASS", "TOKEN", "SECRET", "KEY", "CREDENTIAL", "AUTH"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}
