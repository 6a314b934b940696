package dashboard

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/epic-swf/testbed/swf"
)

// outcome is what a tool answered, as far as a page shows it.
type outcome struct {
	Outcome     string     `json:"outcome"`
	Message     string     `json:"message"`
	Error       *swf.Error `json:"error"`
	Note        string     `json:"note"`
	CommandID   string     `json:"command_id"`
	ExecutionID string     `json:"execution_id"`
	Running     []string   `json:"running_executions"` // what a stop would end
	Programs    []program  `json:"programs"`

	Did     string `json:"-"` // in words
	Back    string `json:"-"` // the page it was asked from
	Confirm string `json:"-"` // where to ask for it again, knowing what is lost
}

// start is POST /testbeds/{user}/start.
func (d *Dashboard) start(w http.ResponseWriter, v *visit) {
	args := map[string]any{"username": v.r.PathValue("user")}
	put(args, v, "config_name")
	d.call(w, v, "start_user_testbed", args, outcome{Did: "Start the testbed of " + v.r.PathValue("user"), Back: "/testbeds/" + v.r.PathValue("user")})
}

// stop is POST /testbeds/{user}/stop. Where it would end a run it comes back as
// a question.
func (d *Dashboard) stop(w http.ResponseWriter, v *visit) {
	user := v.r.PathValue("user")
	args := map[string]any{"username": user, "confirm": v.r.PostFormValue("confirm") == "yes"}
	d.call(w, v, "stop_user_testbed", args, outcome{Did: "Stop the testbed of " + user, Back: "/testbeds/" + user})
}

// run is POST /testbeds/{user}/run.
func (d *Dashboard) run(w http.ResponseWriter, v *visit) {
	user := v.r.PathValue("user")
	args := map[string]any{"username": user}
	put(args, v, "config")
	put(args, v, "workflow_name")
	o := outcome{Did: "Start a workflow for " + user, Back: "/testbeds/" + user}
	for _, name := range []string{"stf_count", "stf_interval"} {
		text := v.r.PostFormValue(name)
		if text == "" {
			continue
		}
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			o.Outcome, o.Error = "refused", swf.E(swf.CodeInvalidArgument, name+" is not a number: "+text, "Give a number, or leave it empty for the configuration's.")
			d.tell(w, v, o)
			return
		}
		args[name] = n
	}
	switch v.r.PostFormValue("pace") {
	case "real":
		args["realtime"] = true
	case "fast":
		args["realtime"] = false
	}
	d.call(w, v, "start_workflow", args, o)
}

// end is POST /executions/{id}/stop.
func (d *Dashboard) end(w http.ResponseWriter, v *visit) {
	id := v.r.PathValue("id")
	d.call(w, v, "stop_workflow", map[string]any{"execution_id": id}, outcome{Did: "Stop " + id, Back: "/executions/" + id})
}

// put passes a field of the form on, if it is filled in.
func put(args map[string]any, v *visit, name string) {
	if text := v.r.PostFormValue(name); text != "" {
		args[name] = text
	}
}

// call has a tool do it, for the person who asked, and shows the answer.
func (d *Dashboard) call(w http.ResponseWriter, v *visit, tool string, args map[string]any, o outcome) {
	if d.o.Control == nil {
		o.Outcome, o.Error = "refused", swf.E(swf.CodeUnsupported, "These pages only show.", "Use testbed up, or an assistant, to start and stop.")
		d.tell(w, v, o)
		return
	}
	answer := d.o.Control.Call(v.r.Context(), Ask{Who: v.who, From: v.r.RemoteAddr, Tool: tool, Args: args})
	if err := json.Unmarshal(answer, &o); err != nil {
		o.Outcome, o.Error = "unknown", swf.AsError(err)
		d.o.Log.Error("a tool's answer cannot be read", "tool", tool, "err", err)
	}
	if o.Error != nil && o.Error.Code == swf.CodeConfirmationNeeded {
		o.Confirm = v.r.URL.Path
	}
	d.tell(w, v, o)
}

// tell shows what came of it: the page's script puts it where the button is,
// without a script it is a page.
func (d *Dashboard) tell(w http.ResponseWriter, v *visit, o outcome) {
	d.show(w, v, http.StatusOK, view{Title: o.Did, Template: "outcome", Body: &o})
}
