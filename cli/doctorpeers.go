package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/manager"
	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/tools"
)

// brokerLogin connects as everything else does.
func (d *doctor) brokerLogin(ctx context.Context) {
	const check = "broker"
	o, err := d.place.broker(d.app.log())
	if err != nil {
		d.fail(check, err, "")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, checkPatience)
	defer cancel()
	if err := dialURL(o.Addr); err != nil {
		d.add(check, isFailed, fmt.Sprintf("nothing answers at %s (%s): %v", o.Addr, d.from("ACTIVEMQ_HOST", "ACTIVEMQ_PORT"), err),
			"start the broker, or correct ACTIVEMQ_HOST and ACTIVEMQ_PORT in the environment or in .env; testbed up brings a broker of its own")
		return
	}
	bus := amq.New(o)
	running, end := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = bus.Run(running)
	}()
	defer func() { end(); <-done }()
	if err := bus.WaitUp(ctx); err != nil {
		if last := bus.LastError(); last != nil {
			err = last
		}
		d.add(check, isFailed, fmt.Sprintf("%s lets nobody in as %q: %v", o.Addr, o.Login, err),
			"correct ACTIVEMQ_USER and ACTIVEMQ_PASSWORD, and ACTIVEMQ_USE_SSL where it wants TLS, in the environment or in .env")
		return
	}
	d.broker = &o
	d.ok(check, fmt.Sprintf("%s takes us as %q (%s)", o.Addr, o.Login, d.from("ACTIVEMQ_HOST", "ACTIVEMQ_PORT")))
}

// from says where the first of the variables that is set came from.
func (d *doctor) from(names ...string) string {
	for _, name := range names {
		if f := d.place.env.From(name); f != "" {
			return name + " in " + f
		}
	}
	return strings.Join(names, " and ") + " are not set"
}

func (d *doctor) monitorAnswers(ctx context.Context) {
	const check = "monitor"
	m, err := d.place.monitor()
	switch {
	case err != nil:
		d.fail(check, err, "correct SWF_MONITOR_URL")
		return
	case m == nil:
		d.add(check, isWarning, "none is configured: nothing is kept of what happens", "set SWF_MONITOR_URL in the environment or in .env; testbed up and testbed monitor bring one")
		return
	}
	if err := m.Healthy(ctx); err != nil {
		m.Close()
		d.add(check, isFailed, fmt.Sprintf("%s: %s", m.URL(), swf.AsError(err).Message), "start the monitor, or correct SWF_MONITOR_URL ("+d.from("SWF_MONITOR_URL", "SWF_MONITOR_HTTP_URL")+")")
		return
	}
	d.monitor = m
	d.ok(check, fmt.Sprintf("%s answers (%s)", m.URL(), d.from("SWF_MONITOR_URL", "SWF_MONITOR_HTTP_URL")))
}

// monitorToken changes nothing in an execution that there cannot be: who may
// write is told that it is not there.
func (d *doctor) monitorToken(ctx context.Context) {
	const check = "monitor's token"
	err := d.monitor.PatchExecution(ctx, "doctor-nobody-0000", map[string]any{})
	var status *monitor.StatusError
	switch {
	case err == nil, errors.As(err, &status) && status.Status == http.StatusNotFound, errors.As(err, &status) && status.Status == http.StatusBadRequest:
		d.ok(check, "may write ("+d.from("SWF_API_TOKEN")+")")
	case swf.IsCode(err, swf.CodeUnauthenticated):
		d.add(check, isFailed, fmt.Sprintf("%s refuses to be written to: %s", d.monitor.URL(), swf.AsError(err).Message), "set SWF_API_TOKEN to a token of that monitor ("+d.from("SWF_API_TOKEN")+"); its operator makes one: testbed token add "+d.place.username+" --for monitor")
	default:
		d.fail(check, err, "look at the monitor's log")
	}
}

// Clocks may be apart by skewRefused before commands are refused (design, rule
// 4); the monitor tells whole seconds.
const skewRefused = 5 * time.Second

func (d *doctor) clock(ctx context.Context) {
	const check = "clock"
	ctx, cancel := context.WithTimeout(ctx, checkPatience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.monitor.URL()+"/api/", nil)
	if err != nil {
		d.fail(check, err, "")
		return
	}
	began := time.Now()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		d.fail(check, err, "look at the monitor")
		return
	}
	resp.Body.Close()
	theirs, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		d.add(check, isSkipped, "the monitor does not tell its time", "")
		return
	}
	// It was theirs at some moment between the question and the answer, and
	// less than a second later than it says.
	early, late := time.Until(theirs), theirs.Add(time.Second).Sub(began)
	switch {
	case early > skewRefused:
		d.skewed(check, "behind", early)
	case -late > skewRefused:
		d.skewed(check, "ahead of", -late)
	default:
		d.ok(check, "agrees with the monitor's")
	}
}

func (d *doctor) skewed(check, how string, by time.Duration) {
	d.add(check, isFailed, fmt.Sprintf("this host's clock is %s %s the monitor's; commands of the one are refused by the other", by.Round(time.Second), how),
		"set the clock of the host that is wrong: timedatectl set-ntp true, or chronyc makestep")
}

// agentManager asks the one of this host, without a broker.
func (d *doctor) agentManager(ctx context.Context) {
	const check = "agent manager"
	pong, err := d.localPong(ctx)
	socket, _ := manager.LocalSocket(d.place.paths)
	switch {
	case isNoManager(err):
		if _, there := os.Lstat(socket); there == nil {
			d.add(check, isWarning, socket+" is left from a manager that is gone: it did not end in peace", "start it anew: testbed agent-manager")
			return
		}
		d.add(check, isWarning, "none runs on this host: assistants cannot command your testbed", "start it: testbed agent-manager, or for good: testbed install-service --enable")
	case errors.Is(err, context.DeadlineExceeded), err == nil && pong == nil:
		d.add(check, isFailed, "it does not answer at "+socket, "testbed stop-agents ends it with its agents; then start it anew: testbed agent-manager")
	case err != nil:
		d.fail(check, err, "testbed agent-manager restart")
	case pong.Sealed != "":
		d.add(check, isFailed, "its journal cannot be used: "+pong.Sealed, "testbed stop-agents, then move "+d.place.paths.Journal()+" away and start it anew: testbed agent-manager")
	case pong.Dir != d.place.paths.Dir:
		d.add(check, isWarning, fmt.Sprintf("pid %d drives another folder, %s", pong.PID, pong.Dir), "name that folder with --dir, or start the manager of this one: testbed agent-manager stop, testbed agent-manager")
	case pong.Version != swf.Version:
		d.add(check, isWarning, fmt.Sprintf("pid %d is version %q, this is %q", pong.PID, pong.Version, swf.Version), "start it anew when no workflow runs: testbed agent-manager restart")
	default:
		d.ok(check, fmt.Sprintf("pid %d, version %s", pong.PID, pong.Version))
	}
}

func (d *doctor) localPong(ctx context.Context) (*control.Pong, error) {
	socket, err := manager.LocalSocket(d.place.paths)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, checkPatience)
	defer cancel()
	r, err := manager.AskLocal(ctx, socket, d.place.command(control.Ping), nil)
	return r.Pong, err
}

// controlQueue asks the manager as the MCP server would.
func (d *doctor) controlQueue(ctx context.Context) {
	const check = "control queue"
	local, err := d.localPong(ctx)
	if err != nil || local == nil {
		d.add(check, isSkipped, "not looked at: it needs the agent manager", "")
		return
	}
	parts, err := d.place.newTools("doctor", func(c *control.Client) tools.Commander { return c }, d.app.log())
	if err != nil {
		d.fail(check, err, "")
		return
	}
	defer parts.close()
	ctx, cancel := context.WithTimeout(ctx, checkPatience)
	defer cancel()
	ring, _ := control.ReadRing(d.place.paths.ControlKey())
	if ids := ring.IDs(); len(ids) > 0 && len(local.KeyIDs) > 0 && !slices.Contains(local.KeyIDs, ids[0]) {
		d.add(check, isFailed, "the agent manager has another control key than this folder's: it answers nothing that is signed with this one", "start it anew: testbed agent-manager restart")
		return
	}
	pong, err := parts.client.Ping(ctx, d.place.username)
	switch {
	case err != nil:
		d.add(check, isFailed, fmt.Sprintf("the agent manager (pid %d) hears nothing over %s: %s", local.PID, d.broker.Addr, swf.AsError(err).Message),
			"it was started with another broker, queue or key; start it anew: testbed agent-manager restart")
	case pong.Instance != local.Instance:
		d.add(check, isWarning, fmt.Sprintf("another manager of yours answers: pid %d on %s", pong.PID, pong.Host), "end one of the two: testbed agent-manager stop")
	default:
		d.ok(check, "the agent manager answers over the broker")
	}
}

// versions asks the programs beside this one.
func (d *doctor) versions(ctx context.Context) {
	const check = "versions"
	ctx, cancel := context.WithTimeout(ctx, checkPatience)
	defer cancel()
	for _, name := range []string{"swf-agent", "swf-mcp", "agent-manager"} {
		path, err := sibling(name)
		if err != nil {
			d.fail(check, err, "make build")
			return
		}
		said, err := exec.CommandContext(ctx, path, "--version").Output()
		if err != nil {
			d.fail(check, fmt.Errorf("%s does not say its version: %w", path, err), "make build")
			return
		}
		if !strings.HasSuffix(strings.TrimSpace(string(said)), " "+swf.Version) {
			d.add(check, isWarning, fmt.Sprintf("%s is %q, this is version %s", path, clip(strings.TrimSpace(string(said)), 60), swf.Version), "build or install all programs together: make build")
			return
		}
	}
	d.ok(check, "all programs are "+swf.Version)
}
