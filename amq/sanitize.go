package amq

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// Limits of one frame from the broker.
const (
	maxHeaders    = 64
	maxHeaderLine = 8 << 10 // also the size of the read buffer
)

// oversized marks a MESSAGE that had to be cut down. A broker cannot forge it
// into something worse than a dropped message.
const oversized = "amq-oversized"

// inbound is one frame from the broker, cut down to what is safe to parse.
type inbound struct {
	command string
	bytes   []byte // the whole frame, NUL included; valid until the next call; "\n" for a heart-beat
	receipt string // receipt-id of a RECEIPT
	message string // message of an ERROR
	beats   bool   // CONNECTED promises heart-beats
}

// sanitizer reads frames without ever holding more than MaxBody and
// maxHeaderLine bytes of one: go-stomp would allocate whatever a
// content-length says and read headers without end. A frame that is too large
// keeps the headers needed to acknowledge it and loses its body.
type sanitizer struct {
	br  *bufio.Reader
	buf []byte
}

var errMalformed = errors.New("malformed frame from the broker")

func (s *sanitizer) next() (inbound, error) {
	if cap(s.buf) > 64<<10 {
		s.buf = nil // one large message must not hold its memory for ever
	}
	line, err := s.line()
	if err != nil {
		return inbound{}, err
	}
	if len(line) == 0 {
		return inbound{bytes: []byte("\n")}, nil
	}
	in := inbound{command: string(line)}
	switch in.command {
	case "CONNECTED", "MESSAGE", "RECEIPT", "ERROR":
	default:
		return inbound{}, fmt.Errorf("%w: it starts with %.20q; is this a STOMP port?", errMalformed, in.command)
	}
	s.buf = append(append(s.buf[:0], line...), '\n')
	length, cut, err := s.headers(&in)
	if err != nil {
		return inbound{}, err
	}
	if err := s.body(length, cut); err != nil {
		return inbound{}, err
	}
	in.bytes = s.buf
	return in, nil
}

// headers copies the header lines, the content-length excepted, and says how
// long the body is (-1: until NUL) and whether the frame must be cut.
func (s *sanitizer) headers(in *inbound) (length int64, cut bool, err error) {
	length = -1
	for n, size := 0, 0; ; n++ {
		line, err := s.line()
		long := errors.Is(err, bufio.ErrBufferFull)
		if err != nil && !long {
			return 0, false, err
		}
		if len(line) == 0 {
			return length, cut || length > MaxBody, nil
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok || len(name) == 0 {
			return 0, false, fmt.Errorf("%w: a header without a name", errMalformed)
		}
		size += len(line)
		must := false
		switch string(name) {
		case "content-length":
			if length < 0 {
				if length, err = strconv.ParseInt(string(value), 10, 64); err != nil || length < 0 {
					return 0, false, fmt.Errorf("%w: content-length %.20q", errMalformed, value)
				}
			}
			if !long {
				continue // body writes its own
			}
		case "receipt-id":
			in.receipt = string(value)
			must = true
		case "message":
			in.message = string(value)
		case "heart-beat":
			in.beats = !bytes.HasPrefix(value, []byte("0,"))
			if !in.beats {
				continue // go-stomp would wait for them all the same, and hang up
			}
			must = true
		case "message-id", "subscription", "ack", "destination", "redelivered", "version":
			must = true
		}
		switch fits := !long && n < maxHeaders && size <= 2*maxHeaderLine; {
		case fits || (must && !long && size < MaxBody):
			s.buf = append(append(s.buf, line...), '\n')
		case must:
			return 0, false, fmt.Errorf("%w: header %s is too long", errMalformed, name)
		default:
			cut = true
		}
		if long {
			if err := s.skipLine(); err != nil {
				return 0, false, err
			}
		}
	}
}

// body copies the body, or passes over it when the frame must be cut.
func (s *sanitizer) body(length int64, cut bool) error {
	if cut {
		s.buf = append(s.buf, oversized+":1\n"...)
	} else if length >= 0 {
		// Our own, canonical length: the body may hold NUL bytes.
		s.buf = append(strconv.AppendInt(append(s.buf, "content-length:"...), length, 10), '\n')
	}
	s.buf = append(s.buf, '\n')
	if length >= 0 {
		return s.sized(length, cut)
	}
	start := len(s.buf)
	for {
		part, err := s.br.ReadSlice(0)
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
		if err == nil {
			part = part[:len(part)-1]
		}
		// One byte more than allowed tells the consumer that it was cut.
		if room := MaxBody + 1 - (len(s.buf) - start); !cut && room > 0 {
			s.buf = append(s.buf, part[:min(room, len(part))]...)
		}
		if err == nil {
			s.buf = append(s.buf, 0)
			return nil
		}
	}
}

func (s *sanitizer) sized(length int64, cut bool) error {
	for length > 0 {
		part, err := s.br.Peek(int(min(length, int64(max(1, s.br.Buffered())))))
		if err != nil {
			return err
		}
		if !cut {
			s.buf = append(s.buf, part...)
		}
		length -= int64(len(part))
		if _, err := s.br.Discard(len(part)); err != nil {
			return err
		}
	}
	end, err := s.br.ReadByte()
	if err == nil && end != 0 {
		err = fmt.Errorf("%w: no NUL after content-length bytes", errMalformed)
	}
	s.buf = append(s.buf, 0)
	return err
}

// line reads one line without its end; with bufio.ErrBufferFull its beginning.
func (s *sanitizer) line() ([]byte, error) {
	line, err := s.br.ReadSlice('\n')
	if err != nil {
		return line, err
	}
	return bytes.TrimSuffix(line[:len(line)-1], []byte("\r")), nil
}

func (s *sanitizer) skipLine() error {
	for {
		_, err := s.br.ReadSlice('\n')
		if !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
}
