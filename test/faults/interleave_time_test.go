package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/manager"
	"github.com/epic-swf/testbed/swf"
)

// TestExpiryAndCopies are interleavings of commands with their own clock and
// their own copies, and the largest answer there is.
func TestExpiryAndCopies(t *testing.T) {
	runRows(t, []row{
		{name: "a start begun in time that lasts past its expiry", run: lastsPastExpiry},
		{name: "a start accepted in time that waits past its expiry", run: waitsPastExpiry},
		{name: "one key, new times, two servers", run: twoServers},
		{name: "100 programs with the end of their logs, emoji, U+2028 and NUL", run: hundredPrograms},
	})
}

// heldPastExpiry pauses a start at that point until it is too old to begin.
func heldPastExpiry(s *site, u *user, c *control.Client, at manager.Point) *operation {
	s.t.Helper()
	s.want(c, u, stop, control.Succeeded)
	u.strike(at, 0, syscall.SIGSTOP)
	cmd := start("")
	cmd.IssuedAt = time.Now()
	cmd.ExpiresAt = cmd.IssuedAt.Add(8 * time.Second) // to come to that point on a busy machine
	asked := later(func() *operation { return s.ask(c, u, cmd, patience) })
	u.paused()
	pause(time.Until(cmd.ExpiresAt.Add(100 * time.Millisecond)))
	u.manager.signal(syscall.SIGCONT)
	return <-asked
}

func lastsPastExpiry(s *site, u *user, c *control.Client) {
	op := heldPastExpiry(s, u, c, manager.AtUp) // every program has been started by then
	if op.heard.Outcome != control.Succeeded {
		s.t.Fatalf("it is %s", shown(op.heard))
	}
	u.wrote(op)
	s.want(c, u, stop, control.Succeeded)
}

func waitsPastExpiry(s *site, u *user, c *control.Client) {
	if op := heldPastExpiry(s, u, c, manager.AtTurn); op.heard.Outcome != control.Expired {
		s.t.Errorf("it is %s", shown(op.heard))
	}
	u.standing(nil)
}

func twoServers(s *site, u *user, c *control.Client) {
	s.want(c, u, stop, control.Succeeded)
	cmd := start("slow")
	cmd.ID = control.KeyedID(u.name, u.name, "one key")
	replica := s.client(nil)
	var first, second *operation
	var both sync.WaitGroup
	both.Go(func() { first = s.ask(c, u, cmd, patience) })
	both.Go(func() { second = s.askAs(1, replica, u, cmd, patience) }) // Complete gives it times of its own
	both.Wait()
	if first.heard.Outcome != control.Succeeded || !same(first.heard, second.heard) {
		s.t.Errorf("one server was told %s, the other %s", shown(first.heard), shown(second.heard))
	}
	u.wrote(first)
	u.standing(first.heard.Programs)
	s.want(c, u, stop, control.Succeeded)
}

// hundredPrograms: an answer that must be cut to fit, of characters that are
// hard to carry, arrives verified.
func hundredPrograms(s *site, u *user, c *control.Client) {
	const n = 100
	u.write("noise.sh", `i=0; while [ $i -lt 200 ]; do printf '\360\237\230\200 \342\200\250 \000 \033[31m "%s"\n' words; i=$((i+1)); done; exit 3`)
	conf, err := os.ReadFile(filepath.Join(u.paths.Dir, "agents.supervisord.conf"))
	if err != nil {
		s.t.Fatal(err)
	}
	text, config := string(conf), "[testbed]\nnamespace = \"faults\"\n"
	for i := range n {
		text += fmt.Sprintf("[program:p%d]\ncommand=/bin/sh %%(here)s/noise.sh\nautostart=false\nautorestart=false\nstartsecs=30\nstartretries=0\nredirect_stderr=true\nstdout_logfile=%%(here)s/s/p%[1]d.log\n", i)
		config += fmt.Sprintf("[agents.p%d]\nenabled = true\nprogram = \"p%[1]d\"\n", i)
	}
	u.write("agents.supervisord.conf", text)
	u.write("workflows/hundred.toml", config)
	op := s.want(c, u, start("hundred"), control.Failed, swf.CodeStartFailed)
	if got := len(op.heard.Programs); got <= n {
		s.t.Errorf("%d programs are told of", got)
	}
	tails := 0
	for _, p := range op.heard.Programs {
		if strings.Contains(p.LogTail, "words") {
			tails++
		}
		if strings.ContainsAny(p.LogTail, "\x00\x1b") {
			s.t.Errorf("control characters in the log of %s: %q", p.Name, p.LogTail)
		}
	}
	if tails == 0 {
		s.t.Error("no log is told of")
	}
	s.t.Logf("%d programs, %d with the end of their log", len(op.heard.Programs), tails)
	u.standing(nil)
}
