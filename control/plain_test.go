package control

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/epic-swf/testbed/swf"
)

// fullPong is a reply in which everything is said that a pong can say.
func fullPong() Reply {
	now := time.Now()
	return Reply{CommandID: NewID(), Intent: "0123456789abcdef", Kind: Final, Outcome: Succeeded, Message: "fine", Namespace: "n", Config: "c",
		Pong: &Pong{Protocol: Protocol, Instance: NewID(), Username: "ann", Host: "host", PID: 1234, Version: "1.2", Now: now, State: swf.TestbedRunning,
			Namespace: "n", Config: "c", Dir: "/home/ann", BusyWith: StartTestbed, BusyID: NewID(), BusySince: &now, KeyIDs: []string{"a", "b"}, Supervisor: "running", Sealed: "disk"}}
}

// What looks and their answers are made of is read in one pass.
func TestPlainReadsLooks(t *testing.T) {
	cmd := Command{Verb: Status, Username: "ann", ConfigName: "fast", IssuedBy: "bob", Source: "mcp", CallID: NewID(), ReplyTo: "/queue/testbed.replies.x"}
	cmd.Complete(time.Now())
	body, err := cmd.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if !new(Command).plain(body) {
		t.Errorf("not plain: %s", body)
	}
	sameAsJSON(t, body)
	if body, err = fullPong().Encode(); err != nil {
		t.Fatal(err)
	}
	if !new(Reply).plain(body) {
		t.Errorf("not plain: %s", body)
	}
	sameAsJSON(t, body)
}

// sameAsJSON holds what is read in one pass against what encoding/json reads.
func sameAsJSON(t *testing.T, body []byte) {
	t.Helper()
	var c, wantC Command
	if c.plain(body) {
		if err := json.Unmarshal(body, &wantC); err != nil || !reflect.DeepEqual(c, wantC) {
			t.Errorf("%q is read as %+v, not as %+v, %v", body, c, wantC, err)
		}
	}
	var r, wantR Reply
	if r.plain(body) {
		if err := json.Unmarshal(body, &wantR); err != nil || !reflect.DeepEqual(r, wantR) {
			t.Errorf("%q is read as %+v, not as %+v, %v", body, r, wantR, err)
		}
	}
}

func FuzzPlain(f *testing.F) {
	body, _ := fullPong().Encode()
	f.Add(body)
	for _, text := range []string{`{}`, `{"command":"ping","command":"status"}`, `{"pong":{"pid":007}}`, `{"pong":{"pid":1e3}}`, `{"pong":{"pid":-1,"protocol":12345678901}}`,
		`{"pong":{"key_ids":[]},"kind":"outcome"}`, `{"pong":{"key_ids":["a",]}}`, `{"issued_at":"2026-11-23T18:00:00.5+01:00"}`, `{"issued_at":null}`,
		`{"command":"p\u0069ng"}`, `{"Command":"ping"}`, `{"command":"ping"}{}`, `{"command":"ping",}`, `{,}`, `{"pong":{"pid":0},"pong":{"pid":1}}`, `{"pong":{"pid":1}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(sameAsJSON)
}
