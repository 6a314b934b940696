package manager

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/epic-swf/testbed/supervisor"
	"github.com/epic-swf/testbed/swf"
)

// Stopped is what a stop saw.
type Stopped struct {
	Programs  []swf.Program // in their last states
	Active    int           // how many had to be stopped
	Killed    bool          // supervisord did not answer, so nobody counted
	Namespace string
	Config    string
}

// StoppedMessage says what a stop that succeeded did.
func StoppedMessage(s Stopped) string {
	if s.Killed {
		return "supervisord did not answer; it and its programs were ended by force"
	}
	if s.Active == 0 {
		return "No agents running"
	}
	return fmt.Sprintf("%d programs stopped and supervisord has shut down", s.Active)
}

// Stop stops every program, waits until none is active, and shuts supervisord
// down. When it returns without an error no process of the testbed is left.
// Stopping what does not run succeeds.
func (t *Testbed) Stop(ctx context.Context, progress Progress) (Stopped, error) {
	if progress == nil {
		progress = func(string, []swf.Program) {}
	}
	d, err := t.daemon()
	if err != nil {
		return Stopped{}, err
	}
	lock, err := t.waitLock(ctx, d)
	if err != nil {
		return Stopped{}, err
	}
	defer lock.Unlock()
	t.at(AtStopping)
	namespace, config := t.Current()
	s, err := t.takeDown(ctx, d, progress)
	s.Namespace, s.Config = namespace, config
	return s, err
}

// takeDown ends all programs, supervisord and whatever it may have left.
func (t *Testbed) takeDown(ctx context.Context, d *supervisor.Daemon, progress Progress) (Stopped, error) {
	var s Stopped
	processes, err := d.StopPrograms(ctx, func(now []supervisor.Process) {
		programs := t.programs(now, nil)
		if n := len(activeNames(programs)); n > 0 {
			s.Active = max(s.Active, n)
			progress(fmt.Sprintf("stopping, %d programs still active", n), programs)
		}
	})
	if s.Killed = errors.Is(err, supervisor.ErrHung); !s.Killed { // what it said before is no more true
		s.Programs = t.programs(processes, nil)
	}
	// One that does not run or does not answer is for Shutdown to deal with.
	if err != nil && !errors.Is(err, supervisor.ErrNotRunning) && !s.Killed {
		return s, supervisorFailed("the programs could not be stopped", err)
	}
	t.at(AtStopped)
	return s, t.shutDown(ctx, d)
}

// shutDown ends supervisord, by force where it hangs, and whatever it leaves.
func (t *Testbed) shutDown(ctx context.Context, d *supervisor.Daemon) error {
	if err := d.Shutdown(ctx); err != nil {
		return supervisorFailed("supervisord could not be shut down", err)
	}
	t.at(AtDown)
	if err := os.Remove(t.startedPath); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	t.at(AtUnnoted)
	return nil
}

// execLockPath is the lock of whoever changes this supervisord, manager or
// CLI: beside its socket, so that two folders with one socket share it.
func (t *Testbed) execLockPath(d *supervisor.Daemon) string { return t.besideSocket(d, "exec.lock") }

// LifeLockPath is the lock that a manager of this testbed holds while it lives.
func (t *Testbed) LifeLockPath() (string, error) {
	d, err := t.daemon()
	if err != nil {
		return "", err
	}
	return t.besideSocket(d, "manager.lock"), nil
}

func (t *Testbed) besideSocket(d *supervisor.Daemon, name string) string {
	if socket := d.Conf().Socket; socket != "" {
		return socket + "." + name
	}
	return filepath.Join(t.o.Paths.State, name) // an inet supervisord has no folder
}
