package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/manager"
	"github.com/epic-swf/testbed/supervisor"
)

// hungAfter is how long a manager may take to accept a stop. It journals a
// stop at once, so one that is silent for so long is paused or broken, and its
// lock would keep everybody from stopping the agents.
const hungAfter = 10 * time.Second

var errHung = errors.New("the agent manager does not answer")

// stop has the manager on this host stop the testbed. A manager that does not
// even accept is killed, which is the only fence against one that is paused
// (design, rule 14), and the stop is done here.
func (p *place) stop(ctx context.Context, c control.Command) (control.Reply, error) {
	socket, err := manager.LocalSocket(p.paths)
	if err != nil {
		return control.Reply{}, err
	}
	asking, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	hung := time.AfterFunc(hungAfter, func() { cancel(errHung) })
	defer hung.Stop()
	r, err := manager.AskLocal(asking, socket, c, func(r control.Reply) {
		hung.Stop()
		if r.Kind == control.Progress {
			p.say(r.Message, r.Programs)
		}
	})
	switch {
	case errors.Is(context.Cause(asking), errHung):
		if err := p.killManager(ctx, socket); err != nil {
			return r, err
		}
	case err == nil:
		return r, nil
	case !isNoManager(err):
		return r, err
	}
	return p.stopHere(ctx, p.testbed(p.app.log()), c), nil
}

func (p *place) killManager(ctx context.Context, socket string) error {
	m, err := holdListener(socket)
	if err != nil {
		return err
	}
	defer m.close()
	fmt.Fprintf(p.app.err, "the agent manager (pid %d) did not answer for %s and is killed; start it again afterwards: testbed agent-manager\n", m.pid, hungAfter)
	if err := m.signal(unix.SIGKILL); err != nil {
		return err
	}
	return m.wait(ctx)
}

// listener is the process behind a unix socket, held so that no other can be
// taken for it.
type listener struct{ pid, fd int }

// holdListener finds the process that listens at a socket, as the kernel says.
// Between asking and holding it may have gone and its pid be another's, so it
// asks again.
func holdListener(socket string) (*listener, error) {
	pid, err := listenerPID(socket)
	if err != nil {
		return nil, noManagerHere()
	}
	fd, err := supervisor.OpenPidfd(pid)
	if err != nil {
		return nil, noManagerHere()
	}
	if again, err := listenerPID(socket); err != nil || again != pid {
		unix.Close(fd)
		return nil, noManagerHere()
	}
	return &listener{pid, fd}, nil
}

func (l *listener) close() { unix.Close(l.fd) }

func (l *listener) signal(s unix.Signal) error { return supervisor.SignalPidfd(l.fd, s) }

// wait returns when the process has ended.
func (l *listener) wait(ctx context.Context) error {
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(l.fd), Events: unix.POLLIN}}, 200)
		if n > 0 {
			return nil
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

func listenerPID(socket string) (int, error) {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0, err
	}
	var pid int
	var peerErr error
	if err := raw.Control(func(fd uintptr) { pid, peerErr = supervisor.PeerPID(int(fd)) }); err != nil {
		return 0, err
	}
	return pid, peerErr
}
