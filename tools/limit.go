package tools

import (
	"fmt"
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/epic-swf/testbed/swf"
)

// Limits bound what one principal may ask for. Zero values are the defaults.
type Limits struct {
	PerSecond float64 // calls; default 10, negative is no limit
	Burst     int     // calls at once after a pause; default 20
	AtOnce    int     // calls that have not been answered; default 32
}

// maxPrincipals bounds the limiter's memory. There are no more principals than
// tokens, so it is never reached in an orderly deployment.
const maxPrincipals = 4096

// limiter counts the calls of each principal.
type limiter struct {
	l   Limits
	now func() time.Time

	mu sync.Mutex
	of map[string]*usage
}

type usage struct {
	bucket *rate.Limiter
	active int
}

func newLimiter(l Limits, now func() time.Time) *limiter {
	if l.PerSecond == 0 {
		l.PerSecond = 10
	}
	if l.Burst == 0 {
		l.Burst = 20
	}
	if l.AtOnce == 0 {
		l.AtOnce = 32
	}
	return &limiter{l: l, now: now, of: make(map[string]*usage)}
}

// enter takes a call of the principal, or says when to come again.
func (l *limiter) enter(principal string) *swf.Error {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	u := l.of[principal]
	if u == nil {
		l.makeRoom(now)
		per := rate.Limit(l.l.PerSecond)
		if l.l.PerSecond < 0 {
			per = rate.Inf
		}
		u = &usage{bucket: rate.NewLimiter(per, l.l.Burst)}
		l.of[principal] = u
	}
	if u.active >= l.l.AtOnce {
		return swf.E(swf.CodeLimited, fmt.Sprintf("%d calls of %s are under way already", u.active, principal),
			"wait until one of them has been answered, then try again")
	}
	r := u.bucket.ReserveN(now, 1)
	if wait := r.DelayFrom(now); wait > 0 {
		r.CancelAt(now)
		return swf.E(swf.CodeLimited, fmt.Sprintf("%s has made too many calls", principal),
			fmt.Sprintf("try again in %d ms; poll a pending command every %d ms", int(math.Ceil(wait.Seconds()*10))*100, nextPollMS))
	}
	u.active++
	return nil
}

func (l *limiter) leave(principal string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if u := l.of[principal]; u != nil {
		u.active--
	}
}

// makeRoom forgets principals whose bucket is full again: forgetting them
// gives nothing away.
func (l *limiter) makeRoom(now time.Time) {
	if len(l.of) < maxPrincipals {
		return
	}
	for name, u := range l.of {
		if u.active == 0 && u.bucket.TokensAt(now) >= float64(l.l.Burst) {
			delete(l.of, name)
		}
	}
}
