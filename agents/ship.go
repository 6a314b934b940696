package agents

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/epic-swf/testbed/swf"
)

// Limits of the log records on their way to the monitor.
const (
	shipQueue   = 1000
	shipMessage = 4000 // bytes of one message
	shipLast    = 200 * time.Millisecond
)

// appName is what every agent calls itself in the monitor's log (contract 1.4).
const appName = "base_agent"

// shipper posts log records to the monitor on a goroutine of its own. It never
// blocks whoever logs: records beyond its queue are counted and dropped.
type shipper struct {
	b       *Base
	queue   chan swf.LogEntry
	dropped atomic.Int64
}

func newShipper(b *Base) *shipper {
	return &shipper{b: b, queue: make(chan swf.LogEntry, shipQueue)}
}

// run posts until ctx ends, then for a moment longer what is left. An error of
// the monitor is never logged from here: it would come back here.
func (s *shipper) run(ctx context.Context) {
	for {
		select {
		case e := <-s.queue:
			if !s.post(ctx, e) {
				s.flush(e)
				return
			}
		case <-ctx.Done():
			s.flush()
			return
		}
	}
}

// post repeats one record until the monitor has taken or refused it. It
// returns false when ctx ended first.
func (s *shipper) post(ctx context.Context, e swf.LogEntry) bool {
	for n := 0; ; n++ {
		// One on its way when ctx ends may have arrived: it gets a moment, lest
		// it be posted twice.
		once, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
		stop := context.AfterFunc(ctx, func() { time.AfterFunc(shipLast, cancel) })
		e.InstanceName = s.b.Name() // a record may be older than the name
		err := s.b.o.Monitor.PostLog(once, e)
		stop()
		cancel()
		if err == nil || ctx.Err() == nil && !passing(err, n) {
			break
		}
		if !pause(ctx, backoff(n)) {
			return false
		}
	}
	if n := s.dropped.Swap(0); n > 0 {
		s.add(s.entry(slog.NewRecord(time.Now(), slog.LevelWarn, fmt.Sprintf("%d log records were dropped", n), 0), nil))
	}
	return true
}

// flush posts these records and those in the queue, each once.
func (s *shipper) flush(first ...swf.LogEntry) {
	ctx, cancel := context.WithTimeout(context.Background(), shipLast)
	defer cancel()
	post := func(e swf.LogEntry) bool {
		e.InstanceName = s.b.Name()
		return s.b.o.Monitor.PostLog(ctx, e) == nil
	}
	for _, e := range first {
		if !post(e) {
			return
		}
	}
	for {
		select {
		case e := <-s.queue:
			if !post(e) {
				return
			}
		default:
			return
		}
	}
}

func (s *shipper) add(e swf.LogEntry) {
	select {
	case s.queue <- e:
	default:
		s.dropped.Add(1)
	}
}

// entry makes the contract's record; attributes follow the message as
// key=value, and those that the contract knows also travel by name.
func (s *shipper) entry(r slog.Record, attrs []slog.Attr) swf.LogEntry {
	s.b.mu.Lock()
	extra := map[string]any{"username": s.b.o.Username, "execution_id": s.b.execution, "run_id": s.b.run}
	s.b.mu.Unlock()
	var text strings.Builder
	text.WriteString(r.Message)
	for _, a := range attrs {
		v := a.Value.Resolve()
		fmt.Fprintf(&text, " %s=%v", a.Key, v)
		switch a.Key {
		case "execution_id", "run_id", "workflow_name":
			extra[a.Key] = v.String()
		}
	}
	for k, v := range extra {
		if v == "" {
			delete(extra, k)
		}
	}
	message := strings.ToValidUTF8(strings.ReplaceAll(text.String(), "\x00", ""), "?")
	if strings.TrimSpace(message) == "" {
		message = "-" // the contract refuses a blank one
	}
	if len(message) > shipMessage {
		message = strings.ToValidUTF8(message[:shipMessage], "")
	}
	level, name := pythonLevel(r.Level)
	e := swf.LogEntry{
		AppName: appName, Timestamp: swf.At(r.Time), Level: level, LevelName: name,
		Message: message, Module: "agents", FuncName: "-", Process: os.Getpid(),
	}
	if r.PC != 0 {
		f, _ := runtime.CallersFrames([]uintptr{r.PC}).Next()
		e.Module = strings.TrimSuffix(filepath.Base(f.File), ".go")
		e.FuncName = f.Function[strings.LastIndex(f.Function, "/")+1:]
		e.LineNo = f.Line
	}
	e.ExtraData, _ = json.Marshal(extra)
	return e
}

// pythonLevel maps slog's levels to those of Python's logging.
func pythonLevel(l slog.Level) (int, string) {
	switch {
	case l < slog.LevelInfo:
		return 10, "DEBUG"
	case l < slog.LevelWarn:
		return 20, "INFO"
	case l < slog.LevelError:
		return 30, "WARNING"
	case l < slog.LevelError+4:
		return 40, "ERROR"
	default:
		return 50, "CRITICAL"
	}
}

// handler is the slog.Handler in front of a shipper.
func (s *shipper) handler() slog.Handler { return shipHandler{s: s} }

type shipHandler struct {
	s     *shipper
	group string
	attrs []slog.Attr
}

func (h shipHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }

func (h shipHandler) Handle(_ context.Context, r slog.Record) error {
	attrs := h.attrs
	r.Attrs(func(a slog.Attr) bool {
		attrs = h.join(attrs, a)
		return true
	})
	h.s.add(h.s.entry(r, attrs))
	return nil
}

func (h shipHandler) WithAttrs(as []slog.Attr) slog.Handler {
	for _, a := range as {
		h.attrs = h.join(h.attrs, a)
	}
	return h
}

func (h shipHandler) WithGroup(name string) slog.Handler {
	if name != "" {
		h.group += name + "."
	}
	return h
}

// join appends without ever writing into the array of another handler.
func (h shipHandler) join(attrs []slog.Attr, a slog.Attr) []slog.Attr {
	a.Key = h.group + a.Key
	return append(attrs[:len(attrs):len(attrs)], a)
}

// tee hands records to two handlers.
type tee struct{ a, b slog.Handler }

func (t tee) Enabled(ctx context.Context, l slog.Level) bool {
	return t.a.Enabled(ctx, l) || t.b.Enabled(ctx, l)
}

func (t tee) Handle(ctx context.Context, r slog.Record) error {
	var err error
	for _, h := range []slog.Handler{t.a, t.b} {
		if h.Enabled(ctx, r.Level) {
			if e := h.Handle(ctx, r.Clone()); err == nil {
				err = e
			}
		}
	}
	return err
}

func (t tee) WithAttrs(as []slog.Attr) slog.Handler {
	return tee{t.a.WithAttrs(as), t.b.WithAttrs(as)}
}

func (t tee) WithGroup(name string) slog.Handler {
	return tee{t.a.WithGroup(name), t.b.WithGroup(name)}
}
