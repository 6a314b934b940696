package browser

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/epic-swf/testbed/supervisor"
)

// patience is how long anything may take on a slow machine under load; it is
// no verdict on speed.
const patience = 60 * time.Second

// site is a whole "testbed up".
type site struct {
	t     *testing.T
	dir   string
	url   string // of the pages, without the slash at its end
	link  string // the one-time link that it printed
	token string
	end   func()
}

// settings make a run of the state machine last some seconds in real time.
const settings = `[testbed]
namespace = "torre"

[agents.data]
enabled = true

[workflow]
name = "stf_datataking"
realtime = true

[parameters]
no_beam_not_ready_delay = 0.6
broadcast_delay = 0.3
beam_not_ready_delay = 0.8
beam_ready_delay = 0.5
stf_generation_time = 0.05
beam_not_ready_end_delay = 0.6
standby_duration = 1.0
physics_period_count = 2
stf_interval = 0.25
stf_count = 16
`

func newSite(t *testing.T) *site {
	t.Helper()
	if _, err := supervisor.FindBinary("", os.Getenv); err != nil {
		missing(t, "supervisord: "+err.Error())
	}
	dir, err := os.MkdirTemp(root, "s")
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, dir: filepath.Join(dir, "tb")}
	if err := os.MkdirAll(filepath.Join(s.dir, "workflows"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "workflows", "testbed.toml"), []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("testbed", "up", "--dir", s.dir)
	cmd.Env = append(os.Environ(), mark+"="+root, "GORACE=atexit_sleep_ms=0")
	var said safeBuffer
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.end = sync.OnceFunc(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil {
			t.Errorf("testbed up ended with %v:\n%s", err, said.String())
		}
	})
	t.Cleanup(s.end)
	s.read(out, &said)
	token, err := os.ReadFile(filepath.Join(s.dir, "run", "config", "mcp.token"))
	if err != nil {
		t.Fatal(err)
	}
	s.token = strings.TrimSpace(string(token))
	return s
}

var pagesRE = regexp.MustCompile(`pages +((http://[^/]+)/login\?code=\S+)`)

// read takes the address from what testbed up prints, and goes on reading.
func (s *site) read(out io.Reader, said *safeBuffer) {
	s.t.Helper()
	found := make(chan []string, 1)
	go func() {
		defer close(found)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if m := pagesRE.FindStringSubmatch(lines.Text()); m != nil {
				found <- m
			}
		}
	}()
	select {
	case m, ok := <-found:
		if !ok {
			s.t.Fatalf("testbed up printed no address of pages:\n%s", said.String())
		}
		s.link, s.url = m[1], m[2]
	case <-time.After(patience):
		s.t.Fatalf("testbed up is not up:\n%s", said.String())
	}
}

// get reads JSON from the monitor's REST interface.
func (s *site) get(path string, v any) {
	s.t.Helper()
	resp, err := http.Get(s.url + path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(v); err != nil {
		s.t.Fatal(err)
	}
}

// missing skips; with CI set that is a failure.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal("needs ", what)
	}
	t.Skip("needs ", what)
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
