package cli

import (
	"log/slog"

	"github.com/epic-swf/testbed/audit"
)

// trail is the audit trail of a part of this place. Its file stays open as
// long as the process lives.
func (p *place) trail(part string, log *slog.Logger) *audit.Trail {
	return audit.New(part, audit.OpenFile(p.paths.Audit(part), audit.FileOptions{}), log)
}
