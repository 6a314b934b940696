package api_test

import (
	"fmt"
	"strings"
	"testing"
)

// TestLists holds what our own clients may do beyond the contract.
func TestLists(t *testing.T) {
	s := newSite(t, token)
	s.pipeline()
	slice := func(number int) string {
		return fmt.Sprintf(`{"fastmon_file":"f1_tf_001.tf","slice_id":%d,"tf_first":1,"tf_last":2,"tf_count":2,"run_number":"100010"}`, number)
	}
	made := s.json("POST", "/api/tf-slices/", "["+slice(2)+","+slice(0)+","+slice(1)+"]")
	if at := strings.Index(made.body, `"slice_id":0`); made.status != 201 || !strings.HasPrefix(made.body, `[{"id":`) ||
		at < strings.Index(made.body, `"slice_id":2`) || at > strings.Index(made.body, `"slice_id":1,`) {
		t.Fatalf("%d %s", made.status, made.body)
	}
	id := func(number int) int {
		return int(s.list(fmt.Sprintf("/api/tf-slices/?slice_id=%d", number))[0]["id"].(float64))
	}
	s.json("PATCH", "/api/tf-slices/", fmt.Sprintf(`[{"id":%d,"status":"completed"},{"id":"%d","status":"failed","unknown":1}]`, id(0), id(1))).want(t, 200, `{"updated":2}`)
	if got := s.list("/api/tf-slices/?status=completed"); len(got) != 1 || got[0]["completed_at"] == nil {
		t.Errorf("completed %v", got)
	}
	const event = `{"timestamp":"2026-11-23T12:00:00","run_number":1,"event_type":"slice_result","state":"running"}`
	if r := s.json("POST", "/api/system-state-events/", "["+event+","+event+"]"); r.status != 201 || len(s.list("/api/system-state-events/")) != 2 {
		t.Errorf("events: %d %s", r.status, r.body)
	}
	s.json("POST", "/api/tf-slices/", "[]").want(t, 201, "[]")

	const dictionary = `{"non_field_errors":["Invalid data. Expected a dictionary, but got list."]}`
	for _, c := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"POST", "tf-slices", "[" + slice(7) + "," + slice(2) + "]", 400, `{"non_field_errors":["The fields fastmon_file, slice_id must make a unique set."]}`},
		{"POST", "tf-slices", "[" + slice(7) + `,{"fastmon_file":"f1_tf_001.tf","slice_id":8,"tf_first":1,"tf_last":2,"tf_count":2}]`, 400, `{"run_number":["This field is required."]}`},
		{"POST", "tf-slices", "[" + slice(7) + "," + strings.Replace(slice(8), "f1", "f2", 1) + "]", 400, `{"fastmon_file":["Object with tf_filename=f2_tf_001.tf does not exist."]}`},
		{"POST", "tf-slices", "[" + slice(7) + ",7]", 400, `{"non_field_errors":["Invalid data. Expected a dictionary, but got int."]}`},
		{"POST", "tf-slices", "[" + strings.TrimSuffix(strings.Repeat("{},", 1001), ",") + "]", 400, `{"non_field_errors":["At most 1000 records make a list."]}`},
		{"PATCH", "tf-slices", fmt.Sprintf(`[{"id":%d,"status":"queued"},{"id":999,"status":"queued"}]`, id(0)), 404, `{"detail":"No TFSlice matches the given query."}`},
		{"PATCH", "tf-slices", `[{"status":"queued"}]`, 400, `{"id":["This field is required."]}`},
		{"PATCH", "tf-slices", `{"status":"queued"}`, 400, `{"non_field_errors":["Invalid data. Expected a list."]}`},
		{"POST", "runs", "[{}]", 400, dictionary},
		{"POST", "stf-files", "[{}]", 400, dictionary},
	} {
		s.json(c.method, "/api/"+c.path+"/", c.body).want(t, c.status, c.want)
	}
	if got := s.list("/api/tf-slices/"); len(got) != 3 || s.list("/api/tf-slices/?slice_id=0")[0]["status"] != "completed" {
		t.Errorf("a list with a fault has left %v", got)
	}
	if r := s.json("PATCH", "/api/runs/", "[]"); r.status != 405 {
		t.Errorf("PATCH of runs: %d", r.status)
	}
}
