package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/epic-swf/testbed/supervisor"
	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/tools"
)

// logsFlags are those of testbed logs.
type logsFlags struct {
	follow bool
	lines  int
	user   string
}

func (a *app) logsCommand() *cobra.Command {
	var f logsFlags
	cmd := &cobra.Command{
		Use:   "logs [PROGRAM...]",
		Short: "Show the end of your programs' logs, and follow them",
		Long: `Logs shows the last lines that programs of your testbed wrote, also after they have ended. Without a name it shows all
that have a log, each line behind the name of its program. With --follow it goes on with what they write, until Ctrl-C;
a log that is rotated or begun anew is followed too.`,
		Example: `  testbed logs workflow-runner
  testbed logs -f -n 0`,
		ValidArgsFunction: completion(1<<20, a.programNames),
		RunE:              func(cmd *cobra.Command, args []string) error { return a.showLogs(cmd.Context(), args, f) },
	}
	cmd.Flags().BoolVarP(&f.follow, "follow", "f", false, "go on with what is written, until Ctrl-C")
	cmd.Flags().IntVarP(&f.lines, "lines", "n", 20, "how many lines to begin with")
	cmd.Flags().StringVar(&f.user, "user", "", "of another user's testbed, by the agent manager there; one PROGRAM, at most 200 lines, without --follow")
	completeLive(cmd, "user", a.userNames)
	return cmd
}

func (a *app) showLogs(ctx context.Context, names []string, f logsFlags) error {
	if f.lines < 0 {
		return usageError{swf.E(swf.CodeInvalidArgument, "--lines is a number of lines", "for example -n 100")}
	}
	if f.user != "" {
		return a.logsOf(ctx, names, f)
	}
	p, err := a.find()
	if err != nil {
		return err
	}
	files, err := p.logFiles(ctx, names)
	if err != nil {
		return err
	}
	out := &logWriter{to: a.out, named: len(files) > 1, ink: a.ink(a.out)}
	for _, l := range files {
		if err := l.last(out, f.lines); err != nil {
			return err
		}
	}
	if !f.follow {
		return nil
	}
	defer func() {
		for _, l := range files {
			l.close()
		}
	}()
	return follow(ctx, files, out)
}

// follow writes what the logs get until ctx ends.
func follow(ctx context.Context, files []*logFile, out *logWriter) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		for _, l := range files {
			if err := l.more(out); err != nil {
				return err
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// logsOf asks the manager of another user.
func (a *app) logsOf(ctx context.Context, names []string, f logsFlags) error {
	if len(names) != 1 || f.follow {
		return usageError{swf.E(swf.CodeInvalidArgument, "--user shows one PROGRAM, without --follow", "testbed status --user "+f.user+" shows the programs")}
	}
	r, err := a.remote()
	if err != nil {
		return err
	}
	defer r.close()
	answer, err := call[tools.AgentLogOut](ctx, r, "get_agent_log", map[string]any{"username": f.user, "program": names[0], "lines": min(f.lines, 200)})
	if err != nil {
		return err
	}
	_, err = io.WriteString(a.out, swf.Printable(*answer.Log))
	return err
}

// logFiles finds where the programs of those names write; none means all of
// which that is known.
func (p *place) logFiles(ctx context.Context, names []string) ([]*logFile, error) {
	c, err := p.supervisordConf()
	if err != nil {
		return nil, swf.E(swf.CodeSupervisorFailed, err.Error(), "correct "+p.paths.SupervisordConf()+"; testbed doctor says more").Because(err)
	}
	where := p.logPaths(ctx, c)
	has := namesOf(c)
	all := len(names) == 0
	if all {
		names = has
	}
	var files []*logFile
	for _, name := range names {
		path, ok := where[name]
		switch {
		case !ok && !slices.Contains(has, name):
			return nil, swf.E(swf.CodeUnknownProgram, fmt.Sprintf("there is no program %q", name), didYouMean(name, has, "the programs are"))
		case path != "":
			files = append(files, &logFile{name: name, path: path})
		case !all:
			return nil, swf.E(swf.CodeSupervisorFailed, fmt.Sprintf("%s names no log file for %s, and no supervisord runs that has chosen one", p.paths.SupervisordConf(), name),
				"start the testbed, or give the program a stdout_logfile")
		}
	}
	return files, nil
}

// logPaths asks supervisord, which knows best, and else its file.
func (p *place) logPaths(ctx context.Context, c *supervisor.Conf) map[string]string {
	paths := map[string]string{}
	for _, q := range c.Programs {
		paths[q.Name] = q.LogFile
	}
	ctx, cancel := context.WithTimeout(ctx, checkPatience)
	defer cancel()
	seen, err := p.testbed(p.app.log()).Observe(ctx)
	if err != nil {
		return paths // of one that hangs the file still tells
	}
	for _, q := range seen.Programs {
		if q.LogFile != "" {
			paths[q.Name] = q.LogFile
		}
	}
	return paths
}

// logFile is one log that is read as it grows.
type logFile struct {
	name, path string

	f    *os.File
	at   int64
	rest []byte // of a line that has not ended yet
}

// maxRead bounds how much of a log is read at once, in bytes.
const maxRead = 1 << 20

// open opens the log; a missing one is none yet. Only a file is read: opening a
// named pipe would wait, and take what was written for somebody else.
func (l *logFile) open() error {
	f, err := os.OpenFile(l.path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return errors.Join(err, f.Close())
	}
	l.f, l.at, l.rest = f, 0, nil
	return nil
}

func (l *logFile) close() {
	if l.f != nil {
		l.f.Close()
		l.f = nil
	}
}

// last writes the last n lines, and stands behind them.
func (l *logFile) last(out *logWriter, n int) error {
	if err := l.open(); err != nil || l.f == nil {
		return err
	}
	info, err := l.f.Stat()
	if err != nil {
		return err
	}
	start := max(0, info.Size()-maxRead)
	text := make([]byte, info.Size()-start)
	got, err := l.f.ReadAt(text, start)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	l.at = start + int64(got)
	lines := bytes.SplitAfter(text[:got], []byte("\n"))
	if last := len(lines) - 1; len(lines[last]) == 0 {
		lines = lines[:last]
	}
	for _, line := range lines[max(0, len(lines)-n):] {
		if err := out.line(l.name, line); err != nil {
			return err
		}
	}
	return nil
}

// more writes what has come since, in whole lines.
func (l *logFile) more(out *logWriter) error {
	if l.f == nil {
		if err := l.open(); err != nil || l.f == nil {
			return err
		}
	}
	buf := make([]byte, maxRead)
	got, err := l.f.ReadAt(buf, l.at)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	l.at += int64(got)
	text := append(l.rest, buf[:got]...)
	for {
		line, rest, whole := bytes.Cut(text, []byte("\n"))
		if !whole {
			break
		}
		if err := out.line(l.name, line); err != nil {
			return err
		}
		text = rest
	}
	l.rest = bytes.Clone(text)
	if got == 0 {
		return l.turnOver()
	}
	return nil
}

// turnOver begins anew where the log was rotated or cut.
func (l *logFile) turnOver() error {
	mine, err := l.f.Stat()
	if err != nil {
		return err
	}
	now, err := os.Stat(l.path)
	switch {
	case err != nil:
		return nil // between two names; it comes back
	case !os.SameFile(mine, now):
		l.close()
		return l.open()
	case now.Size() < l.at:
		l.at, l.rest = 0, nil
	}
	return nil
}

// logWriter writes lines of logs: data of programs, of which a terminal must
// obey nothing.
type logWriter struct {
	to    io.Writer
	named bool
	ink   ink
}

func (w *logWriter) line(name string, line []byte) error {
	text := swf.Printable(strings.TrimRight(string(line), "\r\n"))
	if w.named {
		text = w.ink.of(faint, fmt.Sprintf("%-24s |", name)) + " " + text
	}
	_, err := fmt.Fprintln(w.to, text)
	return err
}
