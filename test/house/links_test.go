package house

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestLinks keeps the daemons small: what a program links makes itself ready in
// each process, used or not, and its pages are read in beside those of what is
// used. One import in the wrong room brings all of it back.
func TestLinks(t *testing.T) {
	anywhere := []string{"google.golang.org/grpc", "go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"}
	inDaemons := append([]string{"modernc.org/sqlite", "github.com/jackc/pgx/v5", "github.com/pressly/goose/v3", "github.com/spf13/cobra/doc",
		module + "/monitor/store", module + "/monitor/dashboard"}, anywhere...)
	for program, banned := range map[string][]string{"testbed": anywhere, "swf-mcp": inDaemons, "agent-manager": inDaemons, "swf-agent": inDaemons} {
		list := exec.Command("go", "list", "-deps", "./cmd/"+program)
		list.Dir = root
		out, err := list.Output()
		if err != nil {
			t.Fatal(err)
		}
		linked := strings.Fields(string(out))
		for _, pkg := range banned {
			if slices.Contains(linked, pkg) {
				t.Errorf("%s links %s: find by which import with go list -deps, and take that to cli/testbed", program, pkg)
			}
		}
	}
}
