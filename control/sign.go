package control

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/epic-swf/testbed/swf"
)

// SignatureHeader carries "<key id>;<base64 HMAC-SHA256>".
const SignatureHeader = "swf-signature"

// Domain separates what is signed, so that a reply is never taken for a
// command.
type Domain string

// The domains of signed bodies.
const (
	DomainCommand  Domain = "command"
	DomainReply    Domain = "reply"
	DomainAnnounce Domain = "announce"
)

func (k Key) mac(d Domain, body []byte) []byte {
	h := hmac.New(sha256.New, k.Secret)
	h.Write([]byte(d))
	h.Write([]byte{'\n'})
	h.Write(body)
	return h.Sum(nil)
}

// Sign returns the value of SignatureHeader for the exact body.
func (k Key) Sign(d Domain, body []byte) string {
	return k.ID + ";" + base64.StdEncoding.EncodeToString(k.mac(d, body))
}

// Verify returns a bad_signature Error unless the header's value is this key's
// signature of the exact body.
func (k Key) Verify(d Domain, header string, body []byte) error {
	return k.Ring().Verify(d, header, body)
}

// Verify returns a bad_signature Error unless the header's value is the
// signature of the exact body by a key that lives.
func (r Ring) Verify(d Domain, header string, body []byte) error {
	id, sum, ok := strings.Cut(header, ";")
	if !ok || header == "" {
		return badSignature("the message is not signed")
	}
	k := r.Key(id)
	if k.IsZero() {
		return badSignature(fmt.Sprintf("the message is signed with another key (%q)", clip(id, 16)))
	}
	got, err := base64.StdEncoding.DecodeString(sum)
	if err != nil || !hmac.Equal(got, k.mac(d, body)) {
		return badSignature("the signature does not match the message")
	}
	return nil
}

// SignedBy is the id of the key that a signature names, "" where there is none.
// Only what was verified is really of that key.
func SignedBy(header string) string {
	id, _, ok := strings.Cut(header, ";")
	if !ok {
		return ""
	}
	return id
}

func badSignature(message string) error {
	return swf.E(swf.CodeBadSignature, message,
		"give the sender a key that the manager holds: testbed key export on the user's host, testbed key enroll where the sender runs; then send again")
}
