package api_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

const fastmonBody = `{"stf_file":"f1","tf_filename":"f1_tf_001.tf","tf_first":1,"tf_last":"14","tf_count":14,"file_size_bytes":5000000000,"status":"registered","metadata":{"simulation":true}}`

// pipeline makes a run, its STF file f1 and a sample f1_tf_001.tf of it.
func (s *site) pipeline() (fastmonID string) {
	s.t.Helper()
	s.seed()
	s.must(201, "POST", "/api/stf-files/", `{"run":1,"stf_filename":"f1"}`)
	id, _ := s.must(201, "POST", "/api/fastmon-files/", fastmonBody)["tf_file_id"].(string)
	return id
}

// TestPipelineObjects holds the shape of each object of the pipeline.
func TestPipelineObjects(t *testing.T) {
	s := newSite(t, token)
	s.pipeline()
	workflow := s.must(201, "POST", "/api/workflows/", `{"filename":"w0","daq_state":"run","daq_substate":"physics","generated_time":"2026-11-23T11:00:00","stf_start_time":"2026-11-23T11:00:00","stf_end_time":"2026-11-23T11:00:01"}`)["workflow_id"]
	const made = `"created_at":"2026-11-23T12:00:00.000000Z","updated_at":"2026-11-23T12:00:00.000000Z"`
	cases := []struct{ path, key, body, want string }{
		{"fastmon-files", "tf_file_id", strings.Replace(fastmonBody, "_001", "_002", 1),
			`"stf_file":"f1","tf_filename":"f1_tf_002.tf","file_size_bytes":5000000000,"checksum":null,"status":"registered","metadata":{"simulation":true},` + made + `,"tf_count":14,"tf_first":1,"tf_last":14}`},
		{"tf-slices", "id", `{"fastmon_file":"f1_tf_001.tf","slice_id":3,"tf_first":1,"tf_last":2,"tf_count":2,"run_number":"100010"}`,
			`"fastmon_file":"f1_tf_001.tf","slice_id":3,"tf_first":1,"tf_last":2,"tf_count":2,"run_number":100010,"status":"queued","retries":0,"metadata":null,` + made + `,"assigned_worker":null,"assigned_at":null,"completed_at":null}`},
		{"workers", "worker_id", `{"worker_id":"w.1","run_number":"100010","panda_job":"7","location":"BNL","status":"active","started_at":"2026-11-23T11:00:00"}`,
			`"run_number":100010,"panda_job":"7","location":"BNL","status":"active","current_slice_id":null,"tf_filename":null,"slices_completed":0,"last_heartbeat":null,"started_at":"2026-11-23T11:00:00.000000Z","ended_at":null,"metadata":null}`},
		{"workflows", "workflow_id", `{"filename":"w1","daq_state":"run","daq_substate":"physics","generated_time":"2026-11-23T11:00:02","stf_start_time":"2026-11-23T11:00:00","stf_end_time":"2026-11-23T11:00:01"}`,
			`"filename":"w1","file_id":null,"daq_state":"run","daq_substate":"physics","generated_time":"2026-11-23T11:00:02.000000Z","stf_start_time":"2026-11-23T11:00:00.000000Z","stf_end_time":"2026-11-23T11:00:01.000000Z","current_status":"generated","current_agent":"daqsim","completed_at":null,"failed_at":null,"failure_reason":null,"stf_metadata":null,` + made + `}`},
		{"workflow-stages", "stage_id", fmt.Sprintf(`{"workflow":%q,"agent_name":"data-1","agent_type":"data","processing_time_seconds":"0.5"}`, workflow),
			`"agent_name":"data-1","agent_type":"data","status":"generated","received_at":null,"started_at":null,"completed_at":null,"failed_at":null,"processing_time_seconds":0.5,"failure_reason":null,"input_message":null,"output_message":null,"stage_metadata":null,` + made + fmt.Sprintf(`,"workflow":%q}`, workflow)},
		{"workflow-messages", "message_id", fmt.Sprintf(`{"message_type":"stf_gen","message_content":{"a":1},"sender_type":"","workflow":%q,"run_id":100010}`, workflow),
			`"message_type":"stf_gen","request_id":null,"sender_agent":null,"sender_type":"","recipient_agent":null,"recipient_type":null,"namespace":null,"execution_id":null,"run_id":"100010","message_content":{"a":1},"message_metadata":{},"sent_at":"2026-11-23T12:00:00.000000Z","delivered_at":null,"acknowledged_at":null,"is_successful":null,"error_message":null,"queue_name":null,"correlation_id":null,` + fmt.Sprintf(`"workflow":%q,"stage":null}`, workflow)},
	}
	for _, c := range cases {
		t.Run(c.path, func(t *testing.T) {
			r := s.json("POST", "/api/"+c.path+"/", c.body)
			_, rest, _ := strings.Cut(r.body, ",")
			if r.status != 201 || rest != c.want {
				t.Fatalf("%d\n got %s\nwant %s", r.status, rest, c.want)
			}
			var made map[string]any
			if err := json.Unmarshal([]byte(r.body), &made); err != nil {
				t.Fatal(err)
			}
			if items := s.list("/api/" + c.path + "/"); len(items) == 0 {
				t.Error("it is not in the list")
			}
			address := fmt.Sprintf("/api/%s/%v/", c.path, made[c.key])
			s.must(200, "GET", address, "")
			s.must(200, "PATCH", address, `{"unknown":1}`)
			s.json("DELETE", address, "").want(t, 204, "")
			if r := s.json("GET", address, ""); r.status != 404 || !strings.HasPrefix(r.body, `{"detail":"No `) {
				t.Errorf("after DELETE: %d %s", r.status, r.body)
			}
		})
	}
}

// TestPipelineErrors holds the texts about the pipeline's objects.
func TestPipelineErrors(t *testing.T) {
	s := newSite(t, token)
	s.pipeline()
	slice := `{"fastmon_file":"f1_tf_001.tf","slice_id":0,"tf_first":1,"tf_last":2,"tf_count":2,"run_number":"100010"}`
	s.must(201, "POST", "/api/tf-slices/", slice)
	s.must(201, "POST", "/api/workers/", `{"worker_id":"w","run_number":1,"panda_job":"7","location":"BNL","status":"active","started_at":"2026-11-23"}`)
	cases := []struct{ path, body, want string }{
		{"fastmon-files", fastmonBody, `{"tf_filename":["fast mon file with this tf filename already exists."]}`},
		{"fastmon-files", `{"stf_file":"nope","tf_filename":"x"}`, `{"stf_file":["Object with stf_filename=nope does not exist."]}`},
		{"fastmon-files", `{"stf_file":[],"tf_filename":"x","status":"lost"}`, `{"status":["\"lost\" is not a valid choice."],"stf_file":["Invalid value."]}`},
		{"fastmon-files", `{}`, `{"stf_file":["This field is required."],"tf_filename":["This field is required."]}`},
		{"tf-slices", slice, `{"non_field_errors":["The fields fastmon_file, slice_id must make a unique set."]}`},
		{"tf-slices", `{"slice_id":0,"tf_first":1,"tf_last":2,"tf_count":2,"run_number":1}`, `{"fastmon_file":["This field is required."]}`},
		{"tf-slices", `{"tf_filename":"g_tf_001_slice_000.tf","slice_id":0,"tf_first":1,"tf_last":2,"tf_count":2,"run_number":1}`, `{"fastmon_file":["Object with tf_filename=g_tf_001.tf does not exist."]}`},
		{"workers", `{"worker_id":"w","run_number":1,"panda_job":"7","location":"BNL","status":"active","started_at":"2026-11-23"}`, `{"worker_id":["worker with this worker id already exists."]}`},
		{"workflows", `{"filename":"x","daq_state":"ended","daq_substate":"x","generated_time":"x","stf_start_time":null}`,
			`{"daq_state":["\"ended\" is not a valid choice."],"daq_substate":["\"x\" is not a valid choice."],"generated_time":["Datetime has wrong format. Use one of these formats instead: YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z]."],"stf_end_time":["This field is required."],"stf_start_time":["This field may not be null."]}`},
		{"workflow-stages", `{"workflow":"7","agent_name":"a","agent_type":"DATA"}`, `{"agent_type":["\"DATA\" is not a valid choice."],"workflow":["“7” is not a valid UUID."]}`},
		{"workflow-stages", `{"workflow":"00000000-0000-4000-8000-000000000000","agent_name":"a","agent_type":"data"}`, `{"workflow":["Invalid pk \"00000000-0000-4000-8000-000000000000\" - object does not exist."]}`},
		{"workflow-messages", `{"message_type":"x"}`, `{"message_content":["This field is required."]}`},
		{"subscribers", `{"subscriber_name":"s","client_ip":"here","delivery_type":"post"}`, `{"client_ip":["Enter a valid IPv4 or IPv6 address."],"delivery_type":["\"post\" is not a valid choice."]}`},
		{"ai-memory/record", `{"username":"ann","session_id":"s","role":"dog"}`, `{"content":["This field is required."],"role":["\"dog\" is not a valid choice."]}`},
	}
	for _, c := range cases {
		r := s.json("POST", "/api/"+c.path+"/", c.body)
		if r.status != 400 || r.body != c.want {
			t.Errorf("POST %s %.100s: %d\n got %s\nwant %s", c.path, c.body, r.status, r.body, c.want)
		}
	}
	workflow := s.must(201, "POST", "/api/workflows/", `{"filename":"w0","daq_state":"run","daq_substate":"physics","generated_time":"2026-11-23T11:00:00","stf_start_time":"2026-11-23T11:00:00","stf_end_time":"2026-11-23T11:00:01"}`)["workflow_id"]
	stage := fmt.Sprintf(`{"workflow":%q,"agent_name":"a","agent_type":"data"}`, workflow)
	s.must(201, "POST", "/api/workflow-stages/", stage)
	s.json("POST", "/api/workflow-stages/", stage).want(t, 400, `{"non_field_errors":["The fields workflow, agent_name, agent_type must make a unique set."]}`)
	for query, want := range map[string]string{
		"tf-slices/?run_number=x":      `{"run_number":["Enter a number."]}`,
		"tf-slices/?fastmon_file_id=7": `{"fastmon_file_id":["Enter a valid UUID."]}`,
		"workers/?run_number=x":        `{"run_number":["Enter a number."]}`,
		"workflow-messages/?since=x":   `{"since":["Enter a valid date/time."]}`,
		"ai-memory/":                   `{"error":"username is required","status":"error"}`,
	} {
		s.json("GET", "/api/"+query, "").want(t, 400, want)
	}
}

// TestSlices: both shapes make the same slice, filters reach over to its files,
// and a result finds a slice that is still open.
func TestSlices(t *testing.T) {
	s := newSite(t, token)
	first := s.pipeline()
	s.must(201, "POST", "/api/stf-files/", `{"run":1,"stf_filename":"f2"}`)
	s.must(201, "POST", "/api/fastmon-files/", `{"stf_file":"f2","tf_filename":"f2_tf_001.tf","tf_count":4}`)
	for _, file := range []string{"f1", "f2"} {
		for n := range 2 {
			body := fmt.Sprintf(`{"slice_id":%d,"tf_first":1,"tf_last":2,"tf_count":2,"tf_filename":"%s_tf_001_slice_%03d.tf","stf_filename":"%s","run_number":"100010","status":"queued","retries":0,"metadata":{"execution_id":"e"}}`, n, file, n, file)
			if got := s.must(201, "POST", "/api/tf-slices/", body); got["fastmon_file"] != file+"_tf_001.tf" || got["id"] == nil {
				t.Fatalf("flat shape: %v", got)
			}
		}
	}
	for query, want := range map[string]int{
		"": 4, "?run_number=100010&slice_id=0": 2, "?run_number=7": 0, "?status=queued": 4, "?id=1": 1,
		"?fastmon_file__tf_filename=f1_tf_001.tf": 2, "?fastmon_file__stf_file__stf_filename=f2": 2,
		"?fastmon_file_id=" + first: 2, "?fastmon_file_id=" + strings.ToUpper(first) + "&slice_id=1": 1,
		"?assigned_worker=w": 0, "?tf_filename=ignored": 4, "?run_number=99999999999999999999": 0,
	} {
		if got := s.list("/api/tf-slices/" + query); len(got) != want {
			t.Errorf("%s: %d slices, want %d", query, len(got), want)
		}
	}
	for range 2 { // as the Python agent books results: on the first that it finds
		found := s.list("/api/tf-slices/?run_number=100010&slice_id=0")[0]
		got := s.must(200, "PATCH", fmt.Sprintf("/api/tf-slices/%v/", found["id"]), `{"status":"completed","processed_at":"2026-11-23T12:00:00","metadata":{"state":"done"}}`)
		if got["completed_at"] != "2026-11-23T12:00:00.000000Z" {
			t.Errorf("completed: %v", got)
		}
	}
	if got := s.list("/api/tf-slices/?status=completed"); len(got) != 2 {
		t.Errorf("completed: %v", got)
	}
	// Deleting the run deletes its files, their samples and slices.
	s.json("DELETE", "/api/runs/1/", "").want(t, 204, "")
	if got := s.list("/api/tf-slices/"); len(got) != 0 {
		t.Errorf("slices of no run: %v", got)
	}
}

// TestFastMonFiles: filters, and the page that a limit makes.
func TestFastMonFiles(t *testing.T) {
	s := newSite(t, token)
	id := s.pipeline()
	s.clock.Advance(1e9)
	s.must(201, "POST", "/api/fastmon-files/", `{"stf_file":"f1","tf_filename":"g","status":"done"}`)
	for query, want := range map[string]int{"": 2, "?tf_filename=g": 1, "?stf_filename=f1": 2, "?stf_filename=x": 0, "?status=done": 1} {
		if got := s.list("/api/fastmon-files/" + query); len(got) != want {
			t.Errorf("%s: %d files, want %d", query, len(got), want)
		}
	}
	page := s.must(200, "GET", "/api/fastmon-files/?limit=1", "")
	if page["count"] != 2.0 || page["next"] != s.url+"/api/fastmon-files/?limit=1&offset=1" || page["previous"] != nil {
		t.Errorf("page: %v", page)
	}
	if got := s.must(200, "PATCH", "/api/fastmon-files/"+id+"/", `{"status":"processed"}`); got["status"] != "processed" {
		t.Errorf("PATCH: %v", got)
	}
}

// TestListExtensions: what our own clients may ask of bare lists.
func TestListExtensions(t *testing.T) {
	s := newSite(t, token)
	for n := range 5 {
		s.clock.Advance(1e9)
		s.must(201, "POST", "/api/workflow-messages/", fmt.Sprintf(`{"message_type":"t%d","execution_id":"e","message_content":{}}`, n%2))
		level := 20 + 10*(n%3)
		s.must(201, "POST", "/api/logs/", fmt.Sprintf(`{"app_name":"a","instance_name":"i","timestamp":"2026-11-23T12:00:0%d","level":%d,"levelname":"L","message":"100%% of N%d_","module":"m","funcname":"f","lineno":1,"process":1,"thread":1,"extra_data":{"x": 1, "execution_id": "e-%d"}}`, n, level, n, n%2))
	}
	r := s.json("GET", "/api/workflow-messages/?limit=2&offset=1", "")
	if r.header.Get("X-Total-Count") != "5" || r.header.Get("Link") != "<"+s.url+`/api/workflow-messages/?limit=2&offset=3>; rel="next"` {
		t.Errorf("page: %v", r.header)
	}
	if got := s.list("/api/workflow-messages/?execution_id=e"); got[0]["sent_at"].(string) > got[4]["sent_at"].(string) {
		t.Errorf("of an execution, not oldest first: %v", got)
	}
	if got := s.list("/api/workflow-messages/"); got[0]["sent_at"].(string) < got[4]["sent_at"].(string) {
		t.Errorf("not newest first: %v", got)
	}
	for query, want := range map[string]int{
		"workflow-messages/?message_type=t0": 3, "workflow-messages/?since=2026-11-23T12:00:03Z": 3,
		"workflow-messages/?before=2026-11-23T12:00:03": 2, "workflow-messages/?execution_id=none&limit=3": 0,
		"logs/?level_min=30": 3, "logs/?execution_id=e-1": 2, "logs/?execution_id=e": 0, "logs/?search=n3_": 1,
		"logs/?search=%25": 5, "logs/?search=N_": 0, "logs/?search=%00": 0, "logs/?limit=3": 3, "logs/?limit=x": 5, "logs/?limit=-1": 5,
	} {
		if got := s.list("/api/" + query); len(got) != want {
			t.Errorf("%s: %d, want %d", query, len(got), want)
		}
	}
}

// TestAIMemory: dialogues come back oldest first, the newest turns only.
func TestAIMemory(t *testing.T) {
	s := newSite(t, token)
	s.send("GET", "/api/ai-memory/?username=ann", "", "", "").want(t, 200, `{"count":0,"items":[]}`)
	for n := range 4 {
		role := []string{"user", "assistant"}[n%2]
		body := fmt.Sprintf(`{"username":"ann","session_id":"s","role":%q,"content":"c%d","namespace":"n%d","project_path":null}`, role, n, n/2)
		s.send("POST", "/api/ai-memory/record/", "", "application/json", body).want(t, 200, fmt.Sprintf(`{"id":%d,"status":"success"}`, n+1))
	}
	s.send("GET", "/api/ai-memory/?username=ann&turns=1", "", "", "").want(t, 200, `{"count":2,"items":[`+
		`{"content":"c2","created_at":"2026-11-23T12:00:00.000000Z","post_id":null,"role":"user","root_id":null,"session_id":"s"},`+
		`{"content":"c3","created_at":"2026-11-23T12:00:00.000000Z","post_id":null,"role":"assistant","root_id":null,"session_id":"s"}]}`)
	if got := s.must(200, "GET", "/api/ai-memory/?username=ann&namespace=n0", ""); got["count"] != 2.0 {
		t.Errorf("by namespace: %v", got)
	}
	s.send("PUT", "/api/ai-memory/", "", "", "").want(t, 405, `{"detail":"Method \"PUT\" not allowed."}`)
}
