package store_test

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"github.com/epic-swf/testbed/monitor/store"
)

// TestBeatsTogether has many beat at once, of whom every tenth cannot be stored
// after a part of it was: the others share its transaction and not its fate.
func TestBeatsTogether(t *testing.T) {
	s := openSQLite(t, filepath.Join(t.TempDir(), "monitor.db"), nil)
	const agents, each = 40, 5
	var all sync.WaitGroup
	for n := range agents {
		all.Go(func() {
			name, bad := fmt.Sprintf("agent-%d", n), n%10 == 0
			for seq := range int64(each) {
				b := store.Beat{Instance: "one", Seq: seq, Values: store.Record{"instance_name": name, "status": fmt.Sprint(seq)}}
				if bad {
					b.Values["agent_type"] = nil // must not be NULL
				}
				agent, created, err := s.Beat(t.Context(), b)
				switch {
				case bad != (err != nil):
					t.Errorf("%s: %v", name, err)
				case !bad && (created != (seq == 0) || agent["instance_name"] != name || agent["status"] != fmt.Sprint(seq)):
					t.Errorf("%s: created %v, %v", name, created, agent)
				}
			}
		})
	}
	all.Wait()
	page, err := s.List(t.Context(), store.Agents, store.Query{})
	if err != nil || len(page.Records) != agents*9/10 {
		t.Errorf("%d agents are stored: %v", len(page.Records), err)
	}
	// What failed left nothing behind: the same number counts once it can be stored.
	again := store.Beat{Instance: "one", Seq: 0, Values: store.Record{"instance_name": "agent-0", "status": "OK"}}
	if agent, created, err := s.Beat(t.Context(), again); err != nil || !created || agent["status"] != "OK" {
		t.Errorf("%v %v %v", agent, created, err)
	}
}
