package mcpserver

import (
	"crypto/rand"
	"sync"
	"sync/atomic"

	"github.com/mark3labs/mcp-go/mcp"
)

// pipeSession is the session of one stdio connection.
type pipeSession struct {
	id            string
	notifications chan mcp.JSONRPCNotification
	initialized   atomic.Bool

	mu     sync.Mutex
	client mcp.Implementation
	can    mcp.ClientCapabilities
}

func newPipeSession() *pipeSession {
	return &pipeSession{id: "stdio-" + rand.Text(), notifications: make(chan mcp.JSONRPCNotification, 1024)}
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
