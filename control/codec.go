package control

import (
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/epic-swf/testbed/swf"
)

// Encode writes the command as ASCII JSON: ActiveMQ Classic mangles UTF-8
// sequences of four bytes, and a signature covers exact bytes.
func (c *Command) Encode() ([]byte, error) {
	b, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode command: %w", err)
	}
	b = swf.ASCIIJSON(b)
	if len(b) > MaxBody {
		return nil, swf.E(swf.CodeInvalidArgument, fmt.Sprintf("the command is %d bytes long, %d are allowed", len(b), MaxBody), "send fewer or shorter parameters")
	}
	return b, nil
}

// DecodeCommand reads a command. Unknown fields are ignored, trailing data
// and a body over MaxBody are not.
func DecodeCommand(body []byte) (Command, error) {
	var c Command
	if len(body) <= MaxBody && c.plain(body) {
		return c, nil
	}
	c = Command{}
	if err := decode(body, &c); err != nil {
		return Command{}, err
	}
	return c, nil
}

// Encode writes the reply as ASCII JSON of at most MaxBody bytes, cutting log
// tails, from the front, until it fits. What does not fit even so is told
// without its programs and details: the outcome must arrive.
func (r Reply) Encode() ([]byte, error) {
	for keep := 2048; ; keep /= 2 {
		b, err := json.Marshal(r)
		if err != nil {
			return nil, fmt.Errorf("encode reply: %w", err)
		}
		b = swf.ASCIIJSON(b)
		if len(b) <= MaxBody {
			return b, nil
		}
		switch {
		case keep > 0:
			r = r.cut(keep)
		case r.Programs != nil || r.Details != nil:
			r.Message += fmt.Sprintf(" (%d programs and the details do not fit into one message)", len(r.Programs))
			r.Programs, r.Details, r.Text = nil, nil, ""
		default:
			return nil, fmt.Errorf("a reply of %d bytes does not fit into %d", len(b), MaxBody)
		}
	}
}

// cut returns a copy whose long texts keep their last n bytes.
func (r Reply) cut(n int) Reply {
	programs := make([]swf.Program, len(r.Programs))
	for i, p := range r.Programs {
		p.LogTail = tail(p.LogTail, n)
		programs[i] = p
	}
	r.Programs = programs
	r.Text = tail(r.Text, 16*n)
	if r.Of != nil {
		of := r.Of.cut(n)
		r.Of = &of
	}
	return r
}

// tail returns the last n bytes of s, beginning at a whole character.
func tail(s string, n int) string {
	if len(s) <= n {
		return s
	}
	s = s[len(s)-n:]
	for len(s) > 0 && !utf8.RuneStart(s[0]) {
		s = s[1:]
	}
	return s
}

// DecodeReply reads a reply under the same rules as DecodeCommand.
func DecodeReply(body []byte) (Reply, error) {
	var r Reply
	if len(body) <= MaxBody && r.plain(body) {
		return r, nil
	}
	r = Reply{}
	if err := decode(body, &r); err != nil {
		return Reply{}, err
	}
	return r, nil
}

func decode(body []byte, into any) error {
	if len(body) > MaxBody {
		return swf.E(swf.CodeInvalidArgument, fmt.Sprintf("the message is %d bytes long, %d are allowed", len(body), MaxBody), "send less")
	}
	if err := json.Unmarshal(body, into); err != nil {
		return swf.E(swf.CodeInvalidArgument, "the message is not the one JSON object it should be", "send one object in one message, with the fields that docs/protocol.md tells").Because(err)
	}
	return nil
}
