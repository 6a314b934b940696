package api

import (
	"net/http"

	"github.com/epic-swf/testbed/monitor/store"
)

// Turns of a dialogue that are read back: a turn is a question and its answer.
const (
	defaultTurns = 10
	rowsPerTurn  = 2
)

// memoryFields are what POST /api/ai-memory/record/ takes.
func memoryFields() []field {
	return []field{
		{name: "username", required: true, max: 100},
		{name: "session_id", required: true, max: 255},
		{name: "role", required: true, choices: []string{"user", "assistant"}},
		{name: "content", required: true},
		{name: "namespace", nullable: true, blank: true, max: 100},
		{name: "project_path", nullable: true, blank: true, max: 500},
	}
}

// recall is GET /api/ai-memory/?username=&turns=&namespace=: the last turns of
// somebody's dialogues, oldest first.
func (a *api) recall(r *http.Request) (answer, error) {
	query := r.URL.Query()
	if query.Get("username") == "" {
		return answer{}, badRequest(map[string]string{"error": "username is required", "status": "error"})
	}
	memory := &resource{table: store.AIMemory, filters: exact("username", "namespace")}
	q, none, err := memory.selection(query)
	if err != nil {
		return answer{}, err
	}
	turns := nonNegative(query.Get("turns"))
	if turns == 0 {
		turns = defaultTurns
	}
	q.Limit = rowsPerTurn * min(turns, store.MaxRows)
	var page store.Page
	if !none {
		if page, err = a.store.List(r.Context(), store.AIMemory, q); err != nil {
			return answer{}, err
		}
	}
	items := make([]map[string]any, 0, len(page.Records))
	for i := len(page.Records) - 1; i >= 0; i-- {
		m := page.Records[i]
		items = append(items, map[string]any{"role": m["role"], "content": m["content"], "session_id": m["session_id"],
			"created_at": stamp(m["created_at"]), "post_id": nil, "root_id": nil})
	}
	return answer{status: http.StatusOK, body: map[string]any{"items": items, "count": len(items)}}, nil
}

// record is POST /api/ai-memory/record/.
func (a *api) record(r *http.Request) (answer, error) {
	object, err := readObject(r)
	if err != nil {
		return answer{}, err
	}
	memory, err := a.validate(r.Context(), &resource{table: store.AIMemory, fields: memoryFields()}, object, false, nil)
	if err != nil {
		return answer{}, err
	}
	memory, err = a.store.Insert(r.Context(), store.AIMemory, memory)
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, body: map[string]any{"id": memory["id"], "status": "success"}}, nil
}
