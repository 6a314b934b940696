package scale

import (
	"context"
	"errors"
	"flag"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/test/brokers"
	"github.com/epic-swf/testbed/test/postgres"
)

// What is given behind -args.
var (
	report = flag.String("report", "", "measure, and write the page to this file")
	sizes  = flag.String("sizes", "1000,5000", "how many managers")
	over   = flag.String("over", "embedded,production", "what stands behind a site")
)

const (
	beatEvery = 10 * time.Second
	rounds    = 7
	calls     = 60 // of each tool, each round and site
	others    = 8  // further assistants who call beside
)

// setups are what may stand behind a site.
var setups = map[string]struct {
	words   string
	backing backing
}{
	"embedded":   {"the embedded broker, SQLite", backing{}},
	"production": {"Apache Artemis, PostgreSQL", backing{broker: artemis, database: func(t testing.TB) string { return postgres.Start(t).Database(t) }}},
}

// artemis has the memory that its own profile gives it.
func artemis(t testing.TB) (string, account, int) {
	s, err := brokers.NewArtemis(t.TempDir())
	if errors.Is(err, brokers.ErrMissing) && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.Heap(2048)
	t.Cleanup(func() { s.Kill(t) })
	s.Start(t)
	return s.Addr(), account{brokers.Admin, brokers.Passcode(brokers.Admin)}, s.PID()
}

// TestScale measures when it is asked to. It fails where something does not
// work, never for a figure.
func TestScale(t *testing.T) {
	if *report == "" {
		return // make scale asks
	}
	began := time.Now()
	var all []*setting
	for name := range strings.SplitSeq(*over, ",") {
		set := &setting{words: setups[name].words}
		t.Run(name, func(t *testing.T) { set.measure(t, setups[name].backing) })
		if len(set.sizes) > 0 {
			all = append(all, set)
		}
	}
	if err := os.WriteFile(*report, []byte(page(all, time.Since(began))), 0o644); err != nil {
		t.Fatal(err)
	}
}

// setting is all that was measured with one thing behind the sites.
type setting struct {
	words  string
	quiet  figures // one manager, while there is no other
	sizes  []sized
	limits limits
}

// sized is one crowd, and beside it one manager that has a site of its own: the
// same machine at the same time.
type sized struct {
	managers       int
	alone, among   figures
	broker, server usage   // of the crowd's site while it was measured
	took           float64 // seconds
	grown          usage   // broker and monitor, since nobody was there
	files          usage   // as it is now
	own            float64 // memory of one manager, in bytes
	calls          *tally  // of the crowd's assistants
}

// tally counts calls and those that did not get what they asked for: a machine
// that is full may let a manager be silent for longer than a tool waits.
type tally struct{ all, missed atomic.Int64 }

func (c *tally) count(t *testing.T, err error) {
	c.all.Add(1)
	if err != nil {
		c.missed.Add(1)
		t.Log(err)
	}
}

// figures are what one assistant, one agent and all managers saw.
type figures struct {
	check, status, pulse []times // by round
	beats                []float64
	failed               int
}

func (set *setting) measure(t *testing.T, b backing) {
	one, many := newSite(t, b), newSite(t, b)
	one.agent, many.agent = one.reporter(), many.reporter()
	one.join(0, 1, beatEvery)
	lone := one.assistant(0, true)
	round(t, caller{one, lone, &figures{}, nil}) // the first calls make connections
	for range rounds {
		round(t, caller{one, lone, &set.quiet, nil})
	}
	empty := many.parts()
	joined := 0
	var asks *assistant
	for text := range strings.SplitSeq(*sizes, ",") {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		from := time.Now()
		many.join(joined, n, beatEvery)
		t.Logf("%d managers more have joined within %s", n-joined, time.Since(from).Round(time.Second))
		if asks == nil {
			asks = many.assistant(0, true)
		}
		joined = n
		s := sized{managers: n, calls: &tally{}}
		many.during(t, &s, func() { s.measure(t, one, many, lone, asks) })
		if all, missed := s.calls.all.Load(), s.calls.missed.Load(); missed > all/100 {
			t.Errorf("%d of %d calls did not get what they asked for", missed, all)
		}
		s.grown = usage{memory: many.parts().memory - empty.memory}
		set.sizes = append(set.sizes, s)
		t.Log(s.line())
	}
	set.limits = findLimits(t, many)
}

// reporter is a client of the site's monitor, with a connection of its own.
func (s *site) reporter() *monitor.Client {
	c := monitor.New(monitor.Options{URL: s.url, Token: monitorToken})
	s.t.Cleanup(c.Close)
	return c
}

// parts are broker and monitor together.
func (s *site) parts() usage {
	b, m := usageOf(s.t, s.broker), usageOf(s.t, s.watcher.cmd.Process.Pid)
	return usage{b.memory + m.memory, b.worked + m.worked, b.files + m.files}
}

// during has other assistants look at their testbeds meanwhile.
func (s *site) during(t *testing.T, crowd *sized, f func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	for i := range others {
		a := s.assistant(1+i*(crowd.managers-1)/others, true)
		wait.Go(func() {
			tick := time.NewTicker(500 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-tick.C:
				case <-ctx.Done():
					return
				}
				if err := s.check(ctx, a); ctx.Err() == nil {
					crowd.calls.count(t, err)
				}
			}
		})
	}
	f()
	cancel()
	wait.Wait()
}

// measure takes rounds in turn, for two heartbeats of everybody at least.
func (m *sized) measure(t *testing.T, one, many *site, lone, asks *assistant) {
	round(t, caller{one, lone, &figures{}, nil}, caller{many, asks, &figures{}, m.calls})
	one.beats()
	many.beats()
	broker, server, began := usageOf(t, many.broker), usageOf(t, many.watcher.cmd.Process.Pid), time.Now()
	for i := 0; i < rounds || time.Since(began) < 2*beatEvery; i++ {
		round(t, caller{one, lone, &m.alone, nil}, caller{many, asks, &m.among, m.calls})
	}
	m.took = time.Since(began).Seconds()
	m.broker, m.server = usageOf(t, many.broker).since(broker), usageOf(t, many.watcher.cmd.Process.Pid).since(server)
	m.files = many.parts()
	m.alone.beats, m.alone.failed = one.beats()
	m.among.beats, m.among.failed = many.beats()
	for _, c := range many.crowds {
		m.own += usageOf(t, c.cmd.Process.Pid).memory / float64(m.managers)
	}
}

// caller is who calls the tools of a site, and what it saw.
type caller struct {
	*site
	*assistant
	*figures
	calls *tally // nil: each must get what it asks for
}

// pulse is a heartbeat of one agent more, timed where the assistant is: the
// crowd's own are timed in the crowd, which has more to do.
func (c caller) pulse(ctx context.Context) error {
	return c.agent.Heartbeat(ctx, swf.Heartbeat{InstanceName: "measured", AgentType: "other", Status: swf.StatusOK, OperationalState: swf.OpReady})
}

// pace is between the calls of one caller: a principal may make 50 requests a
// second.
const pace = 25 * time.Millisecond

// round has each of them call both tools and beat once, in turn and in the other order every
// other time.
func round(t *testing.T, all ...caller) {
	t.Helper()
	for _, c := range all {
		c.figures.check, c.figures.status, c.figures.pulse = append(c.figures.check, nil), append(c.figures.status, nil), append(c.figures.pulse, nil)
	}
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for i := range calls {
		<-tick.C
		for k := range all {
			c := all[(i+k)%len(all)]
			last(c.figures.check).add(t, c.calls, func() error { return c.site.check(t.Context(), c.assistant) })
		}
		<-tick.C
		for k := range all {
			c := all[(i+k)%len(all)]
			last(c.figures.status).add(t, c.calls, func() error { return c.site.status(t.Context(), c.assistant) })
			last(c.figures.pulse).add(t, c.calls, func() error { return c.pulse(t.Context()) })
		}
	}
}

// times are how long calls took, in seconds.
type times []float64

func last(rounds []times) *times { return &rounds[len(rounds)-1] }

func (s *times) add(t *testing.T, calls *tally, call func() error) {
	t.Helper()
	began := time.Now()
	if err := call(); calls != nil {
		calls.count(t, err)
	} else if err != nil {
		t.Error(err)
	}
	*s = append(*s, time.Since(began).Seconds())
}
