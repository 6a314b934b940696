package cli_test

import (
	"os"
	"testing"

	"github.com/epic-swf/testbed/cli"
	"github.com/epic-swf/testbed/cli/testbed"
)

func TestMain(m *testing.M) {
	cli.TestLinked = testbed.Linked()
	os.Exit(m.Run())
}
