package faults

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/amq/broker"
	"github.com/epic-swf/testbed/config"
	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/manager"
	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/supervisor"
	"github.com/epic-swf/testbed/test/brokers"
)

var (
	seed   = flag.Uint64("seed", 0, "of the faults; 0 takes a fixed one")
	whole  = flag.Bool("whole", false, "run everything, not only the short part")
	long   = flag.Bool("long", false, "10,000 commands under random faults")
	sites  = flag.Int("sites", 8, "at once; most of the time each waits for a heart-beat or a program")
	over   = flag.String("over", "embedded,classic,artemis", "the brokers")
	report = flag.String("report", "", "file that gets the table of counts")
)

// childVariable makes a copy of this test binary a broker or a manager.
const childVariable = "TESTBED_FAULTS_CHILD"

// role says what a child is.
type role struct {
	Broker  string // address to listen on: it is a broker
	User    string // it is this user's manager, and logs in by that name
	Paths   config.Paths
	Link    string // the broker, as the manager sees it
	Monitor string
}

func TestMain(m *testing.M) {
	if text := os.Getenv(childVariable); text != "" {
		var r role
		err := json.Unmarshal([]byte(text), &r)
		if err == nil {
			err = r.run()
		}
		fmt.Fprintln(os.Stderr, "child ended:", err)
		os.Exit(1)
	}
	flag.Parse()
	if err := flag.Set("test.parallel", strconv.Itoa(*sites)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	began := time.Now()
	code := m.Run()
	endShared()
	if err := rows.conclude(time.Since(began)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// run works until the harness dies, of which the end of stdin tells.
func (r role) run() error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, bufio.NewReader(os.Stdin))
		os.Exit(2)
	}()
	if r.Broker != "" {
		return r.serve(ctx)
	}
	return r.manage(ctx)
}

func (r role) serve(ctx context.Context) error {
	ln, err := net.Listen("tcp", r.Broker)
	for ; err != nil; ln, err = net.Listen("tcp", r.Broker) {
		pause(20 * time.Millisecond) // the kernel gives a killed one's address back in its own time
	}
	fmt.Println("ready")
	return broker.New(broker.Options{}).Serve(ctx, ln)
}

func (r role) manage(ctx context.Context) error {
	keys, err := control.ReadRing(r.Paths.ControlKey())
	if err != nil {
		return err
	}
	return manager.New(manager.Options{
		Username: r.User, Paths: r.Paths, Testbed: testbed(r.User, r.Paths, struck(r.Paths)), Broker: brisk(r.Link, r.User), Keys: func() control.Ring { return keys },
		Monitor: monitor.New(monitor.Options{URL: r.Monitor, Timeout: time.Second}),
		Ready:   func() { fmt.Println("ready") },
		Log:     slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}).Run(ctx)
}

// testbed is the same for a manager, which at hears of, and for a test that
// looks itself.
func testbed(user string, paths config.Paths, at func(manager.Point)) *manager.Testbed {
	return manager.NewTestbed(manager.TestbedOptions{
		At: at, Username: user, Paths: paths, Sources: config.Sources{Dir: paths.Dir},
		Environ: func(extra map[string]string) ([]string, error) {
			env := []string{"PATH=" + os.Getenv("PATH"), "USER=" + user, "SWF_HOME=" + filepath.Dir(paths.Dir)}
			for k, v := range extra {
				env = append(env, k+"="+v)
			}
			return env, nil
		},
		Binary: func() (string, error) { return supervisor.FindBinary("", os.Getenv) },
	})
}

// brisk beats every second, so that silence is noticed within a test.
func brisk(addr, login string) amq.Options {
	return amq.Options{Addr: addr, Login: login, Passcode: brokers.Passcode(login), HeartBeat: time.Second, BackoffMin: 20 * time.Millisecond, BackoffMax: 300 * time.Millisecond}
}
