package attacks

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/mark3labs/mcp-go/mcp"

	"github.com/epic-swf/testbed/swf"
)

// pipe is stdio: a server of its own for this one client.
type pipe struct {
	mu sync.Mutex
	in io.Writer
}

func openPipe(t testing.TB, c *client) wire {
	ctx, cancel := context.WithCancel(context.Background())
	serverIn, in := io.Pipe()
	out, serverOut := io.Pipe()
	var wg sync.WaitGroup
	who := swf.Principal{Name: c.username}
	if u := c.s.users[c.username]; u != nil {
		who = u.principal()
	}
	wg.Go(func() {
		_ = c.s.server.ServeStdio(ctx, serverIn, serverOut, who)
		serverOut.Close()
	})
	wg.Go(func() { c.lines(out) })
	t.Cleanup(func() { in.Close(); wg.Wait(); cancel() })
	return &pipe{in: in}
}

func (p *pipe) send(message []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, err := p.in.Write(append(message, '\n'))
	return err
}

// streamable is streamable HTTP: a request for each message.
type streamable struct {
	c    *client
	ctx  context.Context
	http *http.Client
	wg   *sync.WaitGroup

	mu      sync.Mutex
	session string
}

// newHTTPClient makes a client whose connections end with the test.
func newHTTPClient(t testing.TB) *http.Client {
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func openHTTP(t testing.TB, c *client) wire {
	ctx, cancel := context.WithCancel(context.Background())
	h := &streamable{c: c, ctx: ctx, http: newHTTPClient(t), wg: &sync.WaitGroup{}}
	t.Cleanup(func() { cancel(); h.wg.Wait() })
	return h
}

// statusError is a request that HTTP itself refused.
type statusError struct {
	status int
	header http.Header
	body   string
}

func (e *statusError) Error() string { return fmt.Sprintf("%d %s", e.status, e.body) }

func (h *streamable) send(message []byte) error {
	r, err := http.NewRequestWithContext(h.ctx, http.MethodPost, h.c.s.url+"/mcp", bytes.NewReader(message))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+h.c.s.tokenOf(h.c.username))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	h.mu.Lock()
	session := h.session
	h.mu.Unlock()
	if h.c.modern() {
		modernHeaders(r, h.c.version, message)
	} else if session != "" {
		r.Header.Set("Mcp-Session-Id", session)
		r.Header.Set(mcp.HeaderProtocolVersion, h.c.version)
	}
	resp, err := h.http.Do(r)
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return &statusError{resp.StatusCode, resp.Header, string(body)}
	}
	if id := resp.Header.Get("Mcp-Session-Id"); id != "" {
		h.mu.Lock()
		h.session = id
		h.mu.Unlock()
	}
	h.wg.Go(func() {
		defer resp.Body.Close()
		if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
			h.c.events(resp.Body, nil)
			return
		}
		h.c.lines(resp.Body)
	})
	return nil
}

// modernHeaders repeat what a message says, as 2026-07-28 wants.
func modernHeaders(r *http.Request, version string, message []byte) {
	var m struct {
		Method string
		Params struct{ Name, URI string }
	}
	_ = json.Unmarshal(message, &m) // ours
	r.Header.Set(mcp.HeaderProtocolVersion, version)
	r.Header.Set("Mcp-Method", m.Method)
	if name := m.Params.Name + m.Params.URI; name != "" {
		r.Header.Set("Mcp-Name", name)
	}
}

// stream is HTTP+SSE: one stream for what the server says, requests for the
// rest.
type stream struct {
	c        *client
	ctx      context.Context
	http     *http.Client
	endpoint string
}

func openSSE(t testing.TB, c *client) wire {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s := &stream{c: c, ctx: ctx, http: newHTTPClient(t)}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.s.url+"/sse", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+c.s.tokenOf(c.username))
	r.Header.Set("Accept", "text/event-stream")
	resp, err := s.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(resp.Body)
		t.Fatal("GET /sse: ", resp.StatusCode, string(body))
	}
	endpoint := make(chan string, 1)
	var wg sync.WaitGroup
	wg.Go(func() {
		c.events(resp.Body, func(event, data string) {
			if event == "endpoint" {
				endpoint <- data
			}
		})
	})
	t.Cleanup(func() { cancel(); resp.Body.Close(); wg.Wait() })
	s.endpoint = c.s.url + <-endpoint
	return s
}

func (s *stream) send(message []byte) error {
	r, err := http.NewRequestWithContext(s.ctx, http.MethodPost, s.endpoint, bytes.NewReader(message))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+s.c.s.tokenOf(s.c.username))
	r.Header.Set("Content-Type", "application/json")
	resp, err := s.http.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode >= 300 {
		return &statusError{resp.StatusCode, resp.Header, string(body)}
	}
	return nil
}

// events reads server-sent events.
type events struct{ lines *bufio.Scanner }

func newEvents(r io.Reader) *events {
	e := &events{bufio.NewScanner(r)}
	e.lines.Buffer(nil, 4<<20)
	return e
}

// next returns the next event that has data.
func (e *events) next() (event, data string, ok bool) {
	for e.lines.Scan() {
		line := e.lines.Text()
		switch {
		case strings.HasPrefix(line, "event:"):
			event = strings.TrimSpace(line[len("event:"):])
		case strings.HasPrefix(line, "data:"):
			data += strings.TrimPrefix(line[len("data:"):], " ")
		case line == "" && data != "":
			return event, data, true
		case line == "":
			event = ""
		}
	}
	return "", "", false
}
