package supervisor

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// maxSocketPath is the longest socket path in bytes: supervisord binds
// PATH.PID first, and the kernel takes 107 with pids of up to 7 digits.
const maxSocketPath = 99

// Check says what would keep a supervisord from coming up with this file or
// from being ours, before one is spawned. Errors are *ConfError.
func (c *Conf) Check() error {
	if c.NoDaemon {
		return &ConfError{Path: c.Path,
			Problem: "nodaemon=true keeps supervisord in the foreground; remove it, here supervisord must outlive who started it"}
	}
	if !c.RPC {
		return &ConfError{Path: c.Path,
			Problem: "has no [rpcinterface:supervisor] section, so the supervisord could not be spoken to"}
	}
	if c.OpenPort {
		return &ConfError{Path: c.Path, Err: ErrForbidden,
			Problem: "[inet_http_server] asks for no password, so that everybody who reaches its port can run programs as you; give it a username and a password, or remove it"}
	}
	if c.Socket == "" {
		return nil
	}
	if len(c.Socket) > maxSocketPath {
		return &ConfError{Path: c.Path, Problem: fmt.Sprintf(
			"socket path of %d bytes, at most %d are possible: %s", len(c.Socket), maxSocketPath, c.Socket)}
	}
	if err := c.checkFolder(); err != nil {
		return err
	}
	return c.checkSocket()
}

// checkFolder refuses a folder in which anybody could replace the socket.
func (c *Conf) checkFolder() error {
	dir := filepath.Dir(c.Socket)
	st, err := os.Stat(dir)
	if err != nil {
		return &ConfError{Path: c.Path, Problem: "folder of the socket " + c.Socket + ": " + reason(err)}
	}
	if !st.IsDir() {
		return &ConfError{Path: c.Path, Problem: "folder of the socket " + c.Socket + " is not a folder"}
	}
	if st.Mode().Perm()&0o002 != 0 && st.Mode()&fs.ModeSticky == 0 {
		return &ConfError{Path: c.Path, Err: ErrForbidden, Problem: "the socket " + c.Socket +
			" would stand in a folder where anybody can replace it; take a folder of your own"}
	}
	return nil
}

// inPublic: the socket's folder is such as /tmp.
func (c *Conf) inPublic() bool {
	if c.Socket == "" {
		return false
	}
	st, err := os.Stat(filepath.Dir(c.Socket))
	return err == nil && st.Mode().Perm()&0o002 != 0
}

// checkSocket refuses what stands in the socket's place and is not ours. A
// missing socket is fine.
func (c *Conf) checkSocket() error {
	_, err := c.hasSocket()
	return err
}

// hasSocket is checkSocket that also tells whether something may listen: a
// socket is there, or supervisord has a port instead of one.
func (c *Conf) hasSocket() (bool, error) {
	if c.Socket == "" {
		return true, nil
	}
	st, err := os.Lstat(c.Socket)
	if err != nil {
		if os.IsNotExist(err) {
			return false, nil
		}
		return false, &ConfError{Path: c.Path, Problem: "socket " + c.Socket + ": " + reason(err), Err: err}
	}
	if st.Mode().Type() != fs.ModeSocket {
		return false, &ConfError{Path: c.Path, Problem: c.Socket + " is in the way and is not a socket"}
	}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok && int(sys.Uid) != os.Geteuid() {
		return false, &ConfError{Path: c.Path, Err: ErrForbidden,
			Problem: fmt.Sprintf("socket %s belongs to another user (uid %d)", c.Socket, sys.Uid)}
	}
	return true, nil
}

// removeStale unlinks the socket of a supervisord that is no more. To be called
// only when connecting was refused.
func (c *Conf) removeStale() error {
	if c.Socket == "" {
		return nil
	}
	if err := c.checkSocket(); err != nil {
		return err
	}
	if err := os.Remove(c.Socket); err != nil && !os.IsNotExist(err) {
		return &ConfError{Path: c.Path, Problem: "stale socket " + c.Socket + ": " + reason(err), Err: err}
	}
	return nil
}

// makeLogDirs makes the folders without which supervisord exits.
func (c *Conf) makeLogDirs() error {
	for _, dir := range c.logDirs {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return &ConfError{Path: c.Path, Problem: "folder for logs " + dir + ": " + reason(err), Err: err}
		}
	}
	return nil
}
