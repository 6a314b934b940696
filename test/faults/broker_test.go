package faults

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/epic-swf/testbed/test/brokers"
)

// kind is a broker over which every promise must hold.
type kind struct {
	name string
	make func(base string, users ...string) (*brokers.Server, error) // nil for the embedded one
}

var (
	embedded = kind{name: "embedded"}
	classic  = kind{"classic", brokers.NewClassic}
	artemis  = kind{"artemis", brokers.NewArtemis}
)

// forEachBroker runs a test over each of the three, or over those that -over
// names.
func forEachBroker(t *testing.T, test func(t *testing.T, k kind)) {
	for _, k := range []kind{embedded, classic, artemis} {
		if !slices.Contains(strings.Split(*over, ","), k.name) {
			continue
		}
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			test(t, k)
		})
	}
}

// node is a site's broker, in a process that can be killed.
type node interface {
	Addr() string
	start() error
	kill()
}

// own is the embedded broker in a process of its own.
type own struct {
	t    testing.TB
	addr string
	log  string
	p    *process
}

func (o *own) Addr() string { return o.addr }
func (o *own) kill()        { o.p.kill() }

func (o *own) start() error {
	o.p = spawn(o.t, role{Broker: o.addr}, o.log)
	if !o.p.await() {
		return errors.New("the embedded broker does not start")
	}
	return nil
}

// server is a real broker with its store.
type server struct{ *brokers.Server }

func (s server) start() error { return s.Run() }
func (s server) kill()        { s.Kill(nil) }

// logins numbers the users of this run: no two sites share a queue.
var logins atomic.Int64

func login(n int64) string { return fmt.Sprint("u", n) }

// Real brokers are started once and shared by the sites that do not harm them.
// A login must be known when a broker starts.
const sharedLogins = 600

type shared struct {
	once sync.Once
	base string
	node *brokers.Server
	err  error
}

var sharing = map[string]*shared{classic.name: {}, artemis.name: {}}

func (k kind) shared() (*brokers.Server, error) {
	s := sharing[k.name]
	s.once.Do(func() {
		if s.base, s.err = os.MkdirTemp("", "ft-"+k.name); s.err != nil {
			return
		}
		var users []string
		for n := range int64(sharedLogins) {
			users = append(users, login(n+1))
		}
		if s.node, s.err = k.make(s.base, users...); s.err == nil {
			s.err = s.node.Run()
		}
	})
	return s.node, s.err
}

// endShared ends what the sites shared.
func endShared() {
	for _, s := range sharing {
		if s.node != nil {
			s.node.Kill(nil)
		}
		if s.base != "" {
			os.RemoveAll(s.base)
		}
	}
}

// broker gives a site its broker: the embedded one is always its own, a real
// one is where the site harms it.
func (k kind) broker(t testing.TB, dir string, harmed bool, users []string) node {
	t.Helper()
	if k.make == nil {
		addr, err := brokers.FreeAddr()
		o := &own{t: t, addr: addr, log: filepath.Join(dir, "broker.log")}
		if err == nil {
			err = o.start()
		}
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	if !harmed {
		s, err := k.shared()
		need(t, err)
		return server{s}
	}
	s, err := k.make(filepath.Join(dir, "broker"), users...)
	need(t, err)
	t.Cleanup(func() { s.Kill(nil) })
	if err := s.Run(); err != nil {
		t.Fatal(err)
	}
	return server{s}
}

// need skips where a tool is not installed; with CI set that is a failure.
func need(t testing.TB, err error) {
	t.Helper()
	if err != nil && os.Getenv("CI") == "" {
		t.Skip("needs what is not here: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
}
