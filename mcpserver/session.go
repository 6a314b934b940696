package mcpserver

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/mark3labs/mcp-go/mcp"
)

// pipeSession is the session of one stdio connection.
type pipeSession struct {
	id            string
	notifications chan mcp.JSONRPCNotification
	initialized   atomic.Bool

	questions chan []byte // requests of our own, to be written

	mu      sync.Mutex
	client  mcp.Implementation
	can     mcp.ClientCapabilities
	asked   int
	waiting map[string]chan json.RawMessage // by the id of a question
}

func newPipeSession() *pipeSession {
	return &pipeSession{id: "stdio-" + rand.Text(), notifications: make(chan mcp.JSONRPCNotification, 1024),
		questions: make(chan []byte), waiting: make(map[string]chan json.RawMessage)}
}

// SessionID implements server.ClientSession.
func (s *pipeSession) SessionID() string { return s.id }

// NotificationChannel implements server.ClientSession.
func (s *pipeSession) NotificationChannel() chan<- mcp.JSONRPCNotification { return s.notifications }

// Initialize implements server.ClientSession.
func (s *pipeSession) Initialize() { s.initialized.Store(true) }

// Initialized implements server.ClientSession.
func (s *pipeSession) Initialized() bool { return s.initialized.Load() }

// GetClientInfo implements server.SessionWithClientInfo.
func (s *pipeSession) GetClientInfo() mcp.Implementation {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.client
}

// SetClientInfo implements server.SessionWithClientInfo.
func (s *pipeSession) SetClientInfo(client mcp.Implementation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.client = client
}

// GetClientCapabilities implements server.SessionWithClientInfo.
func (s *pipeSession) GetClientCapabilities() mcp.ClientCapabilities {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.can
}

// SetClientCapabilities implements server.SessionWithClientInfo.
func (s *pipeSession) SetClientCapabilities(can mcp.ClientCapabilities) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.can = can
}

// RequestElicitation implements server.SessionWithElicitation.
func (s *pipeSession) RequestElicitation(ctx context.Context, request mcp.ElicitationRequest) (*mcp.ElicitationResult, error) {
	answer := make(chan json.RawMessage, 1)
	s.mu.Lock()
	s.asked++
	id := fmt.Sprintf(`"ask-%d"`, s.asked)
	s.waiting[id] = answer
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.waiting, id)
		s.mu.Unlock()
	}()
	b, err := json.Marshal(map[string]any{"jsonrpc": mcp.JSONRPC_VERSION, "id": json.RawMessage(id), "method": request.Method, "params": request.Params})
	if err != nil {
		return nil, err
	}
	select {
	case s.questions <- b:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case raw := <-answer:
		var r struct {
			Result *mcp.ElicitationResult `json:"result"`
		}
		if err := json.Unmarshal(raw, &r); err != nil || r.Result == nil {
			return nil, errors.Join(errors.New("the client did not answer the question"), err)
		}
		return r.Result, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// answered takes the client's answer to a question of ours, and reports
// whether it was one.
func (s *pipeSession) answered(id json.RawMessage, raw []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	answer := s.waiting[string(id)]
	delete(s.waiting, string(id))
	if answer != nil {
		answer <- raw
	}
	return answer != nil
}
