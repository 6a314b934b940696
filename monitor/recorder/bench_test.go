package recorder_test

import (
	"fmt"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/epic-swf/testbed/monitor/recorder"
	"github.com/epic-swf/testbed/monitor/store"
	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/test/postgres"
)

// stored opens a store for a benchmark.
func stored(b *testing.B, o store.Options) *store.Store {
	b.Helper()
	s, err := store.Open(b.Context(), o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	return s
}

// overBoth runs f over both databases; open gives it an empty store.
func overBoth(b *testing.B, f func(b *testing.B, open func(*testing.B) *store.Store)) {
	b.Run("sqlite", func(b *testing.B) {
		f(b, func(b *testing.B) *store.Store {
			return stored(b, store.Options{Path: filepath.Join(b.TempDir(), "monitor.db")})
		})
	})
	b.Run("postgres", func(b *testing.B) {
		cluster := postgres.Start(b)
		f(b, func(b *testing.B) *store.Store {
			return stored(b, store.Options{DSN: swf.Secret(cluster.Database(b))})
		})
	})
}

func stfGen(n int) []byte {
	return fmt.Appendf(nil, `{"msg_type": "stf_gen", "namespace": "ns", "execution_id": "stf_datataking-ann-%04d", "run_id": "100010", "timestamp": "2026-11-23T12:00:00.000000", "simulation_tick": %d, "sender": "daq_simulator-agent-ann-1", "filename": "swf.100010.%06d.stf", "sequence": %d, "state": "run", "substate": "physics"}`, n/1000, n, n, n)
}

// BenchmarkLists is each list that tools ask for, with 100,000 messages
// recorded, and what the heap grew by while that was done.
func BenchmarkLists(b *testing.B) {
	const messages = 100_000
	overBoth(b, func(b *testing.B, open func(*testing.B) *store.Store) {
		s := open(b)
		r := recorder.New(recorder.Options{Store: s})
		runtime.GC()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for n := range messages {
			r.Hear(stfGen(n))
			if n%500 == 499 {
				r.Flush(b.Context())
			}
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		grown := float64(after.HeapAlloc) - float64(before.HeapAlloc)
		execution := map[string]any{"execution_id": "stf_datataking-ann-0042"}
		since := []store.Condition{{Column: "sent_at", Is: store.AtLeast, Value: time.Now().Add(-time.Hour)}}
		for name, q := range map[string]store.Query{
			"newest 50": {Limit: 50}, "of an execution": {Equal: execution, Oldest: true, Limit: 50}, "of a type, last hour": {Equal: map[string]any{"message_type": "stf_gen"}, Where: since, Limit: 50},
			"of a namespace": {Equal: map[string]any{"namespace": "ns"}, Limit: 50}, "whole page": {},
		} {
			b.Run(name, func(b *testing.B) {
				for b.Loop() {
					if _, err := s.List(b.Context(), store.Messages, q); err != nil {
						b.Fatal(err)
					}
					if _, err := s.Count(b.Context(), store.Messages, q); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(grown/1e6, "MB-heap-after-100k")
			})
		}
	})
}
