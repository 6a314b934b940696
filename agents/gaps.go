package agents

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/epic-swf/testbed/monitor"
	"github.com/epic-swf/testbed/swf"
)

// mostMissed is how many files in a row are made up for.
const mostMissed = 1000

// missedFiles returns an stf_gen for each file between the last one known of
// the run and number next: sequence numbers have no gaps, so somebody made
// those files while this agent was not there, or while the broker was not. Their
// names follow from that of m, of which they are otherwise copies.
func (d *Data) missedFiles(ctx context.Context, run string, number int64, m swf.Message, next int) []swf.Message {
	last, known := d.last[run]
	if !known {
		last = d.lastKnown(ctx, number, next-1)
	}
	d.last[run] = max(last, next-1)
	sequence, name := whole(m, "sequence"), text(m, "filename")
	if mark := fmt.Sprintf(".%06d.", sequence); sequence < 1 || strings.Count(name, mark) != 1 || next-last > mostMissed {
		return nil
	}
	var out []swf.Message
	for n := last + 1; n < next; n++ {
		out = append(out, m.With(swf.Message{
			"msg_type": swf.MsgSTFGen, "sequence": float64(n), "simulation_tick": nil,
			"filename": strings.Replace(name, fmt.Sprintf(".%06d.", sequence), fmt.Sprintf(".%06d.", n), 1),
		}))
	}
	if len(out) > 0 {
		d.base.Log().Warn("files of the run were made that nobody told of; they are announced now", "run_id", run, "files", len(out))
	}
	return out
}

// lastKnown is the highest sequence number that the monitor has of a run that
// began before this agent, or otherwise if it does not say.
func (d *Data) lastKnown(ctx context.Context, number int64, otherwise int) int {
	ctx, cancel := context.WithTimeout(ctx, registering)
	defer cancel()
	files, err := d.base.o.Monitor.STFFiles(ctx, monitor.FileFilter{RunNumber: number, Limit: filePage})
	if err != nil {
		return otherwise
	}
	last := 0
	for _, f := range files {
		var meta struct {
			Sequence int `json:"sequence"`
		}
		if json.Unmarshal(f.Metadata, &meta) == nil {
			last = max(last, meta.Sequence)
		}
	}
	return last
}

func whole(m swf.Message, key string) int {
	if f, ok := m[key].(float64); ok && f >= 1 && f <= 1e9 && f == float64(int(f)) {
		return int(f)
	}
	return 0
}
