package api

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
	"unicode"
)

// Bounds of the stream: how many follow it at once, and how many messages one
// of them may be behind before it is cut off.
const (
	maxFollowers = 100
	maxBehind    = 256
)

// Hub passes messages of the bus on to those who follow the stream. Publish
// never waits. A Hub is safe for concurrent use.
type Hub struct {
	mu        sync.Mutex
	followers map[string]*follower
	closed    bool
}

// NewHub returns a hub that nobody follows.
func NewHub() *Hub { return &Hub{followers: map[string]*follower{}} }

// event is one message, encoded once for all.
type event struct {
	kind string
	data []byte
}

// follower is one who reads the stream.
type follower struct {
	filters streamFilters
	events  chan event    // closed by gone only
	gone    chan struct{} // closed when it is cut off
	sent    int64
	slow    bool // it was cut off because it did not keep up
}

// streamFilters are lists of what is wanted; an empty one wants all.
type streamFilters struct {
	types, agents, runs []string
}

// readFilters reads the query: comma lists.
func readFilters(query url.Values) streamFilters {
	list := func(name string) []string {
		text := query.Get(name)
		if text == "" {
			return nil
		}
		parts := strings.Split(text, ",")
		for i, p := range parts {
			parts[i] = strings.TrimSpace(p)
		}
		return parts
	}
	return streamFilters{types: list("msg_types"), agents: list("agents"), runs: list("run_ids")}
}

// object shows the filters that are set, by their names in the query.
func (f streamFilters) object() map[string][]string {
	all := map[string][]string{"msg_types": f.types, "agents": f.agents, "run_ids": f.runs}
	maps.DeleteFunc(all, func(_ string, list []string) bool { return list == nil })
	return all
}

// Publish passes on a message, a JSON object; anything else is left out. Who
// has fallen too far behind is cut off.
func (h *Hub) Publish(message json.RawMessage) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.followers) == 0 {
		return
	}
	var fields map[string]json.RawMessage
	var data bytes.Buffer // on one line, as events are
	if json.Unmarshal(message, &fields) != nil || json.Compact(&data, message) != nil {
		return
	}
	m := streamed{kind: fieldText(fields, "msg_type"), agent: fieldText(fields, "processed_by"), run: fieldText(fields, "run_id")}
	e := event{kind: eventName(m.kind), data: data.Bytes()}
	for id, f := range h.followers {
		if !f.filters.want(m) {
			continue
		}
		select {
		case f.events <- e:
			f.sent++
		default:
			f.slow = true
			h.drop(id, f)
		}
	}
}

// streamed is what a message is chosen by.
type streamed struct{ kind, agent, run string }

// want applies the filters. As in the contract, agents are compared with
// processed_by, which not every message has.
func (f streamFilters) want(m streamed) bool {
	in := func(list []string, value string) bool { return list == nil || slices.Contains(list, value) }
	return in(f.types, m.kind) && in(f.agents, m.agent) && in(f.runs, m.run)
}

func fieldText(fields map[string]json.RawMessage, name string) string {
	if raw, ok := fields[name]; ok && !isNull(raw) {
		return scalarText(raw)
	}
	return ""
}

// eventName is a message's type as the name of an event. What could end the
// line, and so begin another field of the stream, is no name.
func eventName(kind string) string {
	if kind == "" || strings.ContainsFunc(kind, unicode.IsControl) {
		return "message"
	}
	return kind
}

// follow adds a follower; false: there are too many, or the hub is closed.
func (h *Hub) follow(id string, filters streamFilters) (*follower, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || len(h.followers) >= maxFollowers {
		return nil, false
	}
	f := &follower{filters: filters, events: make(chan event, maxBehind), gone: make(chan struct{})}
	h.followers[id] = f
	return f, true
}

// leave removes a follower and returns how many messages it was given, and
// whether it was cut off for being slow.
func (h *Hub) leave(id string, f *follower) (sent int64, slow bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.drop(id, f)
	return f.sent, f.slow
}

func (h *Hub) drop(id string, f *follower) {
	if h.followers[id] == f {
		delete(h.followers, id)
		close(f.gone)
	}
}

// Close cuts everybody off and lets nobody in: a server that shuts down does
// not wait for streams without end.
func (h *Hub) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for id, f := range h.followers {
		h.drop(id, f)
	}
}

// status is who follows.
func (h *Hub) status() map[string]any {
	h.mu.Lock()
	defer h.mu.Unlock()
	ids := slices.Sorted(maps.Keys(h.followers))
	filters := map[string]map[string][]string{}
	for id, f := range h.followers {
		filters[id] = f.filters.object()
	}
	if ids == nil {
		ids = []string{}
	}
	return map[string]any{"connected_clients": len(ids), "client_ids": ids, "client_filters": filters}
}
