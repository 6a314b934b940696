package faults

import (
	"fmt"
	"os"
	"strings"
	"sync"
)

// rows are the counts of all tests of this run, for the report.
var rows struct {
	mu    sync.Mutex
	lines []string
}

func record(row string, c *counts) {
	rows.mu.Lock()
	defer rows.mu.Unlock()
	rows.lines = append(rows.lines, fmt.Sprintf("| %s | %s | %d | %d | %d | %d | %d | %d | %d | %d | %d | %d | %s |",
		row, c.Broker, c.Seed, c.Commands, c.Starts, c.Faults, c.Lost, c.Doubled, c.Late, c.False, c.Unequal, c.Pending, c.Linear))
}

const reportHead = `# What was counted under faults

Written by ` + "`make faults`" + ` and ` + "`make faults-long`" + `; not edited by hand. Each row is a test of ` + "`test/faults`" + ` over one broker and the real supervisord.
*Real starts* are lines that programs wrote themselves; *lost* is accepted without an outcome, *doubled* a second effect of one command, *late* an effect
after its expiry, *false* a success that was not so, *contradicted* two outcomes of one id. Each of these five must be 0. *Pending* is how many clients
were told "pending" and later the truth.

| fault | broker | seed | commands | real starts | faults | lost | doubled | late | false | contradicted | pending | order |
|---|---|---|---|---|---|---|---|---|---|---|---|---|
`

// writeReport writes the table where -report says.
func writeReport() error {
	if *report == "" || len(rows.lines) == 0 {
		return nil
	}
	return os.WriteFile(*report, []byte(reportHead+strings.Join(rows.lines, "\n")+"\n"), 0o644)
}
