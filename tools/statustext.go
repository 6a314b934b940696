package tools

import (
	"fmt"
	"strings"
)

// Text says the same for people, the most important first.
func (o *StatusOut) Text() string {
	var b strings.Builder
	if o.Failed() {
		b.WriteString("get_testbed_status: refused\n")
		writeError(&b, o.Error)
		return b.String()
	}
	fmt.Fprintf(&b, "testbed of %s: %s, ready: %s\n", o.Username, o.State, tri(o.Ready))
	if c := o.Command; c != nil {
		fmt.Fprintf(&b, "command %s: %s", c.CommandID, c.Outcome)
		if c.Message != "" {
			fmt.Fprintf(&b, ". %s", c.Message)
		}
		b.WriteByte('\n')
		writeError(&b, c.Error)
		line(&b, "inferred from", c.InferredFrom)
		line(&b, "execution_id", c.ExecutionID)
		if e := c.Execution; e != nil {
			line(&b, "execution", strings.TrimSuffix(e.Status+", "+e.Reason, ", "))
		}
		writePrograms(&b, c.Programs)
	}
	writeError(&b, o.Error)
	line(&b, "note", o.Note)
	line(&b, "manager alive", tri(o.Manager.Alive))
	if o.Manager.BusyWith != "" {
		fmt.Fprintf(&b, "manager busy with %s %s\n", o.Manager.BusyWith, o.Manager.BusyID)
	}
	line(&b, "namespace", deref(o.Namespace))
	line(&b, "config", deref(o.Config))
	if o.Programs == nil {
		line(&b, "programs", "unknown")
	}
	writePrograms(&b, o.Programs)
	if o.Summary != nil {
		fmt.Fprintf(&b, "agents by heartbeat: %d running, %d stopped\n", o.Summary.Running, o.Summary.Stopped)
	}
	if o.RunningWorkflows != nil {
		fmt.Fprintf(&b, "running workflows: %d", *o.RunningWorkflows)
		if len(o.RunningExecutions) > 0 {
			fmt.Fprintf(&b, " (%s)", strings.Join(o.RunningExecutions, ", "))
		}
		b.WriteByte('\n')
	}
	line(&b, "namespace shared with", strings.Join(o.SharedWith, ", "))
	if !o.Monitor.Available && o.Monitor.Error != nil {
		fmt.Fprintf(&b, "monitor: %s; agents and executions are unknown\n", o.Monitor.Error.Message)
	}
	return b.String()
}
