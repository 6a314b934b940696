package tools

import (
	"context"
	"slices"

	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/swf"
)

// Archive is what the monitor keeps of executions, logs and bus messages,
// latest first but for the messages of one execution, which come oldest first.
// A monitor may not know every filter: its answers are filtered again.
type Archive interface {
	ExecutionPage(ctx context.Context, f monitor.Filter, limit, offset int) (monitor.Page[swf.Execution], error)
	Logs(ctx context.Context, f monitor.LogFilter, limit, offset int) (monitor.Page[swf.LogEntry], error)
	Messages(ctx context.Context, f monitor.MessageFilter, limit, offset int) (monitor.Page[swf.RecordedMessage], error)
}

// Bounds of one search in the archive.
const (
	pageSize = 500
	maxPages = 8

	whySample = 100 // of what there is, to say what emptied a list
)

// pager reads a part of a list, latest first.
type pager[T any] func(limit, offset int) (monitor.Page[T], error)

// found is what a search gave. Total is negative when nobody counted.
type found[T any] struct {
	items []T
	total int
}

// search reads pages until it has more than limit items that keep accepts, or
// until there are no more. Where the archive filters by itself whatever keep
// does (exact), its count is taken if what came proves that it does.
func search[T any](page pager[T], keep func(*T) bool, limit int, exact bool) (f found[T], err error) {
	size, offset := limit+1, 0
	for range maxPages {
		p, err := page(size, offset)
		if err != nil {
			return found[T]{}, err
		}
		for i := range p.Items {
			if keep(&p.Items[i]) {
				f.items = append(f.items, p.Items[i])
			} else {
				exact = false
			}
		}
		offset += len(p.Items)
		f.total = -1
		switch {
		case len(p.Items) == 0 || offset >= p.Total:
			f.total = len(f.items)
			return f, nil
		case len(f.items) > limit && exact && passes(page, keep, p.Total-1):
			f.total = p.Total
		}
		if len(f.items) > limit {
			return f, nil
		}
		size = pageSize
	}
	return f, nil
}

// passes reports whether the oldest of all passes too: an archive that ignores
// a filter counts what the filter would have left out.
func passes[T any](page pager[T], keep func(*T) bool, last int) bool {
	p, err := page(1, last)
	return err == nil && len(p.Items) == 1 && keep(&p.Items[0])
}

// backwards turns a list that comes oldest first into one that comes latest
// first.
func backwards[T any](page pager[T]) pager[T] {
	total := -1
	return func(limit, offset int) (monitor.Page[T], error) {
		if total < 0 {
			first, err := page(1, 0)
			if err != nil {
				return first, err
			}
			total = first.Total
		}
		end := max(0, total-offset)
		start := max(0, end-limit)
		if start == end {
			return monitor.Page[T]{Total: total}, nil
		}
		p, err := page(end-start, start)
		slices.Reverse(p.Items)
		p.Total = total
		return p, err
	}
}
