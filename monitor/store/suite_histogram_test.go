package store_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/epic-swf/testbed/monitor/store"
)

func testHistogram(t *testing.T, open func(func() time.Time) *store.Store) {
	s, ctx := open(nil), t.Context()
	begin := time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC)
	for i, at := range []time.Duration{0, 400 * time.Millisecond, 999 * time.Millisecond, time.Second, 7 * time.Second} {
		if _, err := s.Insert(ctx, store.Messages, store.Record{"message_id": fmt.Sprint(i), "message_type": "stf_gen", "execution_id": "x", "sent_at": begin.Add(at),
			"message_content": json.RawMessage("{}"), "is_successful": true}); err != nil {
			t.Fatal(err)
		}
	}
	bins, err := s.Histogram(ctx, store.Messages, store.Query{Equal: map[string]any{"execution_id": "x"}}, "sent_at", time.Second)
	if err != nil {
		t.Fatal(err)
	}
	want := []store.Bin{{At: begin, Count: 3}, {At: begin.Add(time.Second), Count: 1}, {At: begin.Add(7 * time.Second), Count: 1}}
	if fmt.Sprint(bins) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", bins, want)
	}
	for _, column := range []string{"message_type", "nothing"} {
		if _, err := s.Histogram(ctx, store.Messages, store.Query{}, column, time.Second); err == nil {
			t.Errorf("a histogram of %s", column)
		}
	}
}
