package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/tools"
)

// listFlags are those of testbed workflow list.
type listFlags struct {
	user, namespace, workflow, status string
	hours, limit                      int
}

func (a *app) workflowListCommand() *cobra.Command {
	var f listFlags
	cmd := a.outputFlag(&cobra.Command{
		Use:   "list",
		Short: "List workflow runs, the latest first",
		Long: `List shows your executions and those in your namespaces that began in the last 24 hours, and all that still run. An
operator sees everybody's.`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.workflowList(cmd.Context(), f) },
	})
	cmd.Flags().StringVar(&f.user, "user", "", "only this user's")
	cmd.Flags().StringVar(&f.namespace, "namespace", "", "only in this namespace")
	cmd.Flags().StringVar(&f.workflow, "workflow", "", "only of this workflow")
	cmd.Flags().StringVar(&f.status, "status", "", "running, completed, failed, terminated or lost")
	cmd.Flags().IntVar(&f.hours, "hours", 0, "how far to look back; default 24")
	cmd.Flags().IntVar(&f.limit, "limit", 20, "how many at most, up to 100")
	completeLive(cmd, "user", a.userNames)
	completeLive(cmd, "workflow", a.workflowNames)
	complete(cmd, "status", swf.ExecutionRunning, swf.ExecutionCompleted, swf.ExecutionFailed, swf.ExecutionTerminated, swf.ExecutionLost)
	return cmd
}

func (a *app) workflowList(ctx context.Context, f listFlags) error {
	r, err := a.remote()
	if err != nil {
		return err
	}
	defer r.close()
	list, err := call[tools.ListOut[tools.ExecutionRow]](ctx, r, "list_workflow_executions", map[string]any{"username": f.user, "namespace": f.namespace,
		"workflow_name": f.workflow, "status": f.status, "hours": f.hours, "limit": f.limit})
	if err != nil {
		return err
	}
	var rows [][]string
	for _, e := range list.Items {
		took := "-"
		switch {
		case e.EndTime != nil:
			took = span(e.EndTime.Sub(e.StartTime))
		case e.Status == swf.ExecutionRunning:
			took = span(max(0, time.Since(e.StartTime)))
		}
		rows = append(rows, []string{e.ExecutionID, e.Status, e.Namespace, e.ExecutedBy, clockTime(e.StartTime), took})
	}
	return a.show(list, listText("EXECUTION STATUS NAMESPACE BY STARTED TOOK", rows, "no workflow runs", list.Note))
}

func (a *app) workflowShowCommand() *cobra.Command {
	return a.outputFlag(&cobra.Command{
		Use:   "show [EXECUTION]",
		Short: "Show one workflow run: its phases, its STFs, its errors",
		Long:  `Show puts together what the monitor knows of one execution. Without an id it is the latest of yours.`,
		Args:  usageArgs(cobra.MaximumNArgs(1)),
		RunE: a.onExecution("", func(ctx context.Context, r *remote, id string) error {
			e, err := r.execution(ctx, id)
			if err != nil {
				return err
			}
			return a.show(e, inCommands(strings.ReplaceAll(e.Text(), " (data, not instructions)", "")))
		}),
		ValidArgsFunction: completion(1, a.executions("")),
	})
}

func (r *remote) execution(ctx context.Context, id string) (*tools.ExecutionOut, error) {
	return call[tools.ExecutionOut](ctx, r, "get_workflow_execution", map[string]any{"execution_id": id})
}

func (a *app) workflowWatchCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "watch [EXECUTION]",
		Short: "Follow a workflow run until it has ended",
		Long: `Watch tells each phase of an execution as it comes, and ends with it: with 0 when it has completed, else with 1.
Without an id it is the one of yours that runs.`,
		Args: usageArgs(cobra.MaximumNArgs(1)),
		RunE: a.onExecution(swf.ExecutionRunning, func(ctx context.Context, r *remote, id string) error {
			return r.watch(ctx, id)
		}),
		ValidArgsFunction: completion(1, a.executions("")),
	}
}

// untilEnd watches an execution that was just begun.
func (a *app) untilEnd(ctx context.Context, id string) error {
	r, err := a.remote()
	if err != nil {
		return err
	}
	defer r.close()
	return r.watch(ctx, id)
}

// watch tells what happens to an execution until it has ended or ctx has. What
// a program reads stays clean: then the events go to standard error.
func (r *remote) watch(ctx context.Context, id string) error {
	a := r.place.app
	to := a.out
	if !a.forPeople() {
		to = a.err
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	end := a.waiting("watching " + id)
	defer end()
	told := 0
	for {
		e, err := r.look(ctx, id)
		if err != nil && ctx.Err() == nil {
			return err
		}
		if err == nil {
			for _, event := range e.Events[min(told, len(e.Events)):] {
				fmt.Fprintf(to, "%s  %s\n", event.Time.Local().Format(time.TimeOnly), swf.Printable(event.Event))
			}
			told = max(told, len(e.Events))
			if swf.ExecutionEnded(e.Status) {
				end()
				return ended(a, to, e)
			}
			a.murmur(fmt.Sprintf("%s: %s, %s STFs", id, e.Phase, counted(e.STFCount)))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return swf.E(swf.CodePending, id+" goes on", "see it again: testbed workflow watch "+id)
		}
	}
}

// look is execution without a word to who waits.
func (r *remote) look(ctx context.Context, id string) (*tools.ExecutionOut, error) {
	quiet := *r.place.app
	quiet.err = discard{}
	p := *r.place
	p.app = &quiet
	q := *r
	q.place = &p
	return q.execution(ctx, id)
}

// ended says how an execution ended.
func ended(a *app, to interface{ Write([]byte) (int, error) }, e *tools.ExecutionOut) error {
	took := ""
	if e.Duration != nil {
		took = fmt.Sprintf(" after %g s", *e.Duration)
	}
	fmt.Fprint(to, a.ink(to).lay(fmt.Sprintf("%s: %s%s, %s STFs\n", e.ExecutionID, swf.Printable(e.Status), took, counted(e.STFCount))))
	if e.Status == swf.ExecutionCompleted {
		return nil
	}
	text := e.ExecutionID + " has " + e.Status
	if e.Status == swf.ExecutionTerminated || e.Status == swf.ExecutionLost {
		text = e.ExecutionID + " was " + e.Status
	}
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	return swf.E(swf.CodeInterrupted, text, "see why: testbed workflow show "+e.ExecutionID+", testbed logs workflow-runner")
}

func counted(n *int) string {
	if n == nil {
		return "?"
	}
	return fmt.Sprint(*n)
}
