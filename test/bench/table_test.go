package bench

import (
	"bytes"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/epic-swf/testbed/swf"
)

// What is given behind -args.
var (
	report = flag.String("report", "", "measure everything and write the table to this file")
	quick  = flag.Bool("quick", false, "small sizes and one round: does each case work at all?")
)

// group is rows that are measured together, floor and ours in turn.
type group struct {
	name    string
	rows    []*row
	measure func(t *testing.T, g *group)
	missing string // why nothing was measured
}

// groups are all of them, in the order of the table of goals.
func groups() []*group {
	return []*group{calls(), roundTrip(), starts(), runs(), daemon(), server(), brokerTrip(), brokerFlow(), managers(),
		recording(), simulation(), pipeline(), growth()}
}

// TestTable measures everything and writes the table, when asked to. It fails
// where a case does not work, never for a figure.
func TestTable(t *testing.T) {
	if *report == "" {
		return // make bench asks; make test has the guard
	}
	began, all := time.Now(), groups()
	for _, g := range all {
		g.missing = "it was skipped or failed; the run's output says why"
		t.Run(g.name, func(t *testing.T) {
			from := time.Now()
			g.measure(t, g)
			g.missing = ""
			for _, r := range g.rows {
				fmt.Println(r.line())
			}
			t.Logf("%s: %s", g.name, time.Since(from).Round(time.Second))
		})
	}
	text := page(all, time.Since(began))
	fmt.Println("\n" + text)
	if err := os.WriteFile(*report, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// rounds is how often floor and ours are measured in turn: at least 5.
func rounds(n int) int {
	if *quick {
		return 1
	}
	return n
}

// size is how much work there is in a round.
func size(n int) int {
	if *quick {
		return max(n/20, 2)
	}
	return n
}

// inTurn measures floor and ours in turn, and in the other order every other
// round. Both return one figure for each of the group's first rows.
func (g *group) inTurn(t *testing.T, n int, floor, ours func() []float64) {
	t.Helper()
	for i := range rounds(n) {
		var f, o []float64
		if i%2 == 0 {
			f, o = floor(), ours()
		} else {
			o, f = ours(), floor()
		}
		for k := range o {
			g.rows[k].add(f[k], o[k])
		}
	}
}

const heading = `<!-- Written by "make bench". Do not edit: run it again. -->
# How fast it is

Each figure is held against a **floor**, the least work that could do the job, measured in the same run and in turn with it. The ratio is the median of the
rounds' ratios (smallest and largest, number of rounds): machines are shared and noisy, and what disturbs a round disturbs both halves of it. Figures in themselves
mean little; ratios are to be compared. A row without a floor is held against a figure. An exponent says how cost grows over 1, 10 and 100 times the work: 1 is
"as the work does".

`

// page is docs/performance.md.
func page(all []*group, took time.Duration) string {
	var b bytes.Buffer
	b.WriteString(heading)
	b.WriteString("| case | floor | floor | ours | ratio | goal | met | beside it; the reason where a goal is missed |\n|---|---|---|---|---|---|---|---|\n")
	met, of := 0, 0
	for _, g := range all {
		for _, r := range g.rows {
			if g.missing != "" && r.note == "" {
				r.note = g.missing
			}
			fmt.Fprintln(&b, r.line())
			if r.goal.words != "" {
				of++
				if r.verdict() == "yes" {
					met++
				}
			}
		}
	}
	fmt.Fprintf(&b, "\n%d of %d goals met. Measured in %s on %s.\n", met, of, took.Round(time.Second), time.Now().UTC().Format("2 January 2006"))
	fmt.Fprintf(&b, "\n## Machine and versions\n\n%s\n", machine())
	return b.String()
}

// machine says where this was measured and with what.
func machine() string {
	var lines []string
	say := func(what, value string) {
		if value = strings.TrimSpace(value); value != "" {
			lines = append(lines, fmt.Sprintf("- %s: %s", what, value))
		}
	}
	say("processor", fmt.Sprintf("%s, %d cores", field("/proc/cpuinfo", "model name"), runtime.NumCPU()))
	say("memory", field("/proc/meminfo", "MemTotal"))
	load, _ := os.ReadFile("/proc/loadavg")
	say("load at the end (1, 5, 15 minutes)", strings.Join(strings.Fields(string(load))[:3], ", "))
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	say("kernel", string(kernel))
	say("Go", runtime.Version())
	say("this", swf.Version+" "+firstLine("git", "-C", repository(), "rev-parse", "--short", "HEAD"))
	say("supervisord", firstLine("supervisord", "--version"))
	say("Java", firstLine("java", "-Xmx64M", "-version"))
	say("ActiveMQ Classic", firstLine("dpkg-query", "-W", "-f", "${Version}", "activemq"))
	say("Artemis", strings.TrimPrefix(lastElement(os.Getenv("SWF_TEST_ARTEMIS")), "apache-artemis-"))
	say("Python", firstLine(python(), "-c", `import sys, importlib.metadata as m
print(sys.version.split()[0], *(f"{p} {m.version(p)}" for p in ("mcp", "stomp.py", "simpy")))`))
	return strings.Join(lines, "\n")
}

func field(file, name string) string {
	text, _ := os.ReadFile(file)
	for line := range strings.Lines(string(text)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func firstLine(name string, args ...string) string {
	if name == "" {
		return ""
	}
	out, _ := exec.Command(name, args...).CombinedOutput()
	line, _, _ := strings.Cut(string(out), "\n")
	return line
}

func lastElement(path string) string { return path[strings.LastIndex(path, "/")+1:] }

// slope is the exponent of a cost that was c at each of the sizes: the line of
// least squares through their logarithms.
func slope(sizes, costs []float64) float64 {
	var x, y, xx, xy float64
	n := float64(len(sizes))
	for i := range sizes {
		a, b := math.Log(sizes[i]), math.Log(costs[i])
		x, y, xx, xy = x+a, y+b, xx+a*a, xy+a*b
	}
	return (n*xy - x*y) / (n*xx - x*x)
}
