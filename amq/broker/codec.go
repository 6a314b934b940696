package broker

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/go-stomp/stomp/v3/frame"
)

// go-stomp's own reader trusts any content-length, up to 4 GiB, and knows one
// escaping for all versions, so frames are read and written here.

// version of STOMP, as an index.
type version int

const (
	v10 version = iota
	v11
	v12
)

var versions = [...]string{"1.0", "1.1", "1.2"}

const (
	lineSize   = 4 << 10  // the longest line, and the read buffer
	headerSize = 16 << 10 // all header lines of one frame
)

var (
	errTooLarge  = errors.New("the frame exceeds the limits of this broker")
	errMalformed = errors.New("malformed frame")
)

// frameReader reads frames and never holds more of one than the limits.
type frameReader struct {
	br         *bufio.Reader
	maxBody    int
	maxHeaders int
	lines      []byte // scratch: the header lines without their ends
	ends       []int  // scratch: where each ends
}

// read returns the next frame; heart-beats are passed over.
func (r *frameReader) read(v version) (*frame.Frame, error) {
	var line []byte
	var err error
	for len(line) == 0 {
		if line, err = r.line(); err != nil {
			return nil, err
		}
	}
	f := &frame.Frame{Command: command(line)}
	if f.Command == "" {
		return nil, errMalformed
	}
	if f.Command == frame.CONNECT || f.Command == frame.STOMP {
		v = v10 // never escaped
	}
	if f.Header, err = r.header(v); err != nil {
		return nil, err
	}
	f.Body, err = r.body(f.Header)
	return f, err
}

// command interns the name of a client's frame; "" is none.
func command(line []byte) string {
	for _, c := range [...]string{frame.SEND, frame.ACK, frame.SUBSCRIBE, frame.UNSUBSCRIBE, frame.CONNECT, frame.STOMP,
		frame.DISCONNECT, frame.NACK, frame.BEGIN, frame.COMMIT, frame.ABORT} {
		if string(line) == c {
			return c
		}
	}
	return ""
}

// line returns the next line without LF or CR LF.
func (r *frameReader) line() ([]byte, error) {
	line, err := r.br.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return nil, errTooLarge
	}
	if err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(line[:len(line)-1], []byte("\r")), nil
}

// header reads the header with one allocation for all its text.
func (r *frameReader) header(v version) (*frame.Header, error) {
	r.lines, r.ends = r.lines[:0], r.ends[:0]
	for {
		line, err := r.line()
		if err != nil {
			return nil, err
		}
		if len(line) == 0 {
			break
		}
		if len(r.ends) == r.maxHeaders || len(r.lines)+len(line) > headerSize {
			return nil, errTooLarge
		}
		if bytes.IndexByte(line, ':') < 1 || bytes.IndexByte(line, 0) >= 0 {
			return nil, errMalformed
		}
		r.lines = append(r.lines, line...)
		r.ends = append(r.ends, len(r.lines))
	}
	text, start := string(r.lines), 0
	pairs := make([]string, 0, 2*len(r.ends))
	for _, end := range r.ends {
		name, value, _ := strings.Cut(text[start:end], ":")
		start = end
		if v != v10 && (strings.Contains(name, `\`) || strings.Contains(value, `\`)) {
			var ok1, ok2 bool
			name, ok1 = unescape(name, v)
			value, ok2 = unescape(value, v)
			if !ok1 || !ok2 {
				return nil, errMalformed
			}
		}
		pairs = append(pairs, name, value)
	}
	return frame.NewHeader(pairs...), nil
}

func (r *frameReader) body(h *frame.Header) ([]byte, error) {
	text, sized := h.Contains(frame.ContentLength)
	if !sized {
		return r.text()
	}
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return nil, errMalformed
	}
	if n > uint64(r.maxBody) {
		return nil, errTooLarge
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r.br, body); err != nil {
		return nil, err
	}
	if end, err := r.br.ReadByte(); err != nil || end != 0 {
		return nil, errors.Join(errMalformed, err)
	}
	return body, nil
}

// text reads a body that a NUL ends.
func (r *frameReader) text() ([]byte, error) {
	var body []byte
	for {
		part, err := r.br.ReadSlice(0)
		full := errors.Is(err, bufio.ErrBufferFull)
		if err != nil && !full {
			return nil, err
		}
		if !full {
			part = part[:len(part)-1]
		}
		if len(body)+len(part) > r.maxBody {
			return nil, errTooLarge
		}
		if body = append(body, part...); !full {
			return body, nil
		}
	}
}

// unescape undoes the escaping of header names and values: \n \c \\ in 1.1, and
// \r in 1.2. Any other escape is an error by the specification.
func unescape(s string, v version) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '\\' {
			if i++; i == len(s) {
				return "", false
			}
			switch e := s[i]; {
			case e == 'n':
				c = '\n'
			case e == 'c':
				c = ':'
			case e == '\\':
			case e == 'r' && v == v12:
				c = '\r'
			default:
				return "", false
			}
		}
		b.WriteByte(c)
	}
	return b.String(), true
}

// appendHeader appends one header line, or nothing where this version cannot
// carry it: 1.0 has no escapes and 1.1 none for CR, and a raw line end would
// let one client write another's headers.
func appendHeader(dst []byte, v version, name, value string) []byte {
	const special = "\r\n:\\"
	if !strings.ContainsAny(name, special) && !strings.ContainsAny(value, special) {
		return append(append(append(append(dst, name...), ':'), value...), '\n')
	}
	both := name + value
	if v < v12 && strings.Contains(both, "\r") || v == v10 && (strings.Contains(both, "\n") || strings.Contains(name, ":")) {
		return dst
	}
	dst = append(appendEscaped(dst, v, name), ':')
	return append(appendEscaped(dst, v, value), '\n')
}

func appendEscaped(dst []byte, v version, s string) []byte {
	if v == v10 {
		return append(dst, s...)
	}
	for i := range len(s) {
		switch c := s[i]; c {
		case '\n':
			dst = append(dst, `\n`...)
		case '\r':
			dst = append(dst, `\r`...)
		case ':':
			dst = append(dst, `\c`...)
		case '\\':
			dst = append(dst, `\\`...)
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// appendFrame appends a frame of the server, with NUL.
func appendFrame(dst []byte, v version, cmd, body string, header ...string) []byte {
	dst = append(append(dst, cmd...), '\n')
	for i := 0; i < len(header); i += 2 {
		dst = appendHeader(dst, v, header[i], header[i+1])
	}
	return append(append(append(dst, '\n'), body...), 0)
}
