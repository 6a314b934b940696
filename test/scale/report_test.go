package scale

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"time"
)

const heading = `<!-- Written by "make scale". Do not edit: run it again. -->
# How many users it carries

Real agent managers (their testbeds stopped) hang on one broker and one monitor, each with its two STOMP connections, its heartbeat every 10 s, its probe of its own
control queue; two MCP servers stand behind a plain TCP balancer, which gives each connection to the next of them. An assistant calls tools one after the other, eight more
call twice a second beside it. All of this, the crowd too, shares one machine, so each figure stands beside that of **one manager alone**: a site of its own, called in turn
with the crowd's in the same minute on the same machine. Ratios are medians of the rounds' ratios (smallest and largest); p99 is of a round of 60 calls, so one that the
machine delays decides it, and the ratio says more than the figure.

`

const ending = `## What follows

- Where a p99 misses its goal while the p50 does not, a call met the crowd at work: crowd, servers, balancer and caller share the cores of one machine. It needs a crowd on other hosts, as
  users are. A JVM takes the memory that it is given, here 2 GB, before it looks for what it could give back, so its memory per manager says little.
- The embedded broker takes 16,384 connections, those of 8,192 managers. Then files: each process may have as many as the machine allows it, two or three a manager over broker and monitor.
- A monitor of a site takes 2,048 connections. When half of them are kept for the next heartbeat, further ones end with their answer, so thousands of managers beat over fewer connections
  than there are managers; a beat that meets a connection which is just closed is sent anew.
- tokens.toml holds 200 tokens. Beyond as many users, assistants sign in by OAuth, and managers share the site's monitor token.
- Beyond one host: Artemis clusters the queues, PostgreSQL holds the monitor, and MCP servers multiply behind a balancer: they share nothing but a key ([operator.md](operator.md)). A test runs two
  of them, has calls of one session go to either, asks one for a command under way at the other, and kills one in the middle of a call.

`

// page is docs/scale.md.
func page(all []*setting, took time.Duration) string {
	var b strings.Builder
	b.WriteString(heading)
	for _, s := range all {
		fmt.Fprintf(&b, "## %s\n\n", upper(s.words))
		b.WriteString("| managers | 1, nobody else there |")
		for _, z := range s.sizes {
			fmt.Fprintf(&b, " %d |", z.managers)
		}
		b.WriteString("\n|---|---|" + strings.Repeat("---|", len(s.sizes)) + "\n")
		for _, r := range rows() {
			fmt.Fprintf(&b, "| %s | %s |", r.of, r.quiet(&s.quiet))
			for i := range s.sizes {
				fmt.Fprintf(&b, " %s |", r.sized(&s.sizes[i]))
			}
			b.WriteByte('\n')
		}
		b.WriteByte('\n')
		b.WriteString(s.bounds())
	}
	b.WriteString(ending)
	fmt.Fprintf(&b, "Measured in %s on %s: %d cores, %s.\n", took.Round(time.Second), time.Now().UTC().Format("2 January 2006"), runtime.NumCPU(), runtime.Version())
	return b.String()
}

func upper(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// row is one line of a table.
type row struct {
	of    string
	quiet func(*figures) string
	sized func(*sized) string
}

func rows() []row {
	none := func(*figures) string { return "" }
	call := func(of string, part float64, pick func(*figures) []times) row {
		return row{of, func(f *figures) string { return ms(median(each(pick(f), part))) },
			func(s *sized) string {
				a, b := each(pick(&s.alone), part), each(pick(&s.among), part)
				return fmt.Sprintf("%s, %s × %s", ms(median(b)), ratio(a, b), ms(median(a)))
			}}
	}
	check, status := func(f *figures) []times { return f.check }, func(f *figures) []times { return f.status }
	pulse := func(f *figures) []times { return f.pulse }
	return []row{
		call("`check_agent_manager`, p50", 0.5, check), call("the same, p99 (goal: ≤ 2 ×)", 0.99, check),
		call("`get_testbed_status`, p50", 0.5, status), call("the same, p99 (goal: ≤ 2 ×)", 0.99, status),
		call("a heartbeat over HTTP, p50", 0.5, pulse), call("the same, p99 (goal: ≤ 50 ms)", 0.99, pulse),
		{"heartbeats as timed in the crowd, which has more to do: p50, p99", none, func(s *sized) string {
			return ms(quantile(s.among.beats, 0.5)) + ", " + ms(quantile(s.among.beats, 0.99))
		}},
		{"heartbeats that arrived, that did not", none, func(s *sized) string { return fmt.Sprintf("%d, %d", len(s.among.beats), s.among.failed) }},
		{"calls that got their answer, that did not in time", none, func(s *sized) string {
			missed := s.calls.missed.Load()
			return fmt.Sprintf("%d, %d", s.calls.all.Load()-missed, missed)
		}},
		{"memory of broker and monitor per manager (goal: ≤ 100 kB)", none, func(s *sized) string {
			return fmt.Sprintf("%.0f kB", s.grown.memory/float64(s.managers)/1e3)
		}},
		{"processor time: broker, monitor", none, func(s *sized) string {
			return fmt.Sprintf("%.0f %%, %.0f %% of a core", s.broker.worked/s.took*100, s.server.worked/s.took*100)
		}},
		{"files open: broker and monitor", none, func(s *sized) string { return fmt.Sprint(s.files.files) }},
		{"memory of a manager itself, of many in one process", none, func(s *sized) string { return fmt.Sprintf("%.0f kB", s.own/1e3) }},
	}
}

// line says the most important for who waits.
func (s *sized) line() string {
	var b strings.Builder
	for _, r := range rows() {
		fmt.Fprintf(&b, "\n  %s: %s", r.of, r.sized(s))
	}
	return b.String()
}

// bounds says where the end is.
func (s *setting) bounds() string {
	if s.limits.beats == 0 {
		return "The run ended before its limits were looked for.\n\n"
	}
	last := s.sizes[len(s.sizes)-1]
	n := float64(last.managers)
	core := func(u usage) float64 { return n / (u.worked / last.took) }
	return fmt.Sprintf(`What sets the limit, looked for with the %d managers connected:

- **Connections**: the broker had %d files open when it took nobody more; to the next one it said %s. A manager has two.
- **Heartbeats**: %d clients that beat without a pause got %.0f a second through to the monitor beside the crowd's (%d failed), as many as %.0f more managers send.
- **Processor**: at this rate a core of the broker is full with %.0f managers, one of the monitor with %.0f.

`, last.managers, s.limits.connections, s.limits.stopped, hammers, s.limits.beats, s.limits.failed, s.limits.beats*beatEvery.Seconds(), core(last.broker), core(last.server))
}

func ms(seconds float64) string {
	if math.IsNaN(seconds) {
		return "–"
	}
	return fmt.Sprintf("%.1f ms", seconds*1e3)
}

// each is that quantile of each round.
func each(rounds []times, part float64) (all []float64) {
	for _, r := range rounds {
		all = append(all, quantile(r, part))
	}
	return all
}

// ratio is the median of b to a, round by round.
func ratio(a, b []float64) string {
	var all []float64
	for i := range min(len(a), len(b)) {
		all = append(all, b[i]/a[i])
	}
	if len(all) == 0 {
		return "–"
	}
	return fmt.Sprintf("**%.2f** (%.2f–%.2f)", median(all), slices.Min(all), slices.Max(all))
}

func median(v []float64) float64 { return quantile(v, 0.5) }

// quantile is the value below which that part of v lies.
func quantile(v []float64, part float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(v))
	return s[min(int(part*float64(len(s))), len(s)-1)]
}
