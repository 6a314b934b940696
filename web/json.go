package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// jsonSpace is the white space that JSON knows.
const jsonSpace = " \t\r\n"

// CheckJSON reports why body should not be trusted as one JSON value: bytes
// that are not UTF-8, something after the value, nesting deeper than maxDepth,
// a key that occurs twice in an object or that holds a NUL. Two readers of such
// a body can understand different things. An empty body is an error too.
func CheckJSON(body []byte, maxDepth int) error {
	if !utf8.Valid(body) {
		return errors.New("not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var stack []*scope
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return endOfJSON(body, len(stack))
		}
		if err != nil {
			return err
		}
		if delim, ok := token.(json.Delim); ok {
			switch delim {
			case '{', '[':
				if top := peek(stack); top != nil {
					top.valueRead()
				}
				if len(stack) == maxDepth {
					return fmt.Errorf("nested deeper than %d", maxDepth)
				}
				stack = append(stack, newScope(delim))
			default:
				stack = stack[:len(stack)-1]
			}
		} else if top := peek(stack); top != nil {
			if err := top.read(token); err != nil {
				return err
			}
		}
		if len(stack) == 0 {
			if len(bytes.Trim(body[dec.InputOffset():], jsonSpace)) > 0 {
				return errors.New("something follows the JSON value")
			}
			return nil
		}
	}
}

func endOfJSON(body []byte, depth int) error {
	if depth == 0 && len(bytes.Trim(body, jsonSpace)) == 0 {
		return errors.New("no JSON value")
	}
	return io.ErrUnexpectedEOF
}

// scope is an object or an array being read.
type scope struct {
	keys   map[string]struct{} // nil in an array
	inside bool                // a key was read, its value comes next
}

func newScope(delim json.Delim) *scope {
	if delim == '{' {
		return &scope{keys: map[string]struct{}{}}
	}
	return &scope{}
}

func peek(stack []*scope) *scope {
	if len(stack) == 0 {
		return nil
	}
	return stack[len(stack)-1]
}

func (s *scope) valueRead() { s.inside = false }

func (s *scope) read(token json.Token) error {
	if s.keys == nil || s.inside {
		s.inside = false
		return nil
	}
	key := token.(string) // the decoder lets nothing else be a key
	if strings.ContainsRune(key, 0) {
		return errors.New("a key holds a NUL")
	}
	if _, twice := s.keys[key]; twice {
		return fmt.Errorf("the key %.40q occurs twice", key)
	}
	s.keys[key] = struct{}{}
	s.inside = true
	return nil
}
