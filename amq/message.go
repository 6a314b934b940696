package amq

import (
	"bytes"
	"regexp"
	"strings"
	"sync/atomic"

	"github.com/go-stomp/stomp/v3"
)

// MaxBody is the largest body, in bytes, that is sent or delivered. A larger
// one from the broker is acknowledged, so that it does not come back for ever,
// and dropped.
const MaxBody = 256 << 10

// Message is what is sent. It travels without content-length, so that JMS
// consumers see text; a body with a NUL byte is therefore refused.
type Message struct {
	Destination string            // /queue/NAME or /topic/NAME
	Headers     map[string]string // besides the destination; any but the frame's own
	Body        []byte

	// Once is for receivers that must not get a message twice: one that a dying
	// link may or may not have carried is not sent again (see Conn.Publish).
	Once bool
}

// Delivery is one message that came in.
type Delivery struct {
	Message
	ID          string // the broker's message-id; brokers reuse them
	Redelivered bool   // somebody was given it before and went without an Ack

	acked atomic.Bool
	link  *link // nil when there is nothing to acknowledge
	sub   *Subscription
	raw   *stomp.Message
	cut   bool // larger than the limits
}

// Ack tells the broker that the message is dealt with. A second Ack, the Ack
// of a delivery that came over an earlier connection and that of a closed
// subscription do nothing and are no error: the broker has taken such a message
// back and answers a wrong ACK by closing the connection. There is no Nack:
// brokers discard what is refused.
// The error is always nil today.
func (d *Delivery) Ack() error {
	if d.link == nil || !d.acked.CompareAndSwap(false, true) {
		return nil
	}
	d.link.ack(d)
	return nil
}

// destinationPattern is without the greatest length: that written into it, it
// would take 200 kB and milliseconds to make, in every process.
var destinationPattern = regexp.MustCompile(`^/(queue|topic)/[A-Za-z0-9_][A-Za-z0-9_.$/-]*$`)

const longestDestination = len("/queue/") + 200

// CheckDestination returns an *Error unless s is /queue/NAME or /topic/NAME,
// where NAME is letters, digits and "_.$/-": no wildcard, list, option or line
// end that a broker would give a meaning to.
func CheckDestination(s string) error {
	if len(s) > longestDestination || !destinationPattern.MatchString(s) {
		return fault(CodeInvalidDestination, nil, "destination %.80q is not /queue/NAME or /topic/NAME with a NAME of letters, digits and _.$/-", s)
	}
	return nil
}

// reserved are the headers that the frame, not the caller, sets.
var reserved = map[string]bool{
	"destination": true, "content-length": true, "receipt": true, "transaction": true,
	"id": true, "ack": true, "message-id": true, "subscription": true,
}

func checkHeaders(h map[string]string) error {
	for k, v := range h {
		if k == "" || reserved[k] || strings.ContainsAny(k, "\r\n\x00:\\") {
			return fault(CodeInvalidMessage, nil, "header name %.80q cannot be sent", k)
		}
		if strings.ContainsAny(v, "\r\n\x00") {
			return fault(CodeInvalidMessage, nil, "header %.80q holds a line end or NUL", k)
		}
	}
	return nil
}

func (m *Message) check() error {
	if err := CheckDestination(m.Destination); err != nil {
		return err
	}
	if err := checkHeaders(m.Headers); err != nil {
		return err
	}
	if len(m.Body) > MaxBody {
		return fault(CodeInvalidMessage, nil, "body of %d bytes exceeds %d", len(m.Body), MaxBody)
	}
	if bytes.IndexByte(m.Body, 0) >= 0 {
		return fault(CodeInvalidMessage, nil, "body holds a NUL byte, which ends a frame without content-length")
	}
	return nil
}

// isTopic also tells Artemis' routing types apart.
func isTopic(destination string) bool { return strings.HasPrefix(destination, "/topic/") }

func routing(destination string) string {
	if isTopic(destination) {
		return "MULTICAST"
	}
	return "ANYCAST"
}
