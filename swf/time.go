package swf

import (
	"encoding/json"
	"fmt"
	"time"
)

// Timestamp is a time as the contract writes it: ISO 8601 with microseconds.
// Python clients send naive stamps; they are read as UTC (contract 1.2).
type Timestamp struct{ time.Time }

// At wraps a time.
func At(t time.Time) Timestamp { return Timestamp{t} }

// stampLayouts are the forms that come in, offset first.
var stampLayouts = []string{
	time.RFC3339Nano,
	"2006-01-02T15:04:05.999999999Z0700",
	"2006-01-02T15:04:05.999999999",
	"2006-01-02 15:04:05.999999999Z07:00",
	"2006-01-02 15:04:05.999999999",
	"2006-01-02T15:04",
	"2006-01-02",
}

// ParseTimestamp reads an ISO 8601 stamp; a naive one is UTC.
func ParseTimestamp(s string) (Timestamp, error) {
	for _, layout := range stampLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			return Timestamp{t}, nil
		}
	}
	return Timestamp{}, fmt.Errorf("%q is no ISO 8601 time", s)
}

// MarshalJSON writes UTC with microseconds and a Z.
func (t Timestamp) MarshalJSON() ([]byte, error) {
	if t.IsZero() {
		return []byte("null"), nil
	}
	return json.Marshal(t.UTC().Format("2006-01-02T15:04:05.000000Z07:00"))
}

// UnmarshalJSON reads what ParseTimestamp does; null is the zero time.
func (t *Timestamp) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*t = Timestamp{}
		return nil
	}
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	parsed, err := ParseTimestamp(s)
	if err != nil {
		return err
	}
	*t = parsed
	return nil
}
