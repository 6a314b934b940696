package scale

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"

	"github.com/epic-swf/testbed/amq/broker"
	"github.com/epic-swf/testbed/cli"
	"github.com/epic-swf/testbed/cli/testbed"
)

// TestMain makes copies of this test binary the programs that a site is made
// of, and finds them on PATH.
func TestMain(m *testing.M) {
	testscript.Main(checked{m}, map[string]func(){
		"testbed":      program(testbed.Main),
		"swf-mcp":      program(cli.MCP),
		"scale-broker": serveBroker,
		"scale-crowd":  serveCrowd,
	})
}

// program is what the mains in cmd/ do.
func program(run func(context.Context, []string) int) func() {
	return func() {
		ctx, _ := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		os.Exit(run(ctx, os.Args[1:]))
	}
}

type checked struct{ m *testing.M }

func (c checked) Run() int {
	code := c.m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	return code
}

// account is a login of a broker.
type account struct{ Login, Passcode string }

// serveBroker is the embedded broker in a process of its own: it reads the
// account, says its address and works until its input ends.
func serveBroker() {
	in := json.NewDecoder(os.Stdin)
	var a account
	if err := in.Decode(&a); err != nil {
		fail(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fail(err)
	}
	fmt.Println(ln.Addr())
	ctx, end := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		end()
	}()
	if err := broker.New(broker.Options{Login: a.Login, Passcode: a.Passcode}).Serve(ctx, ln); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
