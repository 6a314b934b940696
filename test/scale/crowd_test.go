package scale

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/config"
	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/manager"
	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/workflows"
)

// order is what a crowd is told, one a line.
type order struct {
	Do    string // join, hold, release, tell
	Join  *join  `json:",omitempty"`
	Users []int  `json:",omitempty"` // of hold: whose stops wait before they change anything
}

// join makes managers.
type join struct {
	From, To     int // users
	Dir          string
	Broker       string
	Account      account
	Monitor      string
	MonitorToken string
	Beat         time.Duration // between two heartbeats
	AtOnce       int           // how many may be starting
}

// word is what a crowd says, one a line.
type word struct {
	Say    string    // joined, held, holding, told
	User   int       `json:",omitempty"` // of holding
	Beats  []float64 `json:",omitempty"` // of told: how long each heartbeat took since it was asked last, in seconds
	Failed int       `json:",omitempty"` // of told: how many did not arrive
	Error  string    `json:",omitempty"` // of joined: why one cannot; of told: of the last heartbeat that did not arrive
}

// username is a user's name.
func username(n int) string { return fmt.Sprintf("u%05d", n) }

// crowd are managers in one process.
type crowd struct {
	ctx  context.Context
	wait sync.WaitGroup

	mu      sync.Mutex // of all below and of the output
	out     *json.Encoder
	beats   []float64
	failed  int
	why     string // the last of those
	held    map[int]bool
	release chan struct{}
}

// serveCrowd is a crowd's process. It ends with its input.
func serveCrowd() {
	ctx, end := context.WithCancel(context.Background())
	c := &crowd{ctx: ctx, out: json.NewEncoder(os.Stdout), held: map[int]bool{}, release: make(chan struct{})}
	in := json.NewDecoder(os.Stdin)
	for {
		var o order
		if in.Decode(&o) != nil {
			break
		}
		c.obey(o)
	}
	c.mu.Lock()
	close(c.release)
	c.mu.Unlock()
	end()
	c.wait.Wait()
}

func (c *crowd) obey(o order) {
	if o.Do == "join" {
		c.join(o.Join)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch o.Do {
	case "hold":
		for _, n := range o.Users {
			c.held[n] = true
		}
		_ = c.out.Encode(word{Say: "held"})
	case "release":
		clear(c.held)
		close(c.release)
		c.release = make(chan struct{})
	case "tell":
		_ = c.out.Encode(word{Say: "told", Beats: c.beats, Failed: c.failed, Error: c.why})
		c.beats, c.failed, c.why = nil, 0, ""
	}
}

// join returns once each of them takes commands and the monitor has heard it.
func (c *crowd) join(j *join) {
	slots := make(chan struct{}, j.AtOnce)
	var ready sync.WaitGroup
	var failed atomic.Value
	var joined atomic.Int64
	for n := j.From; n < j.To; n++ {
		slots <- struct{}{}
		ready.Add(1)
		var signs sync.WaitGroup
		signs.Add(2)
		commands, heard := sync.OnceFunc(signs.Done), sync.OnceFunc(signs.Done)
		c.wait.Go(func() {
			err := c.manage(j, n, commands, heard)
			if err != nil && c.ctx.Err() == nil {
				failed.Store(fmt.Errorf("%s: %w", username(n), err).Error())
			}
			commands()
			heard()
		})
		c.wait.Go(func() {
			signs.Wait()
			<-slots
			if n := joined.Add(1); n%250 == 0 {
				fmt.Fprintln(os.Stderr, time.Now().Format(time.TimeOnly), n, "have joined") // who waits too long is shown that
			}
			ready.Done()
		})
	}
	ready.Wait()
	text, _ := failed.Load().(string)
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.out.Encode(word{Say: "joined", Error: text})
}

// stopped is the configuration of a supervisord that is never started.
const stopped = "[unix_http_server]\nfile=%(here)s/sup.sock\n[supervisord]\npidfile=%(here)s/sup.pid\n" +
	"[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n" +
	"[program:workflow-runner]\ncommand=/bin/sleep 3600\nautostart=false\n"

// manage is the life of one manager. It calls the functions when commands are
// taken, and when the monitor has heard of it.
func (c *crowd) manage(j *join, n int, commands, heard func()) error {
	name, dir := username(n), filepath.Join(j.Dir, username(n))
	paths := config.Paths{Dir: dir, State: filepath.Join(dir, "s"), Config: filepath.Join(dir, "c")}
	if err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(paths.SupervisordConf(), []byte(stopped), 0o600)); err != nil {
		return err
	}
	ring, err := control.ReadRing(keyFile(j.Dir, name))
	if err != nil {
		return err
	}
	client := monitor.New(monitor.Options{URL: j.Monitor, Token: swf.Secret(j.MonitorToken)})
	defer client.Close()
	m := manager.New(manager.Options{
		Username: name, Paths: paths, Monitor: timed{client, c, heard}, Keys: func() control.Ring { return ring },
		Broker:    amq.Options{Addr: j.Broker, Login: j.Account.Login, Passcode: j.Account.Passcode},
		Heartbeat: j.Beat, Version: "scale", Ready: commands,
		Testbed: manager.NewTestbed(manager.TestbedOptions{
			Username: name, Paths: paths, Sources: config.Sources{Dir: dir, Embedded: workflows.Files},
			Environ: func(map[string]string) ([]string, error) { return nil, nil },
			Binary:  func() (string, error) { return "", errors.New("nothing is started here") },
			At:      func(p manager.Point) { c.at(n, p) },
		}),
	})
	return m.Run(c.ctx)
}

// keyFile is the control key of a user.
func keyFile(dir, name string) string {
	return filepath.Join(dir, "config", "swf-testbed", "keys", name+".key")
}

// at holds a stop back where it was told to.
func (c *crowd) at(n int, p manager.Point) {
	if p != manager.AtStopping {
		return
	}
	c.mu.Lock()
	release := c.release
	if !c.held[n] {
		c.mu.Unlock()
		return
	}
	_ = c.out.Encode(word{Say: "holding", User: n})
	c.mu.Unlock()
	<-release
}

// timed is a monitor that notes how long heartbeats take.
type timed struct {
	*monitor.Client
	c     *crowd
	heard func()
}

func (t timed) Heartbeat(ctx context.Context, h swf.Heartbeat) error {
	began := time.Now()
	err := t.Client.Heartbeat(ctx, h)
	took := time.Since(began).Seconds()
	if err == nil {
		t.heard()
	}
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	switch {
	case err == nil:
		t.c.beats = append(t.c.beats, took)
	case t.c.ctx.Err() == nil:
		t.c.failed, t.c.why = t.c.failed+1, err.Error()
	}
	return err
}
