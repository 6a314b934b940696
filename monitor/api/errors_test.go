package api_test

import (
	"strings"
	"testing"
)

// TestErrors holds the texts of the contract (1.2), on which clients rely.
func TestErrors(t *testing.T) {
	s := newSite(t, token)
	s.seed()
	s.must(201, "POST", "/api/workflow-executions/", executionBody)
	s.must(201, "POST", "/api/subscribers/", `{"subscriber_name":"s"}`)
	s.must(201, "POST", "/api/stf-files/", `{"run":1,"stf_filename":"f"}`)
	s.must(201, "POST", "/api/run-states/", `{"run_number":1,"phase":"p","state":"s","target_worker_count":1}`)
	s.must(201, "POST", "/api/systemagents/", `{"instance_name":"a","agent_type":"data"}`)
	long := strings.Repeat("x", 300)
	cases := []struct{ path, body, want string }{
		{"subscribers", `{"subscriber_name":"s"}`, `{"subscriber_name":["subscriber with this subscriber name already exists."]}`},
		{"runs", `{"run_number":"100010","start_time":"2026-01-01"}`, `{"run_number":["run with this run number already exists."]}`},
		{"stf-files", `{"run":1,"stf_filename":"f"}`, `{"stf_filename":["stf file with this stf filename already exists."]}`},
		{"workflow-executions", executionBody, `{"execution_id":["workflow execution with this execution id already exists."]}`},
		{"run-states", `{"run_number":1,"phase":"p","state":"s","target_worker_count":1}`, `{"run_number":["run state with this run number already exists."]}`},
		{"systemagents", `{"instance_name":"a","agent_type":"data"}`, `{"instance_name":["system agent with this instance name already exists."]}`},
		{"workflow-definitions", definitionBody, `{"non_field_errors":["The fields workflow_name, version must make a unique set."]}`},

		{"runs", `{}`, `{"run_number":["This field is required."],"start_time":["This field is required."]}`},
		{"runs", ``, `{"run_number":["This field is required."],"start_time":["This field is required."]}`},
		{"runs", `{"run_number":null,"start_time":"yesterday"}`, `{"run_number":["This field may not be null."],"start_time":["Datetime has wrong format. Use one of these formats instead: YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z]."]}`},
		{"runs", `{"run_number":"12a","start_time":5}`, `{"run_number":["A valid integer is required."],"start_time":["Datetime has wrong format. Use one of these formats instead: YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z]."]}`},
		{"runs", `{"run_number":99999999999999999999,"start_time":"2026-01-01"}`, `{"run_number":["Ensure this value is less than or equal to 2147483647."]}`},
		{"subscribers", `{"subscriber_name":" "}`, `{"subscriber_name":["This field may not be blank."]}`},
		{"subscribers", `{"subscriber_name":"` + long + `"}`, `{"subscriber_name":["Ensure this field has no more than 255 characters."]}`},
		{"subscribers", `{"subscriber_name":[]}`, `{"subscriber_name":["Not a valid string."]}`},
		{"subscribers", `{"subscriber_name":"a\u0000b"}`, `{"subscriber_name":["Null characters are not allowed."]}`},
		{"subscribers", `{"subscriber_name":"b","fraction":"much","is_active":"maybe"}`, `{"fraction":["A valid number is required."],"is_active":["Must be a valid boolean."]}`},
		{"systemagents", `{"instance_name":"b","agent_type":"DATA"}`, `{"agent_type":["\"DATA\" is not a valid choice."]}`},
		{"logs", `{"app_name":"a","instance_name":"i","timestamp":"2026-01-01","level":25,"levelname":"X","message":"","module":"m","funcname":"f","lineno":1,"process":1,"thread":1}`,
			`{"level":["\"25\" is not a valid choice."],"message":["This field may not be blank."]}`},
		{"stf-files", `{"run":77,"stf_filename":"g"}`, `{"run":["Invalid pk \"77\" - object does not exist."]}`},
		{"stf-files", `{"run":"x","stf_filename":"g"}`, `{"run":["Incorrect type. Expected pk value, received str."]}`},
		{"stf-files", `{"run":1,"stf_filename":"g","status":"lost","workflow_id":"7"}`, `{"status":["\"lost\" is not a valid choice."],"workflow_id":["Must be a valid UUID."]}`},
		{"workflow-executions", strings.Replace(executionBody, `"workflow_definition":1,`, "", 1), `{"workflow_definition":["This field is required."]}`},
		{"system-state-events", `{"timestamp":"2026-01-01","run_number":null,"event_type":"e","state":"s"}`, `{"run_number":["This field may not be null."]}`},

		{"runs", `[1]`, `{"non_field_errors":["Invalid data. Expected a dictionary, but got list."]}`},
		{"runs", `null`, `{"non_field_errors":["Invalid data. Expected a dictionary, but got NoneType."]}`},
		{"systemagents/heartbeat", `{"status":"OK"}`, `{"instance_name":["This field is required."]}`},
		{"namespaces/ensure", `{"name":"n"}`, `{"error":"owner: This field may not be blank.","status":"error"}`},
	}
	for _, c := range cases {
		r := s.json("POST", "/api/"+c.path+"/", c.body)
		if r.status != 400 || r.body != c.want {
			t.Errorf("POST %s %.100s: %d\n got %s\nwant %s", c.path, c.body, r.status, r.body, c.want)
		}
	}
}

// TestHostileBodies sends what nobody should send: each is refused, none is a
// failure of the server, and nothing is stored.
func TestHostileBodies(t *testing.T) {
	s := newSite(t, token)
	deep := `{"run_conditions":` + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + `}`
	cases := []struct {
		name, contentType, body string
		status                  int
	}{
		{"not JSON", "application/json", `{"run_number":`, 400},
		{"NaN", "application/json", `{"run_number":NaN}`, 400},
		{"two values", "application/json", `{"run_number":1,"start_time":"2026-01-01"}{}`, 400},
		{"key twice", "application/json", `{"run_number":1,"run_number":2,"start_time":"2026-01-01"}`, 400},
		{"NUL in a key", "application/json", `{"a\u0000":1}`, 400},
		{"not UTF-8", "application/json", "{\"a\":\"\xff\"}", 400},
		{"deep", "application/json", deep, 400},
		{"many keys", "application/json", manyKeys(), 400},
		{"text", "text/plain", `{"run_number":1,"start_time":"2026-01-01"}`, 415},
		{"no type", "", `{"run_number":1,"start_time":"2026-01-01"}`, 415},
		{"a form", "application/x-www-form-urlencoded", `run_number=1&start_time=2026-01-01`, 415},
		{"long", "application/json", `{"a":"` + strings.Repeat("x", 1<<20) + `"}`, 413},
	}
	for _, c := range cases {
		r := s.send("POST", "/api/runs/", "Token "+token, c.contentType, c.body)
		if r.status != c.status {
			t.Errorf("%s: %d %.200s, want %d", c.name, r.status, r.body, c.status)
		}
	}
	if runs := s.list("/api/runs/"); len(runs) != 0 {
		t.Errorf("stored: %v", runs)
	}
	s.send("POST", "/api/runs/", "Token "+token, "text/plain", "x").want(t, 415, `{"detail":"Unsupported media type \"text/plain\" in request."}`)
}

func manyKeys() string {
	var b strings.Builder
	b.WriteByte('{')
	for b.Len() < 1<<20-40 {
		b.WriteString(`"` + strings.Repeat("k", b.Len()%7) + string(rune('a'+b.Len()%26)) + `":1,`)
	}
	return b.String() + `"z":1}`
}
