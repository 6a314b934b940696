package swf

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"
)

func TestMessageSurvivesTheWireAsASCII(t *testing.T) {
	m := Message{"msg_type": MsgSTFGen, "run_id": "100010", "sequence": 1.0, "simulation_tick": 13.1, "note": "é \u2028 \U0001F600 \x7f <b>", "none": nil}
	b, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range b {
		if c >= 0x7f || c < 0x20 {
			t.Fatalf("byte %#x in %s", c, b)
		}
	}
	back, err := DecodeMessage(b)
	if err != nil || !reflect.DeepEqual(back, m) {
		t.Errorf("got %v, %v; want %v", back, err, m)
	}
}

func TestDecodeMessageRefuses(t *testing.T) {
	for _, body := range []string{"", "null", "1", `"x"`, "[]", "{", `{} {}`, `{"a":1}]`, "not json"} {
		if m, err := DecodeMessage([]byte(body)); err == nil {
			t.Errorf("%q was read as %v", body, m)
		}
	}
}

func TestWithCopies(t *testing.T) {
	m := Message{"a": 1}
	c := m.With(Message{"b": 2})
	c["a"] = 3
	if m["a"] != 1 || c["b"] != 2 {
		t.Errorf("m %v, c %v", m, c)
	}
}

func TestNaiveStamp(t *testing.T) {
	at := time.Date(2026, 8, 1, 12, 30, 0, 123456789, time.FixedZone("EDT", -4*3600))
	if s := NaiveStamp(at); s != "2026-08-01T16:30:00.123456" {
		t.Errorf("got %s", s)
	}
}

func FuzzDecodeMessage(f *testing.F) {
	for _, s := range []string{`{"msg_type":"stf_gen","namespace":"n"}`, `{}`, `{"run_id":7}`, `[`, "null", `{"a":"` + "\xff" + `"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := DecodeMessage(body)
		if err != nil {
			return
		}
		_, _, _, _ = m.Type(), m.Namespace(), m.RunID(), m.ForNamespace("n")
		b, err := m.Encode()
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		if !json.Valid(b) {
			t.Fatalf("not JSON: %s", b)
		}
	})
}
