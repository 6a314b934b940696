package api

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/epic-swf/testbed/monitor/store"
	"github.com/epic-swf/testbed/swf"
)

// FuzzParse: whatever JSON comes for a field, it is refused with a text or
// becomes a value that the column can hold and that reads back as itself.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{`1`, `"1"`, `" 17.0 "`, `1e3`, `1e400`, `-9223372036854775809`, `1.5`, `true`, `"t"`, `null`, `[]`, `{}`,
		`"2026-11-23T11:00:00"`, `"2026-11-23T11:00:00.123456-05:00"`, `"0000-00-00"`, `"\u0000"`, `"\ud800"`, `"` + "\u2028" + `"`, `"NaN"`, `"0x1p4"`,
		`"9999-12-31T23:59:59-05:00"`, `"0001-01-01T00:00:00+05:00"`} {
		f.Add([]byte(seed))
	}
	kinds := []store.Kind{store.Int, store.Float, store.Bool, store.Text, store.Time, store.JSON}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if !json.Valid(raw) {
			return
		}
		for _, wide := range []bool{false, true} {
			for _, kind := range kinds {
				fl := field{name: "f", wide: wide, nullable: wide, blank: wide}
				value, message := fl.parse(kind, raw)
				if message != "" {
					if value != nil {
						t.Fatalf("%s: refused with %q but gave %v", raw, message, value)
					}
					continue
				}
				checkHeld(t, kind, raw, value)
			}
		}
	})
}

func checkHeld(t *testing.T, kind store.Kind, raw []byte, value any) {
	t.Helper()
	table := &store.Table{Name: "t", Key: "f", Columns: []store.Column{{Name: "f", Kind: kind}}}
	body, err := table.Encode(store.Record{"f": value})
	if err != nil || !json.Valid(body) {
		t.Fatalf("%s as kind %d: %v %s", raw, kind, err, body)
	}
	switch v := value.(type) {
	case nil, bool, string, float64, int64, json.RawMessage:
	case time.Time:
		again, err := swf.ParseTimestamp(v.Format(time.RFC3339Nano))
		if v.Location() != time.UTC || err != nil || !again.Equal(v) {
			t.Fatalf("%s: %v, again %v, %v", raw, v, again, err)
		}
	default:
		t.Fatalf("%s: a %T", raw, value)
	}
}
