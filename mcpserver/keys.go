package mcpserver

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// levels are the objects and arrays around one place in a message, with the
// keys that the objects have so far. Most objects are small, and their keys
// plain: those are compared where they stand, and nothing is allocated.
type levels struct {
	depth int
	stack [maxDepth]level
	keys  [][]byte // folded, those of an object behind those of what it is in
}

type level struct {
	object bool
	first  int             // its keys begin here
	many   map[string]bool // its keys, once there are more than a few
}

// fewKeys are compared one by one.
const fewKeys = 16

// push opens an object or array, unless it would be too deep.
func (l *levels) push(object bool) bool {
	if l.depth == maxDepth {
		return false
	}
	l.stack[l.depth] = level{object: object, first: len(l.keys)}
	l.depth++
	return true
}

func (l *levels) pop() {
	l.depth--
	l.keys = l.keys[:l.stack[l.depth].first]
}

func (l *levels) inObject() bool { return l.stack[l.depth-1].object }

var envelopeKeys = map[string]bool{"jsonrpc": true, "id": true, "method": true, "params": true, "result": true, "error": true}

// add takes a key of the innermost object, quotes and all, and returns it.
func (l *levels) add(quoted []byte) ([]byte, error) {
	key, folded := quoted[1:len(quoted)-1], quoted[1:len(quoted)-1]
	if !plain(key) {
		text := unquote(quoted)
		key, folded = []byte(text), []byte(fold(text))
	}
	if l.depth == 1 && !envelopeKeys[string(key)] {
		return nil, fmt.Errorf("%q is not a key of a JSON-RPC message", short(string(key)))
	}
	if bytes.IndexByte(key, 0) >= 0 {
		return nil, errors.New("a key holds a NUL")
	}
	if !l.stack[l.depth-1].take(folded, &l.keys) {
		return nil, fmt.Errorf("the key %q is there twice", short(string(key)))
	}
	return key, nil
}

// take reports whether the object does not have the key yet.
func (o *level) take(key []byte, keys *[][]byte) bool {
	if o.many != nil {
		if o.many[string(key)] {
			return false
		}
		o.many[string(key)] = true
		return true
	}
	for _, k := range (*keys)[o.first:] {
		if bytes.Equal(k, key) {
			return false
		}
	}
	if *keys = append(*keys, key); len(*keys)-o.first == fewKeys {
		o.many = make(map[string]bool, 4*fewKeys)
		for _, k := range (*keys)[o.first:] {
			o.many[string(k)] = true
		}
	}
	return true
}

// plain reports whether a key means what stands there and folds to itself.
func plain(key []byte) bool {
	for _, c := range key {
		if c >= 0x80 || c == '\\' || 'A' <= c && c <= 'Z' {
			return false
		}
	}
	return true
}

// fold makes equal what encoding/json takes for equal.
func fold(key string) string { return strings.ToLower(strings.ToUpper(key)) }
