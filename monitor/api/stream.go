package api

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/epic-swf/testbed/monitor/store"
)

// beatEvery is how often a quiet stream says that it is alive.
const beatEvery = 30 * time.Second

// stream is GET /api/messages/stream/: the messages of the bus as server-sent
// events, as they come, until the client leaves, falls behind or does not
// read. Each client is a subscriber while it is there.
func (a *api) stream(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodHead {
		a.write(w, r, answer{status: http.StatusOK, header: streamHeader()}, nil)
		return
	}
	id := uuid.NewString()
	filters := readFilters(r.URL.Query())
	f, ok := a.hub.follow(id, filters)
	if !ok {
		a.write(w, r, answer{status: http.StatusServiceUnavailable, body: map[string]string{"detail": "Too many clients follow the stream. Try again."},
			header: http.Header{"Retry-After": {"15"}}}, nil)
		return
	}
	key := a.arrived(r, id, filters)
	defer func() {
		sent, slow := a.hub.leave(id, f)
		a.left(r, key, sent, slow)
	}()
	rc := http.NewResponseController(w)
	maps.Copy(w.Header(), streamHeader())
	w.WriteHeader(http.StatusOK)
	beat := time.NewTicker(beatEvery)
	defer beat.Stop()
	e := event{"connected", fmt.Appendf(nil, `{"client_id":%q,"status":"connected"}`, id)}
	for {
		if send(w, rc, e) != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-f.gone:
			return
		case e = <-f.events:
		case <-beat.C:
			e = event{"heartbeat", fmt.Appendf(nil, `{"timestamp":%s}`, strconv.FormatFloat(float64(a.now().UnixMicro())/1e6, 'f', 6, 64))}
		}
	}
}

func streamHeader() http.Header {
	return http.Header{"Content-Type": {"text/event-stream"}, "Cache-Control": {"no-cache"},
		"X-Accel-Buffering": {"no"}, "Access-Control-Allow-Origin": {"*"}}
}

// send writes one event within writeTimeout.
func send(w http.ResponseWriter, rc *http.ResponseController, e event) error {
	_ = rc.SetWriteDeadline(time.Now().Add(writeTimeout)) // unsupported only by test recorders
	if _, err := fmt.Fprintf(w, "event: %s\ndata: %s\n\n", e.kind, e.data); err != nil {
		return err
	}
	return rc.Flush()
}

// arrived registers a client as a subscriber, nil if that fails: the stream
// does not depend on it.
func (a *api) arrived(r *http.Request, id string, filters streamFilters) any {
	wanted, err := json.Marshal(filters.object())
	if err != nil {
		return nil
	}
	ip, location := clientOf(r)
	now := a.now().UTC()
	record, err := a.store.Insert(r.Context(), store.Subscribers, store.Record{"subscriber_name": "sse_" + id[:8], "delivery_type": "sse",
		"client_ip": ip, "client_location": location, "connected_at": now, "last_activity": now, "is_active": true,
		"message_filters": json.RawMessage(wanted), "description": fmt.Sprintf("SSE client from %v", ip)})
	if err != nil {
		a.log.Warn("a client of the stream could not be registered", "error", err)
		return nil
	}
	return record["subscriber_id"]
}

// left says that a client has gone.
func (a *api) left(r *http.Request, key any, sent int64, slow bool) {
	if key == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), writeTimeout)
	defer cancel()
	now := a.now().UTC()
	set := store.Record{"is_active": false, "disconnected_at": now, "last_activity": now, "messages_sent": sent}
	if slow {
		set["messages_dropped"] = int64(1)
	}
	if _, err := a.store.Update(ctx, store.Subscribers, key, func(store.Record) (store.Record, error) { return set, nil }); err != nil {
		a.log.Warn("a client of the stream could not be signed off", "error", err)
	}
}

// clientOf is a client's address and roughly where that is. Forwarding headers
// are not believed: anybody can write them.
func clientOf(r *http.Request) (ip any, location string) {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return nil, ""
	}
	address, err := netip.ParseAddr(host)
	switch {
	case err != nil:
		return nil, ""
	case address.IsLoopback():
		location = "Local"
	case address.IsPrivate():
		location = "Internal"
	default:
		location = "Remote"
	}
	return address.Unmap().String(), location
}

// streamStatus is GET /api/messages/stream/status/.
func (a *api) streamStatus(*http.Request) (answer, error) {
	return answer{status: http.StatusOK, body: a.hub.status()}, nil
}
