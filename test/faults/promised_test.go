package faults

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// promised tells for each interleaving that is promised which test shows it. A
// name with a blank is a row of this package.
var promised = map[string][]string{
	"start's SEND lost, stop succeeds, the start's copy arrives":           {"a start's copy that comes after a stop", "TestStopOvertakesAStart"},
	"a start accepted in time that lasts completes":                        {"a start begun in time that lasts past its expiry"},
	"one that waited past its expiry is expired":                           {"a start accepted in time that waits past its expiry", "TestAcceptedStartThatExpiredMeanwhile"},
	"same key, new times, another server replica":                          {"one key, new times, two servers"},
	"clock_skew, then a copy":                                              {"the manager's clock 70 s off", "manager killed while it refuses"},
	"a forged twin of an id first, the true one next":                      {"TestAttack20ForgeriesLeaveNoTrace"},
	"broker's clock 5 min off":                                             {"the broker's clock 5 minutes off"},
	"lookup after expiry, then the late copy":                              {"looked up after expiry, then the late copy"},
	"journal wiped within the TTL, redelivery":                             {"journal wiped while commands are young"},
	"kill -9 between begun and acting with a CLI-started testbed up":       {"manager killed before it acts beside a testbed of the CLI"},
	"kill -9 between the last RUNNING and the outcome":                     {"manager killed at each point of a start it undoes"},
	"stop begun, killed, the user starts by CLI, manager back":             {"stop begun, manager killed, another testbed started by hand"},
	"stop with a start pending in a supervisord that is stopped (SIGSTOP)": {"stop while a start waits for a supervisord that is stopped (SIGSTOP)"},
	"a lost stop signal":                                                   {"TestStopSignalsAgain", "TestStopRightAfterStart"},
	"manager SIGSTOPped in mid-start, testbed stop-agents":                 {"manager stopped (SIGSTOP) in mid-start, then testbed stop-agents", "TestStopKillsAPausedHolder"},
	"a CLI killed in the instant of spawning supervisord, then a stop":     {"TestHalfBorn"},
	"runner killed before and after the link":                              {"runner killed before and after the link"},
	"manager withdraws against the runner's link":                          {"TestWithdrawAgainstLink", "manager killed as it withdraws a run"},
	"a run message left over from an earlier start":                        {"TestOnlyTheKeyOfThisStartIsObeyed"},
	"a reply replayed as a command":                                        {"TestAttack20ForgeriesLeaveNoTrace"},
	"Ann's key on Bob's outcome":                                           {"TestAttack23ForgedOutcome"},
	"rotation under load":                                                  {"TestRotationUnderLoad"},
	"two managers started at once":                                         {"TestTwoManagersStartedAtOnce"},
	"partition, then heal":                                                 {"TestPartitionHeals"},
	"an old OK heartbeat after EXITED":                                     {"TestLateHeartbeat"},
	"two folders, one socket":                                              {"TestTwoFoldersOneSocket"},
	"emoji, U+2028, NUL in log tails, 100 programs with full tails":        {"100 programs with the end of their logs, emoji, U+2028 and NUL"},
	"Python commands: a naive stamp, live; queued before the subscription": {"TestPythonSenders"},
	"Python commands over a restart of the broker":                         {"TestPythonSendersOverABrokerRestart"},
	"restart delivered three times":                                        {"restart delivered three times"},
	"disk full, read-only":                                                 {"disk full", "journal on a read-only disk"},
}

// TestPromisedInterleavings: what is said to be shown by a test is.
func TestPromisedInterleavings(t *testing.T) {
	root := filepath.Join("..", "..")
	var tests strings.Builder
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != root:
			return filepath.SkipDir
		case !strings.HasSuffix(path, "_test.go") || d.Name() == "promised_test.go":
			return nil
		}
		b, err := os.ReadFile(path)
		tests.Write(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for line, names := range promised {
		for _, name := range names {
			want := "func " + name + "("
			if strings.Contains(name, " ") {
				want = `"` + name + `"`
			}
			if !strings.Contains(tests.String(), want) {
				t.Errorf("%s: there is no test %q", line, name)
			}
		}
	}
}
