package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/epic-swf/testbed/swf"
)

// Ending is how an execution ended, as its runner knows it. It stands beside
// the claim before anybody is told, so that whoever finds it after the runner
// has died, the next runner or the manager, tells the truth and no guess.
type Ending struct {
	Status  string          `json:"status"` // a terminal one of swf's
	EndTime time.Time       `json:"end_time"`
	Metrics json.RawMessage `json:"performance_metrics,omitempty"` // an object
}

// Lost is the ending of an execution of which nobody knows how it ended.
func Lost(reason string, at time.Time) Ending {
	metrics, _ := json.Marshal(map[string]string{"reason": reason}) // it holds nothing that JSON cannot
	return Ending{Status: swf.ExecutionLost, EndTime: at, Metrics: metrics}
}

// Fields are those of a PATCH of the execution in the monitor.
func (e Ending) Fields() map[string]any {
	fields := map[string]any{"status": e.Status, "end_time": swf.At(e.EndTime)}
	if len(e.Metrics) > 0 {
		fields["performance_metrics"] = e.Metrics
	}
	return fields
}

// endingSuffix has a character that no command id has.
const endingSuffix = "+ending"

// Conclude writes down how the execution of this claim ended; it is on disk
// when Conclude returns. A second ending replaces the first.
func (r Runs) Conclude(commandID string, e Ending) error {
	if err := swf.CheckName(swf.KindCommandID, commandID); err != nil {
		return err
	}
	tmp, err := r.write(e)
	if err != nil {
		return fmt.Errorf("write ending: %w", err)
	}
	defer os.Remove(tmp)
	if err := os.Rename(tmp, r.path(commandID)+endingSuffix); err != nil {
		return fmt.Errorf("write ending: %w", err)
	}
	return syncDir(r.Dir)
}

// Ended reports whether somebody has told the end of this claim's execution.
func (r Runs) Ended(commandID string) bool {
	_, err := os.Stat(r.path(commandID) + endedSuffix)
	return err == nil
}

// ending returns what Conclude wrote, or nil.
func (r Runs) ending(commandID string) (*Ending, error) {
	b, err := os.ReadFile(r.path(commandID) + endingSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	e := &Ending{}
	if err := json.Unmarshal(b, e); err != nil {
		return nil, fmt.Errorf("ending of %s: %w", commandID, err)
	}
	return e, nil
}

// write puts v into a new file of the folder, to be linked or renamed, and
// returns its path. What it holds is on disk.
func (r Runs) write(v any) (path string, err error) {
	body, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(r.Dir, 0o700); err != nil {
		return "", err
	}
	tmp, err := os.CreateTemp(r.Dir, ".claim-")
	if err != nil {
		return "", err
	}
	_, err = tmp.Write(body)
	if err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		os.Remove(tmp.Name())
		return "", err
	}
	return tmp.Name(), nil
}

func (r Runs) path(commandID string) string { return filepath.Join(r.Dir, commandID) }

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
