package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/epic-swf/testbed/monitor/store"
	"github.com/epic-swf/testbed/swf"
)

// field is what a client may put into one column, and the rules for it.
type field struct {
	name     string
	required bool // on create
	nullable bool
	blank    bool       // "" is allowed
	readOnly bool       // what a client sends is ignored
	max      int        // longest text, in characters; 0: as long as a body may be
	wide     bool       // a 64-bit integer, else 32
	isUUID   bool       // text that is a UUID
	isIP     bool       // text that is an IP address
	choices  []string   // the texts of the only values allowed
	def      any        // value on create when the client sends none
	ref      *reference // the record that the value must name
}

// reference says that a column names a record of another table: by its key, or
// by the column slug.
type reference struct {
	table *store.Table
	slug  string
}

const (
	msgRequired = "This field is required."
	msgNull     = "This field may not be null."
	msgBlank    = "This field may not be blank."
	msgText     = "Not a valid string."
	msgNUL      = "Null characters are not allowed."
	msgInt      = "A valid integer is required."
	msgFloat    = "A valid number is required."
	msgBool     = "Must be a valid boolean."
	msgUUID     = "Must be a valid UUID."
	msgIP       = "Enter a valid IPv4 or IPv6 address."
	msgTime     = "Datetime has wrong format. Use one of these formats instead: YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z]."
)

// parse turns a client's JSON value into a Record's. message is "" when it is
// acceptable.
func (f *field) parse(kind store.Kind, raw json.RawMessage) (value any, message string) {
	if isNull(raw) {
		if f.nullable {
			return nil, ""
		}
		return nil, msgNull
	}
	if f.choices != nil && !(f.blank && scalarText(raw) == "") {
		if text := scalarText(raw); !slices.Contains(f.choices, text) {
			return nil, fmt.Sprintf("\"%.100s\" is not a valid choice.", text)
		}
	}
	switch kind {
	case store.Int:
		return f.parseInt(raw)
	case store.Float:
		return parseFloat(raw)
	case store.Bool:
		return parseBool(raw)
	case store.Time:
		return parseTime(raw)
	case store.JSON:
		var compact bytes.Buffer
		if err := json.Compact(&compact, raw); err != nil {
			return nil, "Value must be valid JSON."
		}
		return json.RawMessage(compact.Bytes()), ""
	default:
		return f.parseText(raw)
	}
}

func isNull(raw json.RawMessage) bool { return string(bytes.TrimSpace(raw)) == "null" }

// scalarText is a scalar as Python's str would show it: what choices are
// compared with and what error texts quote.
func scalarText(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	switch text := string(bytes.TrimSpace(raw)); text {
	case "true":
		return "True"
	case "false":
		return "False"
	default:
		return text
	}
}

func (f *field) parseText(raw json.RawMessage) (any, string) {
	switch typeName(raw) {
	case "str", "int", "float":
	default:
		return nil, msgText
	}
	s := strings.TrimSpace(scalarText(raw))
	switch {
	case s == "" && f.nullable && !f.blank && f.isUUID:
		return nil, ""
	case s == "" && !f.blank:
		return nil, msgBlank
	case strings.ContainsRune(s, 0):
		return nil, msgNUL
	case f.max > 0 && len([]rune(s)) > f.max:
		return nil, fmt.Sprintf("Ensure this field has no more than %d characters.", f.max)
	}
	if f.isUUID {
		id, err := uuid.Parse(s)
		if err != nil {
			return nil, msgUUID
		}
		return id.String(), ""
	}
	if f.isIP {
		if _, err := netip.ParseAddr(s); err != nil {
			return nil, msgIP
		}
	}
	return s, ""
}

// wholeRE is what counts as an integer in a string: "17", "+17", "17.0".
var wholeRE = regexp.MustCompile(`^[+-]?[0-9]+(\.0*)?$`)

func (f *field) parseInt(raw json.RawMessage) (any, string) {
	low, high := int64(math.MinInt32), int64(math.MaxInt32)
	if f.wide {
		low, high = math.MinInt64, math.MaxInt64
	}
	n, ok := wholeNumber(raw)
	switch {
	case !ok:
		return nil, msgInt
	case n.tooHigh || n.value > high:
		return nil, fmt.Sprintf("Ensure this value is less than or equal to %d.", high)
	case n.tooLow || n.value < low:
		return nil, fmt.Sprintf("Ensure this value is greater than or equal to %d.", low)
	}
	return n.value, ""
}

// whole is an integer, or the side on which it leaves 64 bits.
type whole struct {
	value           int64
	tooHigh, tooLow bool
}

// wholeNumber reads an integer from a JSON number or string, also one written
// with a fraction of zeros or an exponent.
func wholeNumber(raw json.RawMessage) (whole, bool) {
	kind := typeName(raw)
	if kind != "int" && kind != "float" && kind != "str" {
		return whole{}, false
	}
	s := strings.TrimSpace(scalarText(raw))
	if len(s) > 1000 {
		return whole{}, false
	}
	if wholeRE.MatchString(s) {
		digits, _, _ := strings.Cut(s, ".")
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil {
			return whole{tooHigh: s[0] != '-', tooLow: s[0] == '-'}, true
		}
		return whole{value: n}, true
	}
	v, err := strconv.ParseFloat(s, 64)
	if kind == "str" || err != nil || v != math.Trunc(v) || math.Abs(v) > 1<<53 {
		return whole{}, false
	}
	return whole{value: int64(v)}, true
}

func parseFloat(raw json.RawMessage) (any, string) {
	switch typeName(raw) {
	case "int", "float", "str":
	default:
		return nil, msgFloat
	}
	v, err := strconv.ParseFloat(strings.TrimSpace(scalarText(raw)), 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		return nil, msgFloat
	}
	return v, ""
}

func parseBool(raw json.RawMessage) (any, string) {
	switch strings.ToLower(scalarText(raw)) {
	case "true", "t", "yes", "y", "on", "1":
		return true, ""
	case "false", "f", "no", "n", "off", "0":
		return false, ""
	}
	return nil, msgBool
}

func parseTime(raw json.RawMessage) (any, string) {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return nil, msgTime
	}
	t, err := swf.ParseTimestamp(s)
	if err != nil || t.UTC().Year() < 1 || t.UTC().Year() > 9999 { // an offset can leave what ISO 8601 writes
		return nil, msgTime
	}
	return t.UTC(), ""
}
