package e2e

import (
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/epic-swf/testbed/test/brokers"
)

// brokerVariable names the broker that a script's services have: classic,
// artemis, or the embedded one where it is empty.
const brokerVariable = "E2E_BROKER"

// TestScriptsOverRealBrokers runs the scripts in which most goes through the
// broker over both real ones, with deploy/'s configuration: commands and their
// answers by queues, the workflow's broadcasts by a topic, each for a user who
// may do no more than deploy/ allows.
func TestScriptsOverRealBrokers(t *testing.T) {
	needSupervisord(t)
	for _, name := range []string{"classic", "artemis"} {
		t.Run(name, func(t *testing.T) {
			p := scripts(t)
			p.Dir, p.Files = "", []string{"testdata/manager.txtar", "testdata/namespaces.txtar"}
			p.Setup = func(env *testscript.Env) error {
				env.Setenv(brokerVariable, name)
				return setup(env)
			}
			testscript.Run(t, p)
		})
	}
}

// realBroker starts the broker that the script is run over and gives the
// script's user a login there. It answers the address, or "" for the embedded
// one.
func realBroker(ts *testscript.TestScript) string {
	kinds := map[string]func(string, ...string) (*brokers.Server, error){"classic": brokers.NewClassic, "artemis": brokers.NewArtemis}
	make, ok := kinds[ts.Getenv(brokerVariable)]
	if !ok {
		return ""
	}
	me := ts.Getenv("ME")
	s, err := make(filepath.Join(ts.Getenv("WORK"), "broker"), me)
	ts.Check(err)
	ts.Defer(func() { s.Kill(nil) })
	ts.Check(s.Run())
	ts.Setenv("ACTIVEMQ_USER", me)
	ts.Setenv("ACTIVEMQ_PASSWORD", brokers.Passcode(me))
	return s.Addr()
}
