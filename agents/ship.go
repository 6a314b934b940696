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
	"time"

	"github.com/epic-swf/testbed/swf"
)

// Limits of the log records on their way to the monitor.
const (
	shipMessage = 4000                   // bytes of one message
	shipLast    = 200 * time.Millisecond // at the end, for those that wait
)

// appName is what every agent calls itself in the monitor's log (contract 1.4).
const appName = "base_agent"

// eventLog is the kind of log records in their outbox.
const eventLog = "log"

// postLog posts one record. The contract gives records no name, so one that may
// be there already is looked for; where that cannot be done it is posted: twice
// is better than never. Errors must not be logged from here: they would come
// back here.
func (b *Base) postLog(ctx context.Context, e swf.LogEntry, again bool) error {
	if again {
		if have, err := b.o.Monitor.HasLog(ctx, e); err == nil && have {
			return nil
		}
	}
	if e.InstanceName == "" {
		e.InstanceName = b.Name() // the record is older than the name
	}
	return b.o.Monitor.PostLog(ctx, e)
}

// entry makes the contract's record; attributes follow the message as
// key=value, and those that the contract knows also travel by name.
func (b *Base) entry(r slog.Record, attrs []slog.Attr) swf.LogEntry {
	b.mu.Lock()
	extra := map[string]any{"username": b.o.Username, "execution_id": b.execution, "run_id": b.run}
	name := b.name
	if !b.named {
		name = ""
	}
	b.mu.Unlock()
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
	level, levelName := pythonLevel(r.Level)
	e := swf.LogEntry{
		AppName: appName, InstanceName: name, Timestamp: swf.At(r.Time), Level: level, LevelName: levelName,
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

// shipHandler is a slog.Handler that has records told to the monitor. It never
// makes whoever logs wait for it.
type shipHandler struct {
	b     *Base
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
	h.b.logs.Add(eventLog, "log record", h.b.entry(r, attrs))
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
