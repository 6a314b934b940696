package supervisor

import (
	"context"
	"fmt"
	"strconv"
	"syscall"
	"time"
)

// DaemonState is supervisord's own state.
type DaemonState struct {
	Code int    // 1 RUNNING, 0 RESTARTING, -1 SHUTDOWN, 2 FATAL
	Name string // the same as a word
}

// Settings is what a live supervisord holds as one program's configuration.
type Settings struct {
	Name, Group  string
	StartSecs    int // seconds to stay up before it counts as RUNNING
	StopWaitSecs int // seconds before supervisord kills it
	StopSignal   syscall.Signal
}

// PID is supervisord's own process id.
func (c *Client) PID(ctx context.Context) (int, error) { return c.pidWithin(ctx, c.timeout) }

// pidWithin is PID with less patience.
func (c *Client) pidWithin(ctx context.Context, timeout time.Duration) (int, error) {
	var pid int
	err := c.readWithin(ctx, timeout, &pid, "supervisor.getPID")
	return pid, err
}

// State is supervisord's own state; it is refused during a shutdown.
func (c *Client) State(ctx context.Context) (DaemonState, error) {
	var r struct {
		Code int    `xmlrpc:"statecode"`
		Name string `xmlrpc:"statename"`
	}
	err := c.read(ctx, &r, "supervisor.getState")
	return DaemonState{r.Code, r.Name}, err
}

// Version is supervisord's version, such as "4.2.5".
func (c *Client) Version(ctx context.Context) (string, error) {
	var v string
	err := c.read(ctx, &v, "supervisor.getSupervisorVersion")
	return v, err
}

type processInfo struct {
	Name       string `xmlrpc:"name"`
	Group      string `xmlrpc:"group"`
	Start      int64  `xmlrpc:"start"`
	Stop       int64  `xmlrpc:"stop"`
	Now        int64  `xmlrpc:"now"`
	State      int    `xmlrpc:"state"`
	SpawnErr   string `xmlrpc:"spawnerr"`
	ExitStatus int    `xmlrpc:"exitstatus"`
	Stdout     string `xmlrpc:"stdout_logfile"`
	Stderr     string `xmlrpc:"stderr_logfile"`
	PID        int    `xmlrpc:"pid"`
}

func (i processInfo) process() Process {
	return Process{
		Name: i.Name, Group: i.Group, State: State(i.State), PID: i.PID,
		Start: unixTime(i.Start), Stop: unixTime(i.Stop), Now: unixTime(i.Now),
		SpawnErr: i.SpawnErr, ExitStatus: i.ExitStatus, LogFile: i.Stdout, ErrLogFile: i.Stderr,
	}
}

func unixTime(s int64) time.Time {
	if s == 0 {
		return time.Time{}
	}
	return time.Unix(s, 0)
}

// Processes is one snapshot of every program, in supervisord's order. Asking
// also wakes supervisord and moves its state machine on.
func (c *Client) Processes(ctx context.Context) ([]Process, error) {
	return c.processesWithin(ctx, c.timeout)
}

// processesWithin is Processes with less patience.
func (c *Client) processesWithin(ctx context.Context, timeout time.Duration) ([]Process, error) {
	var infos []processInfo
	if err := c.readWithin(ctx, timeout, &infos, "supervisor.getAllProcessInfo"); err != nil {
		return nil, err
	}
	ps := make([]Process, len(infos))
	for i, info := range infos {
		ps[i] = info.process()
	}
	return ps, nil
}

// Settings are the programs' configurations in force, whatever the file says now.
func (c *Client) Settings(ctx context.Context) ([]Settings, error) {
	var infos []struct {
		Name         string `xmlrpc:"name"`
		Group        string `xmlrpc:"group"`
		StartSecs    int    `xmlrpc:"startsecs"`
		StopWaitSecs int    `xmlrpc:"stopwaitsecs"`
		StopSignal   int    `xmlrpc:"stopsignal"`
	}
	if err := c.read(ctx, &infos, "supervisor.getAllConfigInfo"); err != nil {
		return nil, err
	}
	out := make([]Settings, len(infos))
	for i, in := range infos {
		out[i] = Settings{
			Name: in.Name, Group: in.Group,
			StartSecs: in.StartSecs, StopWaitSecs: in.StopWaitSecs, StopSignal: syscall.Signal(in.StopSignal),
		}
	}
	return out, nil
}

// StartAll asks for all the named processes ("group:name" or name) in one call
// and does not wait for them to run. The result holds one entry for each name:
// nil, or the *Fault that refused it. The call itself takes about 10 ms a program.
func (c *Client) StartAll(ctx context.Context, specs []string) ([]error, error) {
	calls := make([]any, len(specs))
	for i, s := range specs {
		calls[i] = map[string]any{"methodName": "supervisor.startProcess", "params": []any{s, false}}
	}
	timeout := 5*time.Second + time.Duration(len(specs))*200*time.Millisecond
	var results []any
	if err := c.call(ctx, timeout, &results, "system.multicall", calls); err != nil {
		return nil, err
	}
	if len(results) != len(specs) {
		return nil, fmt.Errorf("system.multicall: %d answers to %d calls", len(results), len(specs))
	}
	errs := make([]error, len(specs))
	for i, r := range results {
		errs[i] = multicallFault(r)
	}
	return errs, nil
}

// multicallFault finds the fault that a multicall hides in an ordinary struct.
func multicallFault(result any) error {
	m, ok := result.(map[string]any)
	if !ok {
		return nil
	}
	code, ok := m["faultCode"].(int64)
	if !ok {
		return nil
	}
	text, _ := m["faultString"].(string)
	return &Fault{Code: FaultCode(code), Message: text}
}

// StopAll asks every STARTING, RUNNING or BACKOFF process to stop and does not
// wait. It skips those that are STOPPING.
func (c *Client) StopAll(ctx context.Context) error {
	return c.call(ctx, 5*time.Second, nil, "supervisor.stopAllProcesses", false)
}

// Signal sends one signal to one process ("group:name" or name).
func (c *Client) Signal(ctx context.Context, spec string, sig syscall.Signal) error {
	return c.call(ctx, c.timeout, nil, "supervisor.signalProcess", spec, strconv.Itoa(int(sig)))
}

// Shutdown asks supervisord to end; it returns long before that has happened.
func (c *Client) Shutdown(ctx context.Context) error {
	return c.call(ctx, c.timeout, nil, "supervisor.shutdown")
}
