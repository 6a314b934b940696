package mcpserver

import (
	"bytes"
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/mark3labs/mcp-go/server"
)

// The library writes notifications and results from different goroutines: one
// that is taken from its queue just before a handler returns gets lost or comes
// late (mcp-go issue 763). So a handler's result waits until the notifications
// before it have been seen on the connection.
const (
	settleTick  = 2 * time.Millisecond
	settleQuiet = 250 * time.Millisecond // an empty queue: another call of the session took them
	settleLimit = 2 * time.Second
)

// meter counts the notifications of one stream: those sent, and those written.
// The library's queue keeps their order.
type meter struct{ sent, written atomic.Int64 }

type meterKey struct{}

// metered makes the context of a request whose notifications go to the stream
// that m counts.
func metered(ctx context.Context, m *meter) context.Context {
	return context.WithValue(ctx, meterKey{}, m)
}

// counted is a writer of events that tells m.
type counted struct {
	*patientWriter
	m *meter
}

// Write implements io.Writer. The library writes each event at once.
func (c counted) Write(b []byte) (int, error) {
	n, err := c.patientWriter.Write(b)
	if bytes.Contains(b, []byte(`"method":"notifications/`)) {
		c.m.written.Add(1)
	}
	return n, err
}

var _ http.Flusher = counted{}

// Notified says that a tool is about to send a notification to its client.
// Tools of Options.Extend call it, for Settle.
func Notified(ctx context.Context) {
	if m, ok := ctx.Value(meterKey{}).(*meter); ok {
		m.sent.Add(1)
	}
}

// Settle returns when the notifications that a tool has sent are written.
// Sessions of our own write in order by themselves, and clients that take no
// stream get nothing.
func Settle(ctx context.Context) {
	session := server.ClientSessionFromContext(ctx)
	m, ok := ctx.Value(meterKey{}).(*meter)
	if !ok || session == nil {
		return
	}
	sent := m.sent.Load()
	if m.written.Load() >= sent {
		return
	}
	limit := time.NewTimer(settleLimit)
	defer limit.Stop()
	tick := time.NewTicker(settleTick)
	defer tick.Stop()
	quiet := time.Duration(0)
	for m.written.Load() < sent && quiet < settleQuiet {
		select {
		case <-tick.C:
			if quiet += settleTick; len(session.NotificationChannel()) > 0 {
				quiet = 0
			}
		case <-limit.C:
			return
		case <-ctx.Done():
			return
		}
	}
}
