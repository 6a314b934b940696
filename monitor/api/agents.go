package api

import (
	"encoding/json"
	"net/http"

	"github.com/epic-swf/testbed/monitor/store"
	"github.com/epic-swf/testbed/swf"
)

// beatFields are the columns that a heartbeat carries. Values are free, as in
// the contract, but too long ones are a 400 and not a failure of the database.
func beatFields() []field {
	return []field{
		{name: "instance_name", required: true, max: 100},
		{name: "agent_type", nullable: true, blank: true, max: 20},
		{name: "status", nullable: true, blank: true, max: 10},
		{name: "description", nullable: true, blank: true},
		{name: "operational_state", nullable: true, blank: true, max: 20},
		{name: "namespace", nullable: true, blank: true, max: 100},
		{name: "agent_url", nullable: true, blank: true, max: 200},
		{name: "pid", nullable: true},
		{name: "hostname", nullable: true, blank: true, max: 100},
		{name: "workflow_enabled", nullable: true},
		{name: "current_stf_count", nullable: true},
		{name: "total_stf_processed", nullable: true},
		{name: "metadata", nullable: true},
	}
}

// always are the columns that a heartbeat overwrites even when it does not
// carry them, and with what: those of the contract, and metadata, which would
// otherwise speak for a process that is gone.
func always() store.Record {
	return store.Record{"agent_type": "other", "status": swf.StatusOK, "description": "",
		"namespace": nil, "agent_url": nil, "metadata": nil}
}

// heartbeat is POST /api/systemagents/heartbeat/: 201 for a new agent, 200 for
// a known one. Unlike the Python monitor it keeps metadata and the counters of
// files, and a heartbeat whose metadata carries {instance, seq} is ignored when
// it comes late (store.Beat); the answer then shows the agent as it is.
func (a *api) heartbeat(r *http.Request) (answer, error) {
	object, err := readObject(r)
	if err != nil {
		return answer{}, err
	}
	for name, raw := range object { // null says no more than nothing
		if isNull(raw) {
			delete(object, name)
		}
	}
	beat := &resource{table: store.Agents, fields: beatFields()}
	given, err := a.validate(r.Context(), beat, object, false, nil)
	if err != nil {
		return answer{}, err
	}
	if err := mayWrite(r, ownAgent(given)); err != nil {
		return answer{}, err
	}
	values := always()
	for name, value := range given {
		values[name] = value
	}
	instance, seq := beatOrder(object["metadata"])
	agent, created, err := a.store.Beat(r.Context(), store.Beat{Values: values, Instance: instance, Seq: seq})
	if err != nil {
		return answer{}, err
	}
	if created {
		return encoded(http.StatusCreated, store.Agents, agent)
	}
	return encoded(http.StatusOK, store.Agents, agent)
}

// beatOrder reads {instance, seq} from a heartbeat's metadata; without both
// there is no order.
func beatOrder(metadata json.RawMessage) (instance string, seq int64) {
	var m struct {
		Instance string `json:"instance"`
		Seq      *int64 `json:"seq"`
	}
	if json.Unmarshal(metadata, &m) != nil || m.Seq == nil || len(m.Instance) > 100 {
		return "", 0
	}
	return m.Instance, *m.Seq
}
