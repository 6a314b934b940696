package web

import (
	"container/list"
	"fmt"
	"math"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/epic-swf/testbed/swf"
)

// RateLimiter is a token bucket for each key (a principal), for a bounded
// number of keys: the one unused longest is forgotten. Safe for concurrent use.
type RateLimiter struct {
	perSecond rate.Limit
	burst     int
	maxKeys   int

	mu    sync.Mutex
	byUse *list.List // of *bucket, most recent first
	at    map[string]*list.Element
}

type bucket struct {
	key     string
	limiter *rate.Limiter
}

// NewRateLimiter allows each key perSecond calls, burst at once, and remembers
// maxKeys keys.
func NewRateLimiter(perSecond float64, burst, maxKeys int) *RateLimiter {
	return &RateLimiter{perSecond: rate.Limit(perSecond), burst: burst, maxKeys: max(1, maxKeys),
		byUse: list.New(), at: map[string]*list.Element{}}
}

// Allow takes one call of key. When there is none left it reports how long to
// wait for the next.
func (l *RateLimiter) Allow(key string) (ok bool, retryAfter time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, known := l.at[key]
	if known {
		l.byUse.MoveToFront(e)
	} else {
		if l.byUse.Len() >= l.maxKeys {
			last := l.byUse.Back()
			delete(l.at, l.byUse.Remove(last).(*bucket).key)
		}
		e = l.byUse.PushFront(&bucket{key: key, limiter: rate.NewLimiter(l.perSecond, l.burst)})
		l.at[key] = e
	}
	now := time.Now()
	r := e.Value.(*bucket).limiter.ReserveN(now, 1)
	if wait := r.DelayFrom(now); !r.OK() || wait > 0 {
		r.CancelAt(now)
		return false, wait
	}
	return true, 0
}

// Handler answers 429 with Retry-After (seconds) when the principal of the
// request, or the one shared bucket of those without, has no call left.
func (l *RateLimiter) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, _ := PrincipalFrom(r.Context())
		ok, wait := l.Allow(p.Name)
		if !ok {
			TooMany(w, "requests", wait)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// TooMany answers 429 to who has had too many of something, with Retry-After
// in whole seconds, at least one.
func TooMany(w http.ResponseWriter, what string, wait time.Duration) {
	w.Header().Set("Retry-After", fmt.Sprint(max(1, int(math.Ceil(wait.Seconds())))))
	WriteError(w, http.StatusTooManyRequests, swf.E(swf.CodeLimited, "too many "+what, "wait as long as Retry-After says, then try again"))
}

// Quota counts what each key (a principal) has open at once, and all keys
// together. Safe for concurrent use.
type Quota struct {
	each, all int

	mu    sync.Mutex
	of    map[string]int
	total int
}

// NewQuota allows each key that many at once, and all together that many.
func NewQuota(each, all int) *Quota { return &Quota{each: each, all: all, of: map[string]int{}} }

// Enter takes one, if there is one left; leave gives it back and is called once.
func (q *Quota) Enter(key string) (leave func(), ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.of[key] >= q.each || q.total >= q.all {
		return nil, false
	}
	q.of[key]++
	q.total++
	return func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.total--
		if q.of[key]--; q.of[key] == 0 {
			delete(q.of, key)
		}
	}, true
}
