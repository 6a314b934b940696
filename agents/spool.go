package agents

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Limits of a spool.
const (
	spoolBytes   = 256 << 20 // what may wait on disk
	spoolCompact = 4 << 20   // dead bytes at the beginning that are worth a new file
)

// spool is the disk under an Outbox: a file of lines, each an event or a note
// that all events up to one are done with. It is only ever appended to, so what
// a process that was killed had appended is there, and a line that a power
// failure tore is the last one. It is emptied when nothing waits. One process at
// a time has it. Not safe for concurrent use.
type spool struct {
	path string
	f    *os.File
	base int64 // position of the file's first byte; positions outlive compaction
	end  int64 // position of the next line
	next uint64
}

// spoolLine is one line.
type spoolLine struct {
	N    uint64          `json:"n,omitempty"`
	Kind string          `json:"kind,omitempty"`
	What string          `json:"what,omitempty"`
	Data json.RawMessage `json:"data,omitempty"`
	Done uint64          `json:"done,omitempty"`
}

// spooled is where an event stands.
type spooled struct {
	n         uint64
	pos, size int64
}

var errSpoolFull = errors.New("256 MiB wait on disk")

// openSpool opens or makes the file, 0600, and calls found with every event
// that is not done with, in order. It returns how many lines could not be read.
func openSpool(path string, found func(spoolLine, spooled)) (s *spool, bad int, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, 0, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, 0, err
	}
	s = &spool{path: path, f: f, next: 1}
	if err := lockSpool(f); err != nil {
		f.Close()
		return nil, 0, err
	}
	if bad, err = s.load(found); err != nil {
		f.Close()
		return nil, 0, err
	}
	return s, bad, nil
}

func lockSpool(f *os.File) error {
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("%s is in use by another process: %w", f.Name(), err)
	}
	return nil
}

// load reads the file twice: events are done with by notes behind them.
func (s *spool) load(found func(spoolLine, spooled)) (bad int, err error) {
	done := uint64(0)
	_, whole, err := s.scan(func(l spoolLine, _ spooled) { done = max(done, l.Done); s.next = max(s.next, l.N+1, l.Done+1) })
	if err != nil {
		return 0, err
	}
	if err := s.f.Truncate(whole); err != nil { // a torn line would swallow the next one
		return 0, err
	}
	s.end = whole
	bad, _, err = s.scan(func(l spoolLine, at spooled) {
		if l.N > done {
			found(l, at)
		}
	})
	return bad, err
}

// scan calls each with every line that can be read, and returns how many
// cannot, and where the last whole line ends.
func (s *spool) scan(each func(spoolLine, spooled)) (bad int, whole int64, err error) {
	r := bufio.NewReader(io.NewSectionReader(s.f, 0, 1<<62))
	for {
		text, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return bad, whole, nil
		}
		if err != nil {
			return bad, whole, err
		}
		var l spoolLine
		if json.Unmarshal(text, &l) != nil || l.N == 0 && l.Done == 0 {
			bad++
		} else {
			each(l, spooled{n: l.N, pos: whole, size: int64(len(text))})
		}
		whole += int64(len(text))
	}
}

// add appends an event.
func (s *spool) add(kind, what string, data json.RawMessage) (spooled, error) {
	at := spooled{n: s.next, pos: s.end}
	if err := s.append(spoolLine{N: s.next, Kind: kind, What: what, Data: data}); err != nil {
		return spooled{}, err
	}
	s.next++
	at.size = s.end - at.pos
	return at, nil
}

func (s *spool) append(l spoolLine) error {
	text, err := json.Marshal(l)
	if err != nil {
		return err
	}
	text = append(text, '\n')
	if s.end-s.base+int64(len(text)) > spoolBytes {
		return errSpoolFull
	}
	if _, err := s.f.WriteAt(text, s.end-s.base); err != nil {
		return errors.Join(err, s.f.Truncate(s.end-s.base)) // no half line
	}
	s.end += int64(len(text))
	return nil
}

// read returns an event.
func (s *spool) read(at spooled) (spoolLine, error) {
	var l spoolLine
	text := make([]byte, at.size)
	if _, err := s.f.ReadAt(text, at.pos-s.base); err != nil {
		return l, err
	}
	err := json.Unmarshal(text, &l)
	if err == nil && l.N != at.n {
		err = fmt.Errorf("event %d stands where %d should", l.N, at.n)
	}
	return l, err
}

// done notes that everything up to an event is done with. head is the first
// that still waits, nil when nothing does.
func (s *spool) done(at spooled, head *spooled) error {
	if head == nil {
		if err := s.f.Truncate(0); err != nil {
			return err
		}
		s.base = s.end
		return nil
	}
	if err := s.append(spoolLine{Done: at.n}); err != nil {
		return err
	}
	if dead := head.pos - s.base; dead > spoolCompact && dead > (s.end-s.base)/2 {
		return s.compact(head.pos)
	}
	return nil
}

// compact puts what stands from there on into a new file.
func (s *spool) compact(from int64) error {
	f, err := os.OpenFile(s.path+".new", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, io.NewSectionReader(s.f, from-s.base, s.end-from))
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = lockSpool(f)
	}
	if err == nil {
		err = os.Rename(f.Name(), s.path)
	}
	if err != nil {
		f.Close()
		return errors.Join(err, os.Remove(s.path+".new"))
	}
	s.f.Close()
	s.f, s.base = f, from
	return nil
}

// sync has the file survive a power failure.
func (s *spool) sync() error { return s.f.Sync() }

func (s *spool) close() error { return s.f.Close() }
