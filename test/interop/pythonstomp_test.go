package interop

import (
	"context"
	"encoding/json"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/epic-swf/testbed/amq"
)

// peer is stomp_peer.py: the STOMP client of the Python system.
type peer struct{ *script }

// heard is a message that a peer got.
type heard struct {
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
	Error   string            `json:"error"`
}

// login is how a peer connects. With a client it is an agent, without one a
// manager or, if it sends content-length, the old MCP server.
type login struct {
	Host          string `json:"host"`
	Port          int    `json:"port"`
	Login         string `json:"login"`
	Passcode      string `json:"passcode"`
	Client        string `json:"client,omitempty"`
	ContentLength bool   `json:"content_length,omitempty"`
}

func pythonScript(t *testing.T, name string, argument any) *script {
	t.Helper()
	python := tool(t, "SWF_TEST_PYTHON", "Python with mcp and stomp.py")
	text, err := json.Marshal(argument)
	if err != nil {
		t.Fatal(err)
	}
	return run(t, []string{python, filepath.Join("testdata", name)}, string(text))
}

func newPeer(t *testing.T, l login) peer {
	t.Helper()
	p := peer{pythonScript(t, "stomp_peer.py", l)}
	var hello struct{ Connected bool }
	if p.next(&hello); !hello.Connected {
		t.Fatal("stomp.py is not connected")
	}
	return p
}

func (s *site) asPython(t *testing.T) login {
	t.Helper()
	port, err := strconv.Atoi(s.port)
	if err != nil {
		t.Fatal(err)
	}
	return login{Host: s.host, Port: port, Login: s.login, Passcode: s.passcode}
}

func (p peer) subscribe(destination, id string) {
	p.t.Helper()
	p.tell(map[string]any{"do": "subscribe", "destination": destination, "id": id})
	p.next(&struct{}{})
}

func (p peer) send(destination, body string, headers map[string]string) {
	p.t.Helper()
	if headers == nil {
		headers = map[string]string{}
	}
	p.tell(map[string]any{"do": "send", "destination": destination, "body": body, "headers": headers})
	p.next(&struct{}{})
}

// hear waits for the next message.
func (p peer) hear() (m heard) {
	p.t.Helper()
	p.tell(map[string]any{"do": "next"})
	p.next(&m)
	if m.Headers == nil || m.Error != "" {
		p.t.Fatalf("no message: %+v", m)
	}
	return m
}

func (p peer) disconnect() (events []string) {
	p.t.Helper()
	p.tell(map[string]any{"do": "disconnect"})
	var said struct{ Events []string }
	p.next(&said)
	return said.Events
}

// headersOf are those of a frame.
func headersOf(frame string) map[string]string {
	h := map[string]string{}
	head, _, _ := strings.Cut(frame, "\n\n")
	for _, line := range strings.Split(head, "\n")[1:] {
		if k, v, ok := strings.Cut(line, ":"); ok {
			h[k] = v
		}
	}
	return h
}

// awkward are bodies and header values that a careless peer spoils.
var (
	awkwardBodies  = []string{`{"msg_type": "stf_gen", "filename": "swf.1.000001.stf"}`, `{"text": "épée 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 \u00e9"}`, "two\nlines\r\n\n", " "}
	awkwardHeaders = map[string]string{"path": `C:\runs\n:1`, "note": "a: é𝔘", "empty": ""}
)

func TestStompPyOnOurBroker(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	l := s.asPython(t)
	l.Client = "data-agent-ann-2"
	p := newPeer(t, l)
	p.subscribe("/topic/epictopic", "1")
	p.subscribe("/queue/panda.results.fastprocessing", "2")
	// What it hears from itself shows that the broker has its subscriptions.
	p.send("/topic/epictopic", "first", nil)
	if m := p.hear(); m.Body != "first" || m.Headers["destination"] != "/topic/epictopic" || m.Headers["subscription"] != "1" {
		t.Errorf("%+v", m)
	}

	c := s.dial("go")
	got := make(chan *amq.Delivery, 16)
	sub := c.Subscribe("/queue/processing_agent", amq.SubscribeOptions{}, func(_ context.Context, d *amq.Delivery) { _ = d.Ack(); got <- d })
	<-sub.Ready()
	for _, body := range awkwardBodies {
		for _, destination := range []string{"/topic/epictopic", "/queue/panda.results.fastprocessing"} {
			if err := c.Publish(t.Context(), amq.Message{Destination: destination, Headers: awkwardHeaders, Body: []byte(body)}); err != nil {
				t.Fatal(err)
			}
			m := p.hear()
			if m.Body != body || m.Headers["destination"] != destination {
				t.Errorf("stomp.py heard %+v, want %q", m, body)
			}
			for k, v := range awkwardHeaders {
				if m.Headers[k] != v {
					t.Errorf("stomp.py heard header %s as %q, want %q", k, m.Headers[k], v)
				}
			}
		}
		theirs := maps.Clone(awkwardHeaders)
		theirs["lines"] = "two\nof them" // ours never send such
		p.send("/queue/processing_agent", body, theirs)
		d := <-got
		if string(d.Body) != body {
			t.Errorf("we heard %q, want %q", d.Body, body)
		}
		for k, v := range theirs {
			if d.Headers[k] != v {
				t.Errorf("we heard header %s as %q, want %q", k, d.Headers[k], v)
			}
		}
	}
	if events := p.disconnect(); !slices.Contains(events, "receipt") {
		t.Errorf("no receipt of the DISCONNECT: %v", events)
	}
	theFramesOfTheContract(t, s.heard.frames("client-id:data-agent-ann-2"))
}

// theFramesOfTheContract (2.1 to 2.3) is what the broker has to understand: the
// peer must be as foreign as the Python agents are.
func theFramesOfTheContract(t *testing.T, frames []string) {
	t.Helper()
	want := map[string]string{"accept-version": "1.1", "client-id": "data-agent-ann-2", "heart-beat": "30000,30000", "host": "127.0.0.1",
		"login": "admin", "passcode": `pass:word\`, "version": "1.1"}
	if d := cmp.Diff(want, headersOf(frames[0])); !strings.HasPrefix(frames[0], "STOMP\n") || d != "" {
		t.Errorf("%q: %s", frames[0], d)
	}
	want = map[string]string{"ack": "auto", "destination": "/topic/epictopic", "id": "1"}
	if d := cmp.Diff(want, headersOf(frames[1])); !strings.HasPrefix(frames[1], "SUBSCRIBE\n") || d != "" {
		t.Errorf("%q: %s", frames[1], d)
	}
	if frames[3] != "SEND\ndestination:/topic/epictopic\n\nfirst" {
		t.Errorf("%q", frames[3])
	}
	if last := frames[len(frames)-1]; !strings.HasPrefix(last, "DISCONNECT\n") || headersOf(last)["receipt"] == "" {
		t.Errorf("%q", last)
	}
}

// The old MCP server's connection sends content-length, which makes its bodies
// bytes instead of text to JMS.
func TestStompPyWithContentLength(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	l := s.asPython(t)
	l.ContentLength = true
	p := newPeer(t, l)
	got := make(chan *amq.Delivery, 1)
	sub := s.dial("go").Subscribe("/queue/agent_control.ann", amq.SubscribeOptions{}, func(_ context.Context, d *amq.Delivery) { _ = d.Ack(); got <- d })
	<-sub.Ready()
	for _, body := range append(awkwardBodies, "a\x00b") {
		p.send("/queue/agent_control.ann", body, nil)
		select {
		case d := <-got:
			if string(d.Body) != body {
				t.Errorf("we heard %q, want %q", d.Body, body)
			}
		case <-time.After(limit):
			t.Fatalf("%q never arrived", body)
		}
	}
	if events := p.disconnect(); !slices.Contains(events, "receipt") {
		t.Errorf("no receipt of the DISCONNECT: %v", events)
	}
}
