package swf

import (
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	t.Parallel()
	names := []string{"start_user_testbed", "stop_user_testbed", "get_testbed_status", "list_logs"}
	for name, want := range map[string]string{
		"start_testbed":          "start_user_testbed",
		"STOP_USER_TESTBED":      "stop_user_testbed",
		"swf_get_testbed_status": "get_testbed_status",
		"list_log":               "list_logs",
		"shell":                  "",
		"":                       "",
		strings.Repeat("x", 500): "",
	} {
		if got := Nearest(name, names); got != want {
			t.Errorf("%.40q: %q, want %q", name, got, want)
		}
	}
	if Nearest("anything", nil) != "" {
		t.Error("there is nothing to be near to")
	}
}
