package manager

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

// The local door: a unix socket in the state folder through which the CLI of
// the same user commands a running manager without a broker (design, 4b.5).
// One connection carries one command, a line of JSON, and its replies, a line
// each. The folder's mode says who may enter.

const (
	maxLine       = control.MaxBody + 1
	maxLocalConns = 64 // callers of one user on one host, each of whom holds a goroutine and two buffers
)

// serveLocal takes connections until ctx ends. Those beyond maxLocalConns are
// refused with a word, not left to wait: a caller would take silence for a
// manager that hangs, and kill it.
func (m *Manager) serveLocal(ctx context.Context, ln net.Listener) {
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()
	slots := make(chan struct{}, maxLocalConns)
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		select {
		case slots <- struct{}{}:
		default:
			refuseLocal(conn)
			continue
		}
		taken := m.callers.Go(func() {
			defer func() { conn.Close(); <-slots }()
			m.converse(conn)
		})
		if !taken {
			conn.Close()
			<-slots
		}
	}
}

// refuseLocal answers a caller for whom there is no room, without reading what
// he wants: the few bytes fit into the socket's buffer.
func refuseLocal(conn net.Conn) {
	defer conn.Close()
	r := control.Refusal("", swf.E(swf.CodeBusy, fmt.Sprintf("%d local callers wait for the agent manager already", maxLocalConns),
		"end some of them, then try again"))
	if body, err := r.Encode(); err == nil {
		_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = conn.Write(append(body, '\n'))
	}
}

// converse answers one connection until its command has an outcome or the
// caller hangs up; hanging up never ends the command. When the manager leaves,
// what was told by then is still written.
func (m *Manager) converse(conn net.Conn) {
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	hurry := context.AfterFunc(m.callerCtx, func() { _ = conn.SetReadDeadline(time.Now()) })
	defer hurry()
	line, err := bufio.NewReader(io.LimitReader(conn, maxLine)).ReadBytes('\n')
	if err != nil {
		return
	}
	replies := make(chan control.Reply, 64)
	gone := make(chan struct{})
	defer close(gone)
	sink := func(r control.Reply) {
		select {
		case replies <- r:
		case <-gone:
		case <-time.After(time.Second): // a caller that does not read misses progress
		}
	}
	cmd, err := control.DecodeCommand(line)
	if err == nil {
		err = cmd.Check()
	}
	if err == nil && cmd.Username != m.o.Username {
		err = swf.E(swf.CodeForbidden, fmt.Sprintf("this is the manager of %s", m.o.Username), "run the command as that user")
	}
	if err != nil {
		sink(control.Refusal(cmd.ID, err))
	} else {
		m.submit(submission{cmd: cmd, local: sink})
	}
	for {
		select {
		case r := <-replies:
			if !writeLocal(conn, r) {
				return
			}
		case <-m.callerCtx.Done():
			for len(replies) > 0 && writeLocal(conn, <-replies) {
			}
			return
		}
	}
}

// writeLocal reports whether more can follow.
func writeLocal(conn net.Conn, r control.Reply) bool {
	body, err := r.Encode()
	if err != nil {
		return false
	}
	_ = conn.SetWriteDeadline(time.Now().Add(5 * time.Second))
	_, err = conn.Write(append(body, '\n'))
	return err == nil && r.Kind != control.Final
}

// listenLocal binds the socket. The manager's lock is held, so a socket that
// is there is a dead one's.
func listenLocal(path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		ln.Close()
		return nil, err
	}
	return ln, nil
}

// AskLocal sends a command to the manager behind the socket and waits for the
// outcome, like control.Client.Ask. The error is no_manager when nobody
// listens there.
func AskLocal(ctx context.Context, socket string, cmd control.Command, progress func(control.Reply)) (control.Reply, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socket)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return control.Reply{}, swf.E(swf.CodeNoManager, "no agent manager runs here", "start it: testbed agent-manager").Because(err)
	}
	if err != nil {
		return control.Reply{}, err
	}
	defer conn.Close()
	cmd.Complete(time.Now()) // not before: a manager that has just come up would take it for older than its journal
	body, err := cmd.Encode()
	if err != nil {
		return control.Reply{}, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	_, unsent := conn.Write(append(body, '\n')) // one who is refused at the door may still read why
	dec := json.NewDecoder(conn)
	for {
		var r control.Reply
		if err := dec.Decode(&r); err != nil && unsent != nil {
			return control.Reply{}, unsent
		} else if err != nil {
			// The command may have been taken: its outcome is unknown, not failed.
			return control.Reply{CommandID: cmd.ID, Kind: control.Final, Outcome: control.Pending}, nil
		}
		if r.Kind == control.Final {
			return r, nil
		}
		if progress != nil {
			progress(r)
		}
	}
}
