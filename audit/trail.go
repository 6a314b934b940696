package audit

import (
	"encoding/json"
	"io"
	"log/slog"
	"sync"
	"time"
)

// Trail writes Records. Safe for concurrent use; a nil Trail takes and forgets
// them.
type Trail struct {
	part string
	log  *slog.Logger

	mu     sync.Mutex
	w      io.Writer
	broken bool
	lost   int
}

// New returns a Trail of that part (mcp, manager) which writes each record with
// one Write to w.
func New(part string, w io.Writer, log *slog.Logger) *Trail {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Trail{part: part, w: w, log: log}
}

// Add writes the record down. It sets Part, and Time where it is zero. Where it
// cannot be written (a full disk) that is logged as an error once, and again
// with the number of lost records when writing works once more: who is
// audited must not be able to stop control by filling a disk, and an operator
// must not miss it.
func (t *Trail) Add(r Record) {
	if t == nil {
		return
	}
	r.Part = t.part
	if r.Time.IsZero() {
		r.Time = time.Now()
	}
	r.Time = r.Time.UTC()
	line, err := json.Marshal(r)
	if err != nil { // an argument that is no JSON: the rest still counts
		r.Arguments = nil
		line, _ = json.Marshal(r)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	_, err = t.w.Write(append(line, '\n'))
	switch {
	case err != nil:
		t.lost++
		if !t.broken {
			t.broken = true
			t.log.Error("THE AUDIT TRAIL CANNOT BE WRITTEN; control goes on without it", "err", err, "hint", "make room on its disk, or mend its permissions")
		}
	case t.broken:
		t.log.Error("the audit trail is written again; records were lost", "lost", t.lost)
		t.broken, t.lost = false, 0
	}
}
