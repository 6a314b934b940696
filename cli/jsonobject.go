package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
)

// object is a JSON object that keeps the order of its members and the text of
// their values: it is somebody else's file.
type object struct {
	names  []string
	values map[string]json.RawMessage
}

var errNoObject = errors.New("not a JSON object")

// readObject reads one; no text at all is an empty one. An object in which a
// name stands twice is refused: nobody knows which of the two counts.
func readObject(text []byte) (*object, error) {
	o := &object{values: map[string]json.RawMessage{}}
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	if len(bytes.TrimSpace(text)) == 0 {
		return o, nil
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, errNoObject
	}
	for dec.More() {
		t, err := dec.Token()
		name, ok := t.(string)
		if err != nil || !ok || o.values[name] != nil {
			return nil, errNoObject
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, err
		}
		o.names, o.values[name] = append(o.names, name), value
	}
	if _, err := dec.Token(); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errNoObject
	}
	return o, nil
}

// get is the text of a member, nil when there is none.
func (o *object) get(name string) json.RawMessage { return o.values[name] }

// set replaces a member in its place, or adds it at the end.
func (o *object) set(name string, value json.RawMessage) {
	if o.values[name] == nil {
		o.names = append(o.names, name)
	}
	o.values[name] = value
}

// text is the object as JSON on its way to be indented.
func (o *object) text() json.RawMessage {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, name := range o.names {
		if i > 0 {
			b.WriteByte(',')
		}
		var quoted bytes.Buffer
		enc := json.NewEncoder(&quoted)
		enc.SetEscapeHTML(false)
		_ = enc.Encode(name) // of a text it cannot fail
		b.Write(bytes.TrimSpace(quoted.Bytes()))
		b.WriteByte(':')
		b.Write(o.values[name])
	}
	b.WriteByte('}')
	return b.Bytes()
}

func sameJSON(a, b []byte) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}
