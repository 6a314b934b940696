package tools

import (
	"context"
	"encoding/json"
	"time"

	"github.com/epic-swf/testbed/swf"
)

// LogQuery selects log records; zero values select all.
type LogQuery struct {
	Instance    string
	ExecutionID string
	MinLevel    int
	Since       time.Time
	Limit       int
	Offset      int
}

// MessageQuery selects bus messages; zero values select all.
type MessageQuery struct {
	Namespace   string
	ExecutionID string
	Sender      string
	Type        string
	Since       time.Time
	Limit       int
	Offset      int
}

// Message is a bus message as the monitor keeps it.
type Message struct {
	Type        string
	Sender      string
	Namespace   string
	ExecutionID string
	RunID       string
	SentAt      time.Time
	Content     json.RawMessage
}

// Archive is what the monitor keeps of logs and bus messages, both latest
// first. It may ignore what it does not filter by, and give fewer than were
// asked for only at the end: its answers are filtered again.
type Archive interface {
	Logs(ctx context.Context, q LogQuery) ([]swf.LogEntry, error)
	Messages(ctx context.Context, q MessageQuery) ([]Message, error)
}

// Bounds of one search in the archive.
const (
	pageSize = 500
	maxPages = 8
)

// search reads pages until there are more than limit items that keep accepts,
// or until nothing follows. complete says that it saw everything.
func search[T any](page func(limit, offset int) ([]T, error), keep func(*T) bool, limit int) (found []T, complete bool, err error) {
	for n := range maxPages {
		items, err := page(pageSize, n*pageSize)
		if err != nil {
			return nil, false, err
		}
		for i := range items {
			if keep(&items[i]) {
				found = append(found, items[i])
			}
		}
		if len(items) != pageSize { // the last, or all at once from a monitor that knows no pages
			return found, true, nil
		}
		if len(found) > limit {
			return found, false, nil
		}
	}
	return found, false, nil
}
