package mcpserver

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"sync"
	"time"

	"github.com/mark3labs/mcp-go/mcp"

	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/tools"
	"github.com/epic-swf/testbed/web"
)

// Limits of the stdio transport. The library's own one cancels at EOF what is
// under way, has unbounded lines and one session for the whole process, so
// this is a transport of ours on the library's message handler.
const (
	pipeWorkers = 32   // slow calls at once
	pipeQueue   = 1000 // slow calls that wait
	pipeListens = 8    // open subscription streams
	drainLimit  = 30 * time.Second
)

// ServeStdio answers JSON-RPC messages, one a line, from in to out, on behalf
// of p. It returns nil at the end of in, when everything asked before has been
// answered (after 30 s at most), or ctx's error. A Read or Write that blocks
// for ever cannot be ended from here: the goroutine in it is left behind.
func (s *Server) ServeStdio(ctx context.Context, in io.Reader, out io.Writer, p swf.Principal) error {
	session := newPipeSession()
	if err := s.mcp.RegisterSession(ctx, session); err != nil {
		return fmt.Errorf("stdio: %w", err)
	}
	defer s.mcp.UnregisterSession(context.WithoutCancel(ctx), session.SessionID())
	ctx, cancel := context.WithCancelCause(web.WithPrincipal(ctx, p))
	defer cancel(nil)
	c := &pipe{server: s, session: session, cancel: cancel, replies: make(chan []byte, 64), jobs: make(chan []byte, pipeQueue),
		listens: make(chan struct{}, pipeListens), stop: make(chan struct{}), written: make(chan struct{})}
	c.ctx = tools.WithOrigin(s.mcp.WithContext(ctx, session), tools.Origin{Transport: "stdio"})
	c.listenCtx, c.endListens = context.WithCancel(c.ctx)
	defer c.endListens()
	go c.write(out)
	for range pipeWorkers {
		c.calls.Go(c.work)
	}
	lines := make(chan error, 1)
	go func() { lines <- c.read(in) }()
	var err error
	select {
	case err = <-lines:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	return c.finish(err)
}

// pipe is one stdio connection.
type pipe struct {
	server     *Server
	session    *pipeSession
	ctx        context.Context
	cancel     context.CancelCauseFunc
	listenCtx  context.Context
	endListens context.CancelFunc

	replies chan []byte
	jobs    chan []byte // slow calls
	listens chan struct{}
	calls   sync.WaitGroup // workers and listens
	stop    chan struct{}  // closed when nothing more is to be written than what is queued
	written chan struct{}  // closed when the writer has ended
}

// finish lets what was asked be answered, then ends everything.
func (c *pipe) finish(err error) error {
	c.endListens()
	if err == nil {
		close(c.jobs) // the reader has ended, nobody sends any more
		if !within(&c.calls, drainLimit) {
			err = errors.New("stdio: calls were still under way when time was up")
		}
	}
	c.cancel(nil)
	if !within(&c.calls, 5*time.Second) {
		err = errors.Join(err, errors.New("stdio: a call did not end"))
	}
	close(c.stop)
	select {
	case <-c.written:
	case <-time.After(time.Second): // the client does not read
	}
	return err
}

func within(wg *sync.WaitGroup, limit time.Duration) bool {
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}

// read takes lines until in ends.
func (c *pipe) read(in io.Reader) error {
	r := bufio.NewReaderSize(in, 64<<10)
	for {
		line, tooLong, err := readLine(r, maxMessage)
		switch {
		case tooLong:
			p := problem{mcp.INVALID_REQUEST, fmt.Sprintf("the message is longer than %d bytes", maxMessage)}
			c.reply(p.reply(nil))
		case len(bytes.TrimSpace(line)) > 0:
			c.take(line)
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("stdio: read: %w", err)
		case c.ctx.Err() != nil:
			return c.ctx.Err()
		}
	}
}

// readLine reads up to a line feed. Of a line that is too long it keeps
// nothing.
func readLine(r *bufio.Reader, limit int) (line []byte, tooLong bool, err error) {
	for {
		part, err := r.ReadSlice('\n')
		if !tooLong {
			line = append(line, part...)
		}
		if len(line) > limit {
			line, tooLong = nil, true
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, tooLong, err
		}
	}
}

// slow are the methods that ask managers or the monitor.
func slow(method string) bool {
	switch mcp.MCPMethod(method) {
	case mcp.MethodToolsCall, mcp.MethodResourcesRead, mcp.MethodCompletionComplete:
		return true
	}
	return false
}

// take handles one message. What may take long goes to the workers and
// listens to a goroutine each; all else is answered in order, at once.
func (c *pipe) take(raw []byte) {
	m, bad := readMessage(raw)
	switch {
	case bad != nil:
		c.reply(bad.reply(nil))
	case m.Method == "" && c.session.answered(m.ID, raw):
	case m.isCall() && slow(m.Method):
		select {
		case c.jobs <- raw:
		default:
			p := problem{mcp.INTERNAL_ERROR, fmt.Sprintf("%d calls are waiting already; wait for their answers", pipeQueue)}
			c.reply(p.reply(m.ID))
		}
	case m.isCall() && m.Method == string(mcp.MethodSubscriptionsListen):
		select {
		case c.listens <- struct{}{}:
			c.calls.Go(func() {
				defer func() { <-c.listens }()
				c.handle(c.listenCtx, raw)
			})
		default:
			p := problem{mcp.INTERNAL_ERROR, "too many subscription streams are open"}
			c.reply(p.reply(m.ID))
		}
	default:
		c.handle(c.ctx, raw)
	}
}

func (c *pipe) work() {
	for {
		select {
		case raw, ok := <-c.jobs:
			if !ok {
				return
			}
			c.handle(c.ctx, raw)
		case <-c.ctx.Done():
			return
		}
	}
}

// handle answers one message. A panic in the library must not take the
// process and everybody else's calls with it.
func (c *pipe) handle(ctx context.Context, raw []byte) {
	defer func() {
		if r := recover(); r != nil {
			c.server.log.Error("a message made the server panic", "panic", r, "stack", string(debug.Stack()))
			if m, bad := readMessage(raw); bad == nil && m.isCall() {
				p := problem{mcp.INTERNAL_ERROR, "something failed inside the server; its log says what"}
				c.reply(p.reply(m.ID))
			}
		}
	}()
	response := c.server.mcp.HandleMessage(ctx, raw)
	if response == nil {
		return
	}
	b, err := json.Marshal(response)
	if err != nil {
		c.server.log.Error("an answer could not be encoded", "err", err)
		return
	}
	c.reply(b)
}

func (c *pipe) reply(b []byte) {
	select {
	case c.replies <- b:
	case <-c.written: // the client is gone
	}
}

var errClientGone = errors.New("stdio: the client does not read any more")

// write is the only one who writes. Before each answer it writes the
// notifications that were sent before it.
func (c *pipe) write(out io.Writer) {
	defer close(c.written)
	w := bufio.NewWriter(out)
	for {
		select {
		case n := <-c.session.notifications:
			putNotification(w, n)
		case b := <-c.session.questions:
			c.putReply(w, b)
		case b := <-c.replies:
			c.putReply(w, b)
		case <-c.stop:
			for len(c.replies) > 0 {
				c.putReply(w, <-c.replies)
			}
			_ = w.Flush() // there is nobody left to tell
			return
		}
		if len(c.replies) == 0 && w.Flush() != nil {
			c.cancel(errClientGone)
			return
		}
	}
}

func (c *pipe) putReply(w *bufio.Writer, b []byte) {
	for range len(c.session.notifications) {
		putNotification(w, <-c.session.notifications)
	}
	_, _ = w.Write(append(b, '\n')) // Flush tells
}

func putNotification(w *bufio.Writer, n mcp.JSONRPCNotification) {
	b, err := json.Marshal(n)
	if err == nil { // of numbers and strings only
		_, _ = w.Write(append(b, '\n'))
	}
}
