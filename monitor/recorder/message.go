package recorder

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/monitor/store"
	"github.com/epic-swf/testbed/swf"
)

// busInstance is the name under which heartbeats of the bus are numbered: by
// the time of sending, so that one that comes late, or again, changes nothing.
const busInstance = "bus"

var (
	errMalformed = errors.New("recorder: no JSON object in UTF-8")
	errOther     = errors.New("recorder: neither a heartbeat nor a workflow message")
)

// space makes the ids of messages this program's own: they must not be those
// of another use of the same hash.
var space = uuid.MustParse("5a2fd1ce-6f0e-5bd0-9e8b-3c1f0a1c6b11")

// parsed is what the recorder needs of a message.
type parsed struct {
	fields map[string]json.RawMessage
	body   []byte
}

func parse(body []byte) (parsed, error) {
	p := parsed{body: body}
	if !utf8.Valid(body) || json.Unmarshal(body, &p.fields) != nil || p.fields == nil {
		return p, errMalformed
	}
	return p, nil
}

// text is a field as text: a string as it is, a number or truth as written.
func (p parsed) text(name string) string {
	raw := p.fields[name]
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return strings.ReplaceAll(s, "\x00", "")
	}
	if len(raw) == 0 || raw[0] == '{' || raw[0] == '[' || string(raw) == "null" {
		return ""
	}
	return string(raw)
}

// orNull is a field cut to max characters, nil when there is none.
func (p parsed) orNull(name string, max int) any {
	if s := p.text(name); s != "" {
		return cut(s, max)
	}
	return nil
}

func cut(s string, max int) string {
	if utf8.RuneCountInString(s) <= max {
		return s
	}
	return string([]rune(s)[:max])
}

// at is when the message says it was sent; the zero time if it does not.
func (p parsed) at() time.Time {
	at, err := swf.ParseTimestamp(p.text("timestamp"))
	if err != nil {
		return time.Time{}
	}
	return at.Time
}

// heard makes of a message what the store keeps, as of now.
func heard(d amq.Message, now time.Time) (store.Heard, parsed, error) {
	p, err := parse(d.Body)
	if err != nil {
		return store.Heard{}, p, err
	}
	_, beats := p.fields["status"]
	if name := p.text("agent_name"); beats && name != "" {
		return store.Heard{Beat: p.beat(name)}, p, nil
	}
	if p.text("msg_type") == "" {
		return store.Heard{}, p, errOther
	}
	return store.Heard{Message: p.message(queueName(d.Destination), now), Step: p.step()}, p, nil
}

// beat is what a heartbeat on the bus changes of an agent: it carries less
// than those over REST and leaves the rest alone.
func (p parsed) beat(name string) *store.Beat {
	b := &store.Beat{Values: store.Record{"instance_name": cut(name, 100), "workflow_enabled": true},
		New: store.Record{"agent_type": "Unknown", "status": "UNKNOWN"}}
	if status := p.text("status"); status != "" {
		b.Values["status"] = cut(status, 10)
		delete(b.New, "status")
	}
	if at := p.at(); !at.IsZero() {
		b.Instance, b.Seq = busInstance, at.UnixMicro()
	}
	return b
}

// message is the record of a workflow message. Its id is a hash of its body:
// two messages with one body, tick and time included, are one message.
func (p parsed) message(queue string, now time.Time) store.Record {
	return store.Record{
		"message_id":      uuid.NewHash(sha256.New(), space, p.body, 8).String(),
		"message_type":    cut(p.text("msg_type"), 50),
		"sender_agent":    p.orNull("sender", 100),
		"recipient_agent": p.orNull("recipient", 100),
		"namespace":       p.orNull("namespace", 100),
		"execution_id":    p.orNull("execution_id", 100),
		"run_id":          p.orNull("run_id", 50),
		"message_content": json.RawMessage(p.body),
		"sent_at":         now.UTC(),
		"is_successful":   true,
		"queue_name":      cut(queue, 100),
	}
}

// ranks are the kinds of step in a run's life, which never goes back to an
// earlier one.
var ranks = map[string]int64{swf.MsgRunImminent: 0, swf.MsgStartRun: 1, swf.MsgPauseRun: 2, swf.MsgResumeRun: 2, swf.MsgEndRun: 3}

// step is how the message moves its run, nil if it does not.
func (p parsed) step() *store.RunStep {
	kind := p.text("msg_type")
	rank, moves := ranks[kind]
	run, err := strconv.ParseInt(strings.TrimSpace(p.text("run_id")), 10, 64)
	if !moves || err != nil || run < 0 || run > math.MaxInt32 {
		return nil
	}
	step := &store.RunStep{Run: run, Rank: rank, At: p.at(), ExecutionID: cut(p.text("execution_id"), 100), Set: store.Record{}}
	if tick, err := strconv.ParseFloat(p.text("simulation_tick"), 64); err == nil && !math.IsNaN(tick) && !math.IsInf(tick, 0) {
		step.Tick = tick
	}
	if kind == swf.MsgEndRun {
		step.Set = store.Record{"state": "ended", "substate": nil, "phase": "completed"}
		return step
	}
	for _, name := range []string{"state", "substate"} {
		if stamp := p.text(name); stamp != "" {
			step.Set[name] = cut(stamp, 20)
		}
	}
	if rank > 0 {
		step.Set["phase"] = "physics"
	}
	return step
}

// queueName is a destination as the contract records it: without /topic/.
func queueName(destination string) string {
	name := strings.TrimPrefix(destination, "/topic/")
	return strings.TrimPrefix(name, "/queue/")
}

// enriched is the message for those who follow the stream: with the fields of
// the record under the names that the stream's readers know, where the message
// has none of its own.
func enriched(p parsed, record store.Record) (json.RawMessage, error) {
	for _, c := range []struct {
		name  string
		value any
	}{
		{"sender_agent", record["sender_agent"]}, {"recipient_agent", record["recipient_agent"]},
		{"queue_name", record["queue_name"]}, {"namespace", record["namespace"]},
		{"sent_at", swf.At(record["sent_at"].(time.Time))},
	} {
		if _, given := p.fields[c.name]; given {
			continue
		}
		raw, err := json.Marshal(c.value)
		if err != nil {
			return nil, err
		}
		p.fields[c.name] = raw
	}
	return json.Marshal(p.fields)
}
