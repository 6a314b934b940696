package api

import (
	"net/http"

	"github.com/epic-swf/testbed/monitor/store"
	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/web"
)

// Whose a record is follows from what it says, as the Python system names
// things: agents and their log records by the agent's name, executions by
// executed_by and the id, definitions by created_by. Runs, files and all that
// hangs on them have no owner in the contract: any token writes them.

func ownAgent(r store.Record) string {
	name, _ := r["instance_name"].(string)
	return swf.AgentOwner(name)
}

// ownExecution is "" where id and executed_by differ: with an id that looks
// like another's, that user's next run could be made to fail.
func ownExecution(r store.Record) string {
	id, _ := r["execution_id"].(string)
	by, _ := r["executed_by"].(string)
	if swf.ExecutionOwner(id) != by {
		return ""
	}
	return by
}

func ownDefinition(r store.Record) string {
	by, _ := r["created_by"].(string)
	return by
}

// mayWrite refuses to write what is not the asker's own. What belongs to
// nobody that can be told is not theirs either.
func mayWrite(r *http.Request, owner string) error {
	who, _ := web.PrincipalFrom(r.Context())
	if who.Operator || (owner != "" && owner == who.Name) {
		return nil
	}
	if owner == "" {
		return detail(http.StatusForbidden, "This token is of "+who.Name+", and what is written names no owner, or two.")
	}
	return detail(http.StatusForbidden, "This token is of "+who.Name+", and may not write what belongs to another user.")
}

// mayWrite is mayWrite for a record of a resource that knows owners.
func (res *resource) mayWrite(r *http.Request, record store.Record) error {
	if res.owner == nil {
		return nil
	}
	return mayWrite(r, res.owner(record))
}
