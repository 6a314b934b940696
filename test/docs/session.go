package docs

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// patience bounds each block. It is no measurement: whoever needs it has
// failed.
const patience = 4 * time.Minute

// mark is the variable by which processes of a session are known.
const mark = "TESTBED_DOCS"

// session is a person who does what a page says: a home, a shell that
// remembers where it is and what was exported, and terminals that stay open.
type session struct {
	home      string
	state     string // where the shell's folder and variables are kept between blocks
	env       []string
	terminals []*terminal
}

// terminal runs one block to its end in the background.
type terminal struct {
	cmd  *exec.Cmd
	out  *output
	done chan struct{} // closed when it has ended
}

// output collects what a terminal prints, and tells of each change.
type output struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{}
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.changed)
	o.changed = make(chan struct{})
	return o.text.Write(b)
}

func (o *output) now() (string, <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String(), o.changed
}

// newSession makes a home below dir, where only dir's processes and files are.
func newSession(dir, bin string) (*session, error) {
	s := &session{home: filepath.Join(dir, "home"), state: filepath.Join(dir, "shell")}
	for _, d := range []string{s.home, s.state} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, err
		}
	}
	path := strings.TrimSuffix(bin+":"+os.Getenv("PATH"), ":")
	s.env = []string{"HOME=" + s.home, "PATH=" + path, mark + "=" + dir, "TERM=dumb", "LANG=C.UTF-8"}
	for _, name := range []string{"USER", "SWF_SUPERVISORD", "GOPATH", "GOPROXY", "GOFLAGS", "GOTOOLCHAIN", "GOSUMDB", "SSL_CERT_FILE", "SSL_CERT_DIR"} {
		if v := os.Getenv(name); v != "" {
			s.env = append(s.env, name+"="+v)
		}
	}
	if err := os.WriteFile(filepath.Join(s.state, "resume"), []byte("cd "+quoted(s.home)+"\n"), 0o600); err != nil {
		return nil, err
	}
	return s, nil
}

// shell runs a script where the last one left off; each command is shown
// before it runs, and the first that fails ends it. ends is the exit code that
// the last command must have.
func (s *session) shell(script, ends string) string {
	resume := quoted(filepath.Join(s.state, "resume"))
	keep := "{ export -p; printf 'cd %q\\n' \"$PWD\"; } > " + resume
	if ends != "" {
		list := block{text: script}.commands()
		last := list[len(list)-1]
		before := ""
		for _, c := range list[:len(list)-1] {
			before += c.text + "\n"
		}
		script = before + "{ " + last.text + "\n} && got=0 || got=$?\n" +
			"[ \"$got\" = " + ends + " ] || { echo \"it ended with $got, not " + ends + "\" >&2; exit 1; }\n"
	}
	return ". " + resume + "\nset -eo pipefail\n" + script + "\n" + keep + "\n"
}

// run runs a block and returns what it printed.
func (s *session) run(ctx context.Context, b block) (string, error) {
	if b.terminal != "" {
		return s.open(ctx, b)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := s.command(ctx, s.shell(b.text, b.exit))
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		err = fmt.Errorf("not done after %s", patience)
	}
	return string(out), err
}

func (s *session) command(ctx context.Context, script string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "bash", "-c", script)
	cmd.Env, cmd.Dir = s.env, s.home
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// open runs a block in a terminal of its own and waits until it says that it is
// ready.
func (s *session) open(ctx context.Context, b block) (string, error) {
	t := &terminal{out: &output{changed: make(chan struct{})}, done: make(chan struct{})}
	t.cmd = s.command(ctx, s.shell(b.text, ""))
	t.cmd.Stdout, t.cmd.Stderr = t.out, t.out
	if err := t.cmd.Start(); err != nil {
		return "", err
	}
	s.terminals = append(s.terminals, t)
	go func() {
		_ = t.cmd.Wait()
		close(t.done)
	}()
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		text, changed := t.out.now()
		if strings.Contains(text, b.terminal) {
			return text, nil
		}
		select {
		case <-changed:
		case <-t.done:
			text, _ = t.out.now()
			return text, fmt.Errorf("it ended without having said %q", b.terminal)
		case <-late.C:
			return text, fmt.Errorf("it has not said %q for %s", b.terminal, patience)
		}
	}
}

// end presses Ctrl-C in each terminal, the last first, and waits for its end.
func (s *session) end() error {
	for i := len(s.terminals) - 1; i >= 0; i-- {
		t := s.terminals[i]
		_ = syscall.Kill(-t.cmd.Process.Pid, syscall.SIGINT)
		select {
		case <-t.done:
		case <-time.After(patience):
			_ = syscall.Kill(-t.cmd.Process.Pid, syscall.SIGKILL)
			<-t.done
			text, _ := t.out.now()
			return fmt.Errorf("Ctrl-C did not end it in %s:\n%s", patience, text)
		}
	}
	s.terminals = nil
	return nil
}

func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
