package control

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/swf"
)

func TestIntentIgnoresWhatARetryChanges(t *testing.T) {
	base := Command{Verb: StartTestbed, ID: "a", Username: "ann", ConfigName: "x", Params: json.RawMessage(`{"b":1,"a":2}`), IssuedBy: "ann"}
	retry := base
	retry.IssuedAt, retry.ExpiresAt, retry.Source, retry.ReplyTo = time.Now(), time.Now(), "mcp", "/queue/testbed.replies.x"
	retry.Params = json.RawMessage(`{ "a": 2, "b": 1 }`)
	if base.Intent() != retry.Intent() {
		t.Errorf("an honest retry has another intent:\n%s\n%s", base.Intent(), retry.Intent())
	}
	for name, change := range map[string]func(*Command){
		"verb":   func(c *Command) { c.Verb = StopTestbed },
		"user":   func(c *Command) { c.Username = "bob" },
		"config": func(c *Command) { c.ConfigName = "y" },
		"params": func(c *Command) { c.Params = json.RawMessage(`{"b":1,"a":3}`) },
		"issuer": func(c *Command) { c.IssuedBy = "bob" },
	} {
		other := base
		change(&other)
		if other.Intent() == base.Intent() {
			t.Errorf("another %s has the same intent", name)
		}
	}
	empty, null := base, base
	empty.Params, null.Params = json.RawMessage(`{}`), nil
	if empty.Intent() != null.Intent() {
		t.Error("no params and {} differ")
	}
}

func TestCheckRefusesNames(t *testing.T) {
	good := Command{Verb: StartTestbed, ID: "a-1", Username: "ann", ConfigName: "fast_processing"}
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Command){
		"verb":           func(c *Command) { c.Verb = "format_disk" },
		"no user":        func(c *Command) { c.Username = "" },
		"upper case":     func(c *Command) { c.Username = "Ann" },
		"wildcard":       func(c *Command) { c.Username = "*" },
		"newline":        func(c *Command) { c.Username = "ann\n" },
		"no id":          func(c *Command) { c.ID = "" },
		"id with slash":  func(c *Command) { c.ID = "a/b" },
		"config outside": func(c *Command) { c.ConfigName = "../../etc/passwd" },
		"config dots":    func(c *Command) { c.ConfigName = "a..b" },
	} {
		bad := good
		change(&bad)
		err := bad.Check()
		if e := swf.AsError(err); e == nil || e.Hint == "" {
			t.Errorf("%s: want an Error with a hint, got %v", name, err)
		}
	}
}

func TestBodiesAreASCII(t *testing.T) {
	r := Reply{CommandID: "a", Kind: Final, Outcome: Failed, Programs: []swf.Program{{Name: "p", LogTail: "naïve 🚀 \u2028 \x00 \x7f ü"}}}
	body, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range body {
		if c < 0x20 || c > 0x7e {
			t.Fatalf("byte %#x in %s", c, body)
		}
	}
	back, err := DecodeReply(body)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r, back, cmp.AllowUnexported(swf.Error{})); diff != "" {
		t.Error(diff)
	}
}

func TestReplyFitsByCuttingTails(t *testing.T) {
	var r Reply
	for range 100 {
		r.Programs = append(r.Programs, swf.Program{Name: "p", State: swf.ProgramFatal, LogTail: strings.Repeat("🚀", 4096)})
	}
	r.Text = strings.Repeat("x", 1<<20)
	body, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if len(body) > MaxBody {
		t.Errorf("%d bytes", len(body))
	}
	back, err := DecodeReply(body)
	if err != nil || len(back.Programs) != 100 {
		t.Errorf("%d programs, %v", len(back.Programs), err)
	}
}

func TestDecodeRefuses(t *testing.T) {
	for _, body := range []string{"", "[]", `"x"`, `{"command":1}`, `{}{}`, `{}]`, `{}}`, "{", strings.Repeat(" ", MaxBody+1), `{"issued_at":"yesterday"}`} {
		if _, err := DecodeCommand([]byte(body)); swf.AsError(err) == nil {
			t.Errorf("%.20q was taken", body)
		}
	}
	c, err := DecodeCommand([]byte(`{"command":"ping","unknown":{"a":1},"reply_to":"/queue/replies"}`))
	if err != nil || c.Verb != Ping {
		t.Errorf("a Python ping: %v, %v", c, err)
	}
}

func FuzzDecodeCommand(f *testing.F) {
	f.Add([]byte(`{"command":"start_testbed","command_id":"a","username":"ann","params":{"x":[1,2]}}`))
	f.Add([]byte(`{"command":"ping"}`))
	f.Add([]byte(`{"of":{"command_id":"x"}}`))
	f.Add([]byte(`{"command":"stop_testbed","command_id":"a","username":"ann\n","config_name":"a..b","reply_to":"/queue/testbed.bob.control","issued_at":"9999-12-31T23:59:60Z"}`))
	f.Add([]byte(`{"command":"run_workflow","params":{"a":1e999,"b":"\ud800","a":[[[[{}]]]]},"COMMAND":"ping"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		c, err := DecodeCommand(body)
		if err != nil {
			return
		}
		if c.Check() == nil && (amq.CheckDestination(swf.ControlQueue(c.Username)) != nil || strings.ContainsAny(c.ID+c.ConfigName, "\r\n\x00:/%;*>")) {
			t.Fatalf("names got through: %q", body)
		}
		intent := c.Intent()
		again, err := c.Encode()
		if err != nil {
			return
		}
		back, err := DecodeCommand(again)
		if err != nil {
			t.Fatalf("%q does not decode again: %v", again, err)
		}
		if back.Intent() != intent {
			t.Fatalf("intent changed over the wire: %s -> %s", intent, back.Intent())
		}
	})
}

func TestSignature(t *testing.T) {
	ann, bob := NewKey(), NewKey()
	body := []byte(`{"command":"ping"}`)
	header := ann.Sign(DomainCommand, body)
	if err := ann.Verify(DomainCommand, header, body); err != nil {
		t.Fatal(err)
	}
	forged := bob
	forged.ID = ann.ID
	for name, err := range map[string]error{
		"unsigned":         ann.Verify(DomainCommand, "", body),
		"another key":      ann.Verify(DomainCommand, bob.Sign(DomainCommand, body), body),
		"another's, my id": ann.Verify(DomainCommand, forged.Sign(DomainCommand, body), body),
		"another domain":   ann.Verify(DomainReply, header, body),
		"another body":     ann.Verify(DomainCommand, header, []byte(`{"command":"ping" }`)),
		"rubbish":          ann.Verify(DomainCommand, ann.ID+";!!", body),
		"no key here":      Key{}.Verify(DomainCommand, header, body),
	} {
		if !swf.IsCode(err, swf.CodeBadSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if s := ann.String(); strings.Contains(s, string(ann.Secret)) {
		t.Error("the secret is printed")
	}
}

func TestKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys", "ann.key")
	k := NewKey()
	if err := WriteKey(path, k); err != nil {
		t.Fatal(err)
	}
	if err := WriteKey(path, NewKey()); !errors.Is(err, fs.ErrExist) {
		t.Errorf("overwriting: %v", err)
	}
	back, err := ReadKey(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(k, back); diff != "" {
		t.Error(diff)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadKey(path); !swf.IsCode(err, swf.CodeEnvironment) {
		t.Errorf("readable by others: %v", err)
	}
}

func TestClaimFirstLinkWins(t *testing.T) {
	runs := Runs{Dir: filepath.Join(t.TempDir(), "runs")}
	const id = "018f-x"
	var wg sync.WaitGroup
	var mu sync.Mutex
	winners := 0
	seen := make(map[string]bool)
	for i := range 32 {
		wg.Go(func() {
			c := Claim{CommandID: id, At: time.Now()}
			if i%2 == 0 {
				c.Withdrawn = "expired"
			} else {
				c.ExecutionID = "wf-ann-0001"
			}
			stands, won, err := runs.Claim(c)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			seen[stands.ExecutionID+stands.Withdrawn] = true
			if won {
				winners++
			}
		})
	}
	wg.Wait()
	if winners != 1 || len(seen) != 1 {
		t.Errorf("%d winners, answers %v", winners, seen)
	}
}

func TestOpenClaims(t *testing.T) {
	runs := Runs{Dir: t.TempDir()}
	for _, c := range []Claim{{CommandID: "a", ExecutionID: "wf-ann-0001"}, {CommandID: "b", Withdrawn: "expired"}, {CommandID: "c", ExecutionID: "wf-ann-0002"}} {
		if _, _, err := runs.Claim(c); err != nil {
			t.Fatal(err)
		}
	}
	if err := runs.End("a"); err != nil {
		t.Fatal(err)
	}
	open, err := runs.Open()
	if err != nil || len(open) != 1 || open[0].CommandID != "c" {
		t.Fatalf("open: %v, %v", open, err)
	}
	if err := runs.Sweep(time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if _, err := runs.Read("c"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after the sweep: %v", err)
	}
}

func TestKeyedID(t *testing.T) {
	id := KeyedID("ann", "ann", "my-start")
	if err := swf.CheckName(swf.KindCommandID, id); err != nil {
		t.Error(err)
	}
	if id != KeyedID("ann", "ann", "my-start") || id == KeyedID("bob", "ann", "my-start") || id == KeyedID("ann", "bob", "my-start") {
		t.Error("an id must stand for principal, target and key")
	}
}
