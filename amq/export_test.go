package amq

import (
	"bufio"
	"context"
	"io"
	"time"
)

// Changed is closed at the next change of c's state.
func Changed(c *Conn) <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}

// AnswerTo is answerTo.
func AnswerTo(ctx context.Context, reply <-chan Message) (Message, error) {
	return answerTo(ctx, reply)
}

// Down reports whether neither of c's connections stands.
func Down(c *Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out == nil && c.in == nil
}

// Backoff is backoff.
func Backoff(attempt int, least, most time.Duration) time.Duration {
	return backoff(attempt, least, most)
}

// Sanitize passes everything that r holds through a sanitizer and returns the
// frames, and the most that it held at once.
func Sanitize(r io.Reader) (frames []string, most int, err error) {
	s := sanitizer{br: bufio.NewReaderSize(r, maxHeaderLine)}
	for {
		f, err := s.next()
		most = max(most, cap(s.buf))
		if err != nil {
			return frames, most, err
		}
		frames = append(frames, string(f.bytes))
	}
}
