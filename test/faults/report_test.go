package faults

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/epic-swf/testbed/swf"
)

// enoughStarts is how many programs must have written that they started when
// the whole package has run (design, 4c.13).
const enoughStarts = 300

// rows are the counts of all tests of this run.
var rows table

// table is the report.
type table struct {
	mu    sync.Mutex
	names []string // in the order in which they were begun
	lines map[line]*total
}

// line is what one line of the table is about.
type line struct{ row, broker string }

// total is the sum over the seeds.
type total struct {
	counts
	seeds []uint64
}

// expect puts a row in its place.
func (t *table) expect(row string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !slices.Contains(t.names, row) {
		t.names = append(t.names, row)
	}
}

// record adds what a run of the row came to.
func (t *table) record(row string, c *counts) {
	t.expect(row)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lines == nil {
		t.lines = make(map[line]*total)
	}
	at := line{row, c.Broker}
	if t.lines[at] == nil {
		t.lines[at] = &total{}
	}
	t.lines[at].add(c)
	t.lines[at].seeds = append(t.lines[at].seeds, c.Seed)
}

func (t *total) add(c *counts) {
	t.Commands += c.Commands
	t.Starts += c.Starts
	t.Faults += c.Faults
	t.Lost += c.Lost
	t.Doubled += c.Doubled
	t.Late += c.Late
	t.False += c.False
	t.Unequal += c.Unequal
	t.Pending += c.Pending
	t.Never += c.Never
	t.Operations += c.Operations
	t.Linear = cmp.Or(t.Linear, c.Linear)
	t.Kinds, t.Outcomes = sum(t.Kinds, c.Kinds), sum(t.Outcomes, c.Outcomes)
}

func sum[K comparable](to, from map[K]int) map[K]int {
	if to == nil {
		to = make(map[K]int)
	}
	for k, n := range from {
		to[k] += n
	}
	return to
}

func (t *total) cells(row, broker string) string {
	order := cmp.Or(t.Linear, "yes")
	return fmt.Sprintf("| %s | %s | %d | %d | %d | %d | %d | %d | %d | %d | %d | %d | %d | %s |\n", row, broker, len(t.seeds),
		t.Commands, t.Starts, t.Faults, t.Lost, t.Doubled, t.Late, t.False, t.Unequal, t.Pending, t.Operations, order)
}

// all is the sum of everything.
func (t *table) all() *total {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all total
	for _, l := range t.lines {
		all.add(&l.counts)
		all.seeds = append(all.seeds, l.seeds...)
	}
	slices.Sort(all.seeds)
	all.seeds = slices.Compact(all.seeds)
	return &all
}

const reportHead = `# What was counted under faults

Written by ` + "`%s`" + ` on %s; not edited by hand.
Each row is a test of ` + "`test/faults`" + ` over one broker and the real supervisord, with as many seeds as it says, and every manager tells a monitor that is down.
*Real starts* are lines that programs wrote themselves; *lost* is accepted without an outcome, *doubled* a second effect of one command, *late* an effect
after its expiry, *false* a success that was not so, *contradicted* two outcomes of one id. Each of these five must be 0. *Pending* is how many clients
were told "pending" and later the truth. *Operations* are what Porcupine was given, commands, looks and crashes, and *linearizable* is what it said.

Machine: %s. Took %s.

| fault | broker | seeds | commands | real starts | faults | lost | doubled | late | false | contradicted | pending | operations | linearizable |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|
`

// reasons say, for each code that commands end with under random faults, why
// that is the truth and no fault of ours.
var reasons = map[swf.Code]string{
	swf.CodeAgentsRunning:    "the testbed was up",
	swf.CodeBusy:             "another command had the executor",
	swf.CodeCancelled:        "a stop overtook it",
	swf.CodeExpired:          "it reached its manager too late",
	swf.CodeInterrupted:      "its manager was killed or paused in the midst of it, and the start was undone",
	swf.CodeStartFailed:      "its runner or its supervisord was killed before it was seen running",
	swf.CodeSuperseded:       "a later stop reached the manager first",
	swf.CodeSupervisorFailed: "its supervisord was killed or paused while it was being asked",
}

// conclude ends a run: it prints what all came to, writes the report where
// -report says, and wants enough real starts where everything ran.
func (t *table) conclude(took time.Duration) error {
	all := t.all()
	if len(t.lines) == 0 {
		return nil
	}
	fmt.Printf("%d seeds, %s: %s\n", len(all.seeds), took.Round(time.Second), &all.counts)
	if *report != "" {
		text := t.text(all, took)
		fmt.Print(text)
		return os.WriteFile(*report, []byte(text), 0o644)
	}
	if flag.Lookup("test.run").Value.String() == "" && t.overAll() && all.Starts < enoughStarts {
		return fmt.Errorf("%d real starts in all, fewer than %d", all.Starts, enoughStarts)
	}
	return nil
}

// overAll reports whether it ran over all three brokers.
func (t *table) overAll() bool {
	seen := make(map[string]bool)
	for l := range t.lines {
		seen[l.broker] = true
	}
	return len(seen) == 3
}

func (t *table) text(all *total, took time.Duration) string {
	command := "make faults"
	if *long {
		command = "make faults-long"
	}
	var b strings.Builder
	fmt.Fprintf(&b, reportHead, command, time.Now().UTC().Format("2006-01-02"), machine(), took.Round(time.Second))
	for _, row := range t.names {
		for _, k := range []kind{embedded, classic, artemis} {
			if l := t.lines[line{row, k.name}]; l != nil {
				b.WriteString(l.cells(row, k.name))
			}
		}
	}
	b.WriteString(all.cells("**all**", ""))
	if len(all.Kinds) > 0 {
		b.WriteString("\n## The random faults\n\n| fault | times |\n|---|---|\n")
		for _, name := range slices.Sorted(maps.Keys(all.Kinds)) {
			fmt.Fprintf(&b, "| %s | %d |\n", name, all.Kinds[name])
		}
	}
	b.WriteString("\n## What the commands came to\n\n| command | outcome | code | commands | under random faults, because |\n|---|---|---|---|---|\n")
	for _, e := range slices.SortedFunc(maps.Keys(all.Outcomes), func(a, b ending) int { return strings.Compare(a.String(), b.String()) }) {
		fmt.Fprintf(&b, "| %s | %s | %s | %d | %s |\n", e.verb, cmp.Or(string(e.outcome), "not sent"), e.code, all.Outcomes[e], reasons[e.code])
	}
	return b.String()
}

// machine is what it ran on.
func machine() string {
	model, memory := "unknown processor", ""
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for l := range strings.Lines(string(text)) {
			if name, ok := strings.CutPrefix(l, "model name"); ok {
				model = strings.TrimLeft(strings.TrimSpace(name), ": ")
				break
			}
		}
	}
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		var kb int
		if _, err := fmt.Sscanf(string(text), "MemTotal: %d", &kb); err == nil {
			memory = fmt.Sprintf(", %d GB", (kb+1<<19)>>20)
		}
	}
	return fmt.Sprintf("%d × %s%s, %s/%s, %s", runtime.NumCPU(), model, memory, runtime.GOOS, runtime.GOARCH, runtime.Version())
}
