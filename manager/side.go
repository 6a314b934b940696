package manager

import "sync"

// side are goroutines beside the executor: looks and workflow commands, or
// local callers. Once closed it takes no more, so that those under way can be
// waited for. The zero value is open. Safe for concurrent use.
type side struct {
	mu     sync.Mutex
	closed bool
	wg     sync.WaitGroup
}

// Go runs f on a goroutine of its own, or reports that it is closed. Nobody is
// left to hear f's answer then; what was journaled is taken up by the next
// manager.
func (s *side) Go(f func()) (taken bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.wg.Go(f)
	}
	return !s.closed
}

// Close takes nothing more and waits for what is under way.
func (s *side) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.wg.Wait()
}
