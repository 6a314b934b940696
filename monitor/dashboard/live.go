package dashboard

import (
	"fmt"
	"net/http"
	"time"
)

// The pace of a page's events. Changes in quick succession are told together;
// what other processes write into a shared database is found by looking again
// every so often.
const (
	tellMost  = 250 * time.Millisecond
	tellLeast = 5 * time.Second
)

// live is GET /live: server-sent events, one for each topic that has changed.
// They carry nothing: the page asks again for what it shows, with its own
// address and so its own filters.
func (d *Dashboard) live(w http.ResponseWriter, r *http.Request) {
	v, ok := d.visitor(r)
	if !ok {
		d.refuseStranger(w, r)
		return
	}
	p, ok := d.o.Feed.follow(v.who.Name)
	if !ok { // 204 tells a browser to leave it at that; pages renew themselves by the clock too
		w.WriteHeader(http.StatusNoContent)
		return
	}
	defer d.o.Feed.leave(p)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	rc := http.NewResponseController(w)
	send := func(t topic) bool {
		_ = rc.SetWriteDeadline(time.Now().Add(writeTimeout)) // unsupported only by test recorders
		_, err := fmt.Fprint(w, ": alive\n\n")
		for bit, name := range topicNames {
			if err == nil && t&(1<<bit) != 0 {
				_, err = fmt.Fprintf(w, "event: %s\ndata: changed\n\n", name)
			}
		}
		return err == nil && rc.Flush() == nil
	}
	if r.Method == http.MethodHead || !send(0) {
		return
	}
	tick := time.NewTicker(tellLeast)
	defer tick.Stop()
	for {
		var t topic
		select {
		case <-r.Context().Done():
			return
		case <-p.gone:
			return
		case <-p.changed:
			t = p.take()
		case <-tick.C:
			if _, ok := d.visitor(r); !ok { // signed out, or the token was taken back
				return
			}
			t = allTopics
		}
		if !send(t) {
			return
		}
		select {
		case <-time.After(tellMost):
		case <-r.Context().Done():
			return
		}
	}
}
