package scale

import (
	"encoding/json"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/epic-swf/testbed/config"
	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/swf"
)

// site is one broker, one monitor and two MCP servers behind a balancer, each in
// a process of its own, deployed as a site does: the MCP servers have one
// configuration and nothing else in common.
type site struct {
	t        testing.TB
	dir      string
	address  string // of the broker
	account  account
	broker   int // its process
	url      string
	watcher  *process // the monitor
	replicas []*process
	at       []string // their addresses
	balancer *balancer
	tokens   *config.Tokens
	crowds   []*members
	agent    *monitor.Client // of who measures; nil else
}

// backing says what stands behind a site. The zero value is what "testbed up"
// has: the embedded broker and SQLite.
type backing struct {
	broker   func(t testing.TB) (addr string, a account, pid int)
	database func(t testing.TB) string
}

const replicas = 2

func newSite(t testing.TB, b backing) *site {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "scale") // short: sockets live below it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	s := &site{t: t, dir: dir}
	for _, sub := range []string{"desk", "config/swf-testbed/keys"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	s.tokens = config.OpenTokens(filepath.Join(dir, "config", "swf-testbed", "tokens.toml"), nil)
	s.write("config/swf-testbed/server.toml", "[limits]\ncalls_per_second = 1000\nburst = 1000\n")
	if s.startBroker(b); s.address == "" {
		t.Fatal("no broker")
	}
	database := ""
	if b.database != nil {
		database = b.database(t)
	}
	s.watcher = spawn(t, filepath.Join(dir, "desk"), append(s.env("monitor"), "SWF_MONITOR_DATABASE="+database), "testbed", "monitor", "--listen", "127.0.0.1:0")
	s.url = s.watcher.says("monitor: ")
	for _, name := range []string{"replica0", "replica1"}[:replicas] {
		r := spawn(t, filepath.Join(dir, "desk"), s.env(name), "swf-mcp", "serve", "--listen", "127.0.0.1:0")
		s.replicas = append(s.replicas, r)
		u, err := url.Parse(strings.Fields(r.says("MCP over HTTP: "))[0])
		if err != nil {
			t.Fatal(err)
		}
		s.at = append(s.at, u.Host)
	}
	s.balancer = newBalancer(t, s.at...)
	return s
}

func (s *site) startBroker(b backing) {
	if b.broker != nil {
		s.address, s.account, s.broker = b.broker(s.t)
		return
	}
	s.account = account{"testbed", "passcode-of-the-broker"}
	p := spawn(s.t, s.dir, nil, "scale-broker")
	if err := json.NewEncoder(p.in).Encode(s.account); err != nil {
		s.t.Fatal(err)
	}
	s.address, s.broker = p.line(), p.cmd.Process.Pid
}

const monitorToken = "token-of-the-monitor-0123456789abcdef"

// env is what the process of that name is told.
func (s *site) env(name string) []string {
	host, port, err := net.SplitHostPort(s.address)
	if err != nil {
		s.t.Fatal(err)
	}
	return []string{"HOME=" + s.dir, "USER=scale", "XDG_CONFIG_HOME=" + filepath.Join(s.dir, "config"), "XDG_STATE_HOME=" + filepath.Join(s.dir, name),
		"ACTIVEMQ_HOST=" + host, "ACTIVEMQ_PORT=" + port, "ACTIVEMQ_USER=" + s.account.Login, "ACTIVEMQ_PASSWORD=" + s.account.Passcode,
		"SWF_MONITOR_URL=" + s.url, "SWF_API_TOKEN=" + monitorToken}
}

func (s *site) write(path, text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, path), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// assistant is one of that user, whose first request goes through the balancer.
func (s *site) assistant(n int, keep bool) *assistant {
	s.t.Helper()
	token, _, err := s.tokens.Add(config.Token{User: username(n), Role: swf.RoleUser, For: config.ForMCP})
	if err != nil {
		s.t.Fatal(err)
	}
	return newAssistant(s.t, s.balancer.addr(), n, token.Reveal(), keep)
}

// members are one crowd, seen from outside.
type members struct {
	*process
	words chan word // closed when it says no more
}

// largest is how many managers a process gets: each has six files open, and
// many machines allow 20,000.
const largest = 2500

// join brings the users from the first up to the last into crowds, and returns
// once all managers take commands and the monitor has heard of them.
func (s *site) join(first, last int, beat time.Duration) {
	s.t.Helper()
	for n := first; n < last; n++ {
		s.write("config/swf-testbed/keys/"+username(n)+".key", string(control.NewKey().Ring().Text()))
	}
	var added []*members
	for from := first; from < last; from += largest {
		p := spawn(s.t, s.dir, []string{"HOME=" + s.dir}, "scale-crowd")
		m := &members{p, make(chan word, 8)}
		go m.listen()
		m.tell(order{Do: "join", Join: &join{From: from, To: min(from+largest, last), Dir: s.dir, Broker: s.address, Account: s.account,
			Monitor: s.url, MonitorToken: monitorToken, Beat: beat, AtOnce: 200}})
		added = append(added, m)
	}
	for _, m := range added {
		if w := m.hearsWithin("joined", joinTime); w.Error != "" {
			s.t.Fatal(w.Error)
		}
	}
	s.crowds = append(s.crowds, added...)
}

func (m *members) tell(o order) {
	m.t.Helper()
	if err := json.NewEncoder(m.in).Encode(o); err != nil {
		m.t.Fatalf("%v\n%s", err, m.said)
	}
}

// listen reads what the crowd says until it ends.
func (m *members) listen() {
	defer close(m.words)
	for in := json.NewDecoder(m.lines); ; {
		var w word
		if in.Decode(&w) != nil {
			return
		}
		m.words <- w
	}
}

// joinTime bounds how long thousands of managers may take to start on a machine
// that has other work.
const joinTime = 5 * time.Minute

// hears is the next thing that the crowd says, which must be that.
func (m *members) hears(what string) word {
	m.t.Helper()
	return m.hearsWithin(what, patience)
}

func (m *members) hearsWithin(what string, limit time.Duration) word {
	m.t.Helper()
	select {
	case w := <-m.words:
		if w.Say == what {
			return w
		}
		m.t.Fatalf("the crowd said %q, not %q\n%.4000s", w.Say, what, m.said)
	case <-time.After(limit):
		m.t.Fatalf("the crowd does not say %q\n%.4000s", what, m.said)
	}
	return word{}
}

// beats are the heartbeats since they were asked for last.
func (s *site) beats() (all []float64, failed int) {
	s.t.Helper()
	for _, m := range s.crowds {
		m.tell(order{Do: "tell"})
		w := m.hears("told")
		all, failed = append(all, w.Beats...), failed+w.Failed
		if w.Failed > 0 {
			s.t.Logf("%d heartbeats did not arrive, the last one: %s", w.Failed, w.Error)
		}
	}
	return all, failed
}
