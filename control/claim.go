package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/epic-swf/testbed/swf"
)

// Claim is the commit point of a run_workflow (design, rule 9): one file per
// command id in the user's runs folder. The runner claims the command with an
// execution id before any effect; the manager claims it as withdrawn to give
// up. The first link wins, for ever.
type Claim struct {
	CommandID   string    `json:"command_id"`
	ExecutionID string    `json:"execution_id,omitempty"`
	Workflow    string    `json:"workflow,omitempty"`
	Namespace   string    `json:"namespace,omitempty"`
	Withdrawn   string    `json:"withdrawn,omitempty"` // why, when the manager won
	At          time.Time `json:"at"`

	Ending *Ending `json:"-"` // as Open found it; nil: the runner did not get to writing one
}

// Runs is the folder of claims. Safe for use by several processes.
type Runs struct{ Dir string }

// endedSuffix has a character that no command id has.
const endedSuffix = "+ended"

// Claim tries to make c the claim of its command. It returns the claim that
// stands and whether it is c.
func (r Runs) Claim(c Claim) (Claim, bool, error) {
	if err := swf.CheckName(swf.KindCommandID, c.CommandID); err != nil {
		return Claim{}, false, err
	}
	tmp, err := r.write(c)
	if err != nil {
		return Claim{}, false, fmt.Errorf("write claim: %w", err)
	}
	defer os.Remove(tmp)
	switch err := os.Link(tmp, r.path(c.CommandID)); {
	case err == nil:
		return c, true, syncDir(r.Dir)
	case errors.Is(err, fs.ErrExist):
		won, err := r.Read(c.CommandID)
		return won, false, err
	default:
		return Claim{}, false, fmt.Errorf("link claim: %w", err)
	}
}

// Read returns the claim of a command, or an error that is fs.ErrNotExist.
func (r Runs) Read(commandID string) (Claim, error) {
	b, err := os.ReadFile(r.path(commandID))
	if err != nil {
		return Claim{}, err
	}
	var c Claim
	if err := json.Unmarshal(b, &c); err != nil {
		return Claim{}, fmt.Errorf("claim %s: %w", commandID, err)
	}
	return c, nil
}

// End notes that the execution of this claim has told its terminal status.
func (r Runs) End(commandID string) error {
	f, err := os.OpenFile(r.path(commandID)+endedSuffix, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// Open returns the claims with an execution whose end was not noted, with the
// ending where there is one.
func (r Runs) Open() ([]Claim, error) {
	entries, err := os.ReadDir(r.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	ended := make(map[string]bool)
	for _, e := range entries {
		if id, ok := strings.CutSuffix(e.Name(), endedSuffix); ok {
			ended[id] = true
		}
	}
	var open []Claim
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") || strings.Contains(e.Name(), "+") || ended[e.Name()] {
			continue
		}
		c, err := r.Read(e.Name())
		if err != nil {
			return nil, err
		}
		if c.ExecutionID == "" {
			continue
		}
		if c.Ending, err = r.ending(c.CommandID); err != nil {
			return nil, err
		}
		open = append(open, c)
	}
	return open, nil
}

// Sweep removes everything that was written before that time; callers choose
// one that no running execution can reach back to.
func (r Runs) Sweep(before time.Time) error {
	entries, err := os.ReadDir(r.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || info.ModTime().After(before) {
			continue
		}
		if err := os.Remove(filepath.Join(r.Dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
