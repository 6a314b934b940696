package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// CheckJSON reports why body should not be trusted as one JSON value: bytes
// that are not UTF-8, something after the value, nesting deeper than maxDepth,
// a key that occurs twice in an object or that holds a NUL. Two readers of such
// a body can understand different things. An empty body is an error too.
func CheckJSON(body []byte, maxDepth int) error {
	if !utf8.Valid(body) {
		return errors.New("not UTF-8")
	}
	var raw json.RawMessage
	if err := json.Unmarshal(body, &raw); err != nil {
		return err
	}
	// From here on body is well-formed: only its structure is looked at.
	var stack []scope
	for i := 0; i < len(body); i++ {
		switch body[i] {
		case '{', '[':
			if len(stack) == maxDepth {
				return fmt.Errorf("nested deeper than %d", maxDepth)
			}
			stack = append(stack, scope{object: body[i] == '{', keyNext: body[i] == '{'})
		case '}', ']':
			stack = stack[:len(stack)-1]
		case ',':
			top := &stack[len(stack)-1]
			top.keyNext = top.object
		case '"':
			end := stringEnd(body, i)
			if len(stack) > 0 && stack[len(stack)-1].keyNext {
				if err := stack[len(stack)-1].key(body[i:end]); err != nil {
					return err
				}
			}
			i = end - 1
		}
	}
	return nil
}

// stringEnd is the index after the string that starts at body[start].
func stringEnd(body []byte, start int) int {
	for i := start + 1; ; i++ {
		switch body[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
}

// scope is an object or an array being read.
type scope struct {
	object, keyNext bool
	keys            map[string]struct{} // made with the second key: most objects are small
	first           string
	any             bool
}

// key takes the next key of an object, quotes and all.
func (s *scope) key(quoted []byte) error {
	s.keyNext = false
	name := string(quoted[1 : len(quoted)-1])
	if strings.ContainsRune(name, '\\') {
		if err := json.Unmarshal(quoted, &name); err != nil {
			return err
		}
		if strings.ContainsRune(name, 0) {
			return errors.New("a key holds a NUL")
		}
	}
	if !s.any {
		s.any, s.first = true, name
		return nil
	}
	if s.keys == nil {
		s.keys = map[string]struct{}{s.first: {}}
	}
	if _, twice := s.keys[name]; twice {
		return fmt.Errorf("the key %.40q occurs twice", name)
	}
	s.keys[name] = struct{}{}
	return nil
}
