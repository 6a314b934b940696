package bench

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/epic-swf/testbed/monitor/store"
)

// scaling is one cost at three sizes.
type scaling struct {
	what  string
	sizes [3]int
	cost  func(n int) float64 // seconds
}

// growth prints how costs grow over 1, 10 and 100 times the work.
func growth() *group {
	g := &group{name: "growth"}
	for _, what := range []string{"tool calls over stdio: 30, 300, 3,000", "commands (ping through broker and manager): 10, 100, 1,000", "messages to 8 subscribers: 300, 3,000, 30,000",
		"messages recorded into SQLite: 500, 5,000, 50,000", "simulated events of 100 processes: 5,000, 50,000, 500,000", "STFs played: 1,000, 10,000, 100,000",
		"start of a testbed: 1, 10, 100 agents"} {
		g.rows = append(g.rows, &row{of: what, floor: "–", unit: exponent, goal: grows()})
	}
	g.measure = func(t *testing.T, g *group) {
		addr := embedded(t)
		piped := newStack(t, nil).stdio(t)
		ask := g.asker(t, addr)
		record := newRecorder(t, openStore(t, store.Options{Path: filepath.Join(t.TempDir(), "growth.db")}), nil)
		times := func(call func()) func(int) float64 {
			return func(n int) float64 {
				return timed(func() {
					for range n {
						call()
					}
				})
			}
		}
		all := []scaling{
			{"calls", [3]int{30, 300, 3000}, times(piped)},
			{"commands", [3]int{10, 100, 1000}, times(ask)},
			{"messages", [3]int{300, 3000, 30_000}, func(n int) float64 { return float64(8*n) / fanOut(t, addr, "", 8, n, nil) }},
			{"recorded", [3]int{1, 10, 100}, func(n int) float64 { return timed(func() { record(n) }) }},
			{"events", [3]int{5000, 50_000, 500_000}, func(n int) float64 { return float64(n) / overClock(t, 100, n) }},
			{"STFs", [3]int{1000, 10_000, 100_000}, func(n int) float64 { return timed(func() { outline(t, n) }) }},
			{"agents", [3]int{1, 10, 100}, func(n int) float64 {
				s := newSite(t, folder(t), agents(n))
				tb := s.testbed()
				defer s.stop(tb)
				return timed(func() { s.start(tb) })
			}},
		}
		for k, s := range all {
			g.grow(t, g.rows[k], s)
		}
	}
	return g
}

// grow measures one cost at its sizes, five times: small ones are short, so each
// figure is the median of three. The least of them against the one figure of the
// largest would make noise look like growth. A start is measured once: it is
// seconds.
func (g *group) grow(t *testing.T, r *row, s scaling) {
	t.Helper()
	n, repeat := 5, 3
	if s.what == "agents" {
		n, repeat = 1, 1
	}
	var all [3][]float64
	for range rounds(n) {
		var sizes, costs []float64
		for k, work := range s.sizes {
			if *quick {
				work = max(work/20, k+1)
			}
			tries := []float64{s.cost(work)}
			for len(tries) < repeat && k < 2 {
				tries = append(tries, s.cost(work))
			}
			cost := median(tries)
			all[k] = append(all[k], cost)
			sizes, costs = append(sizes, float64(work)), append(costs, cost)
		}
		r.ours = append(r.ours, slope(sizes, costs))
	}
	var words []string
	for k := range all {
		words = append(words, seconds.show(median(all[k])))
	}
	r.note = strings.Join(words, ", ")
	if s.what == "agents" {
		r.note += "; most is startsecs (1 s) and supervisord's own start"
	}
}

// asker pings a manager.
func (g *group) asker(t testing.TB, addr string) func() {
	client := newManager(t, addr)
	return func() {
		if _, err := client.Ping(context.Background(), "ann"); err != nil {
			t.Error(err)
		}
	}
}
