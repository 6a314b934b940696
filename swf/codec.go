package swf

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// Encode writes the message as one JSON object of ASCII bytes, as the Python
// agents do: ActiveMQ Classic mangles UTF-8 sequences of four bytes.
func (m Message) Encode() ([]byte, error) {
	b, err := json.Marshal(map[string]any(m))
	if err != nil {
		return nil, fmt.Errorf("encode %s message: %w", m.Type(), err)
	}
	return ASCIIJSON(b), nil
}

// DecodeMessage reads a bus message: exactly one JSON object.
func DecodeMessage(body []byte) (Message, error) {
	var m map[string]any
	if err := json.Unmarshal(body, &m); err != nil {
		return nil, fmt.Errorf("decode message: %w", err)
	}
	if m == nil {
		return nil, errors.New("decode message: null is no object")
	}
	return m, nil
}

// With returns a copy of m in which more has been set.
func (m Message) With(more Message) Message {
	c := make(Message, len(m)+len(more))
	maps.Copy(c, m)
	maps.Copy(c, more)
	return c
}

// NaiveStamp formats a time as messages on the bus carry it: ISO 8601 with
// microseconds and without an offset, in UTC (contract 2.5).
func NaiveStamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000") }

// ASCIIJSON escapes every byte of a JSON text that is not printable ASCII.
// Such bytes occur inside of strings only, so an escape is always right there.
// ActiveMQ Classic mangles UTF-8 sequences of four bytes, and signatures cover
// exact bytes, so nothing else goes over the bus.
func ASCIIJSON(b []byte) []byte {
	if !slices.ContainsFunc(b, func(c byte) bool { return c >= 0x7f }) {
		return b
	}
	out := make([]byte, 0, len(b)+len(b)/4)
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		b = b[n:]
		switch {
		case r < 0x7f:
			out = append(out, byte(r))
		case r > 0xffff:
			hi, lo := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, hi, lo)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return out
}
