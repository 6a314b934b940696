package otlp

import (
	"encoding/binary"
	"strings"
)

// message is a protobuf message that is being written. Fields with their zero
// value are left out, as proto3 has it.
type message []byte

// The wire types of protobuf that OTLP has.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

func (m *message) tag(field, wire uint64) { *m = binary.AppendUvarint(*m, field<<3|wire) }

func (m *message) varint(field, v uint64) {
	if v != 0 {
		m.tag(field, wireVarint)
		*m = binary.AppendUvarint(*m, v)
	}
}

func (m *message) fixed64(field, v uint64) {
	if v != 0 {
		m.tag(field, wireFixed64)
		*m = binary.LittleEndian.AppendUint64(*m, v)
	}
}

func (m *message) fixed32(field uint64, v uint32) {
	if v != 0 {
		m.tag(field, wireFixed32)
		*m = binary.LittleEndian.AppendUint32(*m, v)
	}
}

func (m *message) text(field uint64, s string) {
	if s != "" {
		m.block(field, valid(s))
	}
}

// valid mends a text: for one bad byte a collector would refuse the whole batch.
func valid(s string) []byte { return []byte(strings.ToValidUTF8(s, "\uFFFD")) }

// block writes bytes, be they none: whether a member of a oneof is there says
// something too.
func (m *message) block(field uint64, b []byte) {
	m.tag(field, wireBytes)
	*m = binary.AppendUvarint(*m, uint64(len(b)))
	*m = append(*m, b...)
}

// nest writes a message within this one.
func (m *message) nest(field uint64, write func(*message)) {
	var inner message
	write(&inner)
	m.block(field, inner)
}

// some is nest for what is left out when it is empty.
func (m *message) some(field uint64, write func(*message)) {
	var inner message
	if write(&inner); len(inner) > 0 {
		m.block(field, inner)
	}
}

// fields calls f for each field of an encoded message, until one is damaged: v
// is the number, or b the bytes. It is false for what is no message.
func fields(b []byte, f func(field, v uint64, b []byte)) bool {
	for len(b) > 0 {
		tag, n := binary.Uvarint(b)
		if n <= 0 || tag>>3 == 0 {
			return false
		}
		b = b[n:]
		var v uint64
		var block []byte
		size := 0
		switch tag & 7 {
		case wireVarint:
			if v, size = binary.Uvarint(b); size <= 0 {
				return false
			}
		case wireFixed64:
			size = 8
		case wireFixed32:
			size = 4
		case wireBytes:
			length, n := binary.Uvarint(b)
			if n <= 0 || length > uint64(len(b)-n) {
				return false
			}
			size = n + int(length)
			block = b[n:size]
		default:
			return false
		}
		if size > len(b) {
			return false
		}
		f(tag>>3, v, block)
		b = b[size:]
	}
	return true
}
