package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/config"
	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/supervisor"
	"github.com/epic-swf/testbed/swf"
)

func (a *app) doctorCommand() *cobra.Command {
	return a.outputFlag(&cobra.Command{
		Use:   "doctor",
		Short: "Check every part of your set-up, and say how to cure what ails it",
		Long: `Doctor looks at the folder, the environment, files and their modes, keys, configurations, supervisord, its file, its
socket, the broker and your login there, the monitor and your token there, clocks, the agent manager and its version,
the disk. It changes nothing. It ends with 1 when something keeps your testbed from working; a warning does not.`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.doctor(cmd.Context()) },
	})
}

// How something that was checked is.
const (
	isOK      = "ok"
	isWarning = "warning" // it works, or will by itself, but somebody should know
	isFailed  = "failed"
	isSkipped = "skipped" // it cannot be looked at while something else is wrong
)

// finding is what one check found.
type finding struct {
	Check  string `json:"check"`
	Status string `json:"status"`
	Found  string `json:"found"`
	Cure   string `json:"cure,omitempty"`
}

// doctor looks at one testbed. What a check finds out, those behind it use.
type doctor struct {
	app      *app
	place    *place
	findings []finding

	testbed *config.Testbed  // nil: the configuration cannot be used
	conf    *supervisor.Conf // nil: the supervisord file cannot be used
	broker  *amq.Options     // nil: it cannot be reached
	monitor *monitor.Client  // nil: it cannot be reached
}

// checkup is one thing to look at. needs names what must be known before.
type checkup struct {
	name  string
	look  func(*doctor, context.Context)
	needs func(*doctor) string
}

// checkups in the order in which one stands on the other.
func checkups() []checkup {
	conf := func(d *doctor) string { return missing(d.conf == nil, "supervisord.conf") }
	broker := func(d *doctor) string { return missing(d.broker == nil, "broker") }
	seen := func(d *doctor) string { return missing(d.monitor == nil, "monitor") }
	return []checkup{
		{name: "environment", look: (*doctor).environment},
		{name: "modes", look: (*doctor).modes},
		{name: "disk", look: (*doctor).disk},
		{name: "settings", look: (*doctor).settings},
		{name: "control key", look: (*doctor).controlKey},
		{name: "configuration", look: (*doctor).configuration},
		{name: "supervisord", look: (*doctor).supervisord},
		{name: "supervisord.conf", look: (*doctor).supervisordConf},
		{name: "programs", look: (*doctor).programs, needs: conf},
		{name: "supervisord's socket", look: (*doctor).supervisordSocket, needs: conf},
		{name: "testbed up", look: (*doctor).endpoints},
		{name: "broker", look: (*doctor).brokerLogin},
		{name: "monitor", look: (*doctor).monitorAnswers},
		{name: "monitor's token", look: (*doctor).monitorToken, needs: seen},
		{name: "clock", look: (*doctor).clock, needs: seen},
		{name: "agent manager", look: (*doctor).agentManager},
		{name: "control queue", look: (*doctor).controlQueue, needs: broker},
		{name: "versions", look: (*doctor).versions},
	}
}

func missing(yes bool, what string) string {
	if yes {
		return what
	}
	return ""
}

func (a *app) doctor(ctx context.Context) error {
	d := &doctor{app: a}
	if d.folder() {
		end := a.waiting("looking at your set-up")
		for _, c := range checkups() {
			a.murmur("looking at " + c.name)
			if c.needs != nil {
				if what := c.needs(d); what != "" {
					d.add(c.name, isSkipped, "not looked at: it needs "+what, "")
					continue
				}
			}
			c.look(d, ctx)
		}
		end()
	}
	if d.monitor != nil {
		d.monitor.Close()
	}
	if err := a.show(d.findings, findingLines(d.findings)); err != nil {
		return err
	}
	failed := 0
	for _, f := range d.findings {
		if f.Status == isFailed {
			failed++
		}
	}
	if failed > 0 {
		return swf.E(swf.CodeEnvironment, fmt.Sprintf("%d of %d checks failed", failed, len(d.findings)), "each says its cure; run testbed doctor again after it")
	}
	return nil
}

func (d *doctor) add(check, status, found, cure string) {
	d.findings = append(d.findings, finding{check, status, found, cure})
}

func (d *doctor) ok(check, found string) { d.add(check, isOK, found, "") }

// fail tells an error, whose hint is its cure.
func (d *doctor) fail(check string, err error, otherwise string) {
	found, cure := err.Error(), otherwise
	if e := new(swf.Error); errors.As(err, &e) && e.Hint != "" {
		found, cure = e.Message, inCommands(e.Hint)
	}
	d.add(check, isFailed, found, cure)
}

// findingLines is a line for each check, and below those that need one the cure.
func findingLines(list []finding) string {
	width := 0
	for _, f := range list {
		width = max(width, len(f.Check))
	}
	var b strings.Builder
	for _, f := range list {
		fmt.Fprintf(&b, "%-8s %-*s  %s\n", f.Status, width, f.Check, oneLine(f.Found))
		if f.Cure != "" {
			fmt.Fprintf(&b, "%-8s %-*s  cure: %s\n", "", width, "", oneLine(f.Cure))
		}
	}
	return b.String()
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// checkPatience bounds each look at something that may not answer.
const checkPatience = 5 * time.Second

// murmur changes what a person at a terminal reads while waiting, and prints
// nothing elsewhere.
func (a *app) murmur(text string) {
	if s, ok := a.err.(*screen); ok {
		s.tell(text)
	}
}
