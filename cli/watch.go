package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/epic-swf/testbed/swf"
)

// seen is something to show: the value, and the same for people.
type seen struct {
	value any
	text  string
}

// again shows something anew every so often until ctx ends: on a terminal in
// place, elsewhere each time that it has changed. That it could not be seen is
// shown and ends nothing, except at the first look.
func (a *app) again(ctx context.Context, every time.Duration, look func(context.Context) (seen, error)) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	last := ""
	for first := true; ; first = false {
		s, err := look(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && first:
			return err
		case err != nil:
			e := swf.AsError(err)
			s = seen{map[string]any{"error": e}, "cannot be seen now: " + e.Message + "\n"}
		}
		if err := a.showAnew(s, &last); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// showAnew shows s unless nothing has changed.
func (a *app) showAnew(s seen, last *string) error {
	now := s.text
	if !a.forPeople() {
		now = compact(s.value)
	}
	if a.forPeople() && isTerminal(a.out) {
		if _, err := io.WriteString(a.out, "\x1b[H\x1b[2J"); err != nil {
			return err
		}
		return a.show(s.value, s.text+fmt.Sprintf("\n%s, every 2 s; Ctrl-C ends it\n", time.Now().Format(time.TimeOnly)))
	}
	if now == *last {
		return nil
	}
	*last = now
	return a.show(s.value, s.text)
}

// watchEvery is how often something that is watched is looked at.
const watchEvery = 2 * time.Second
