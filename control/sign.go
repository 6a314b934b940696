package control

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
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

// Key is one user's control key. The zero Key signs nothing.
type Key struct {
	ID     string
	Secret []byte
}

// NewKey makes a random key of 256 bits.
func NewKey() Key {
	b := make([]byte, 36)
	_, _ = rand.Read(b)
	return Key{ID: hex.EncodeToString(b[:4]), Secret: b[4:]}
}

// IsZero reports whether there is no key.
func (k Key) IsZero() bool { return len(k.Secret) == 0 }

// String tells the id alone.
func (k Key) String() string { return "key " + k.ID }

// GoString tells the id alone.
func (k Key) GoString() string { return k.String() }

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
	id, sum, ok := strings.Cut(header, ";")
	if !ok || header == "" {
		return badSignature("the message is not signed")
	}
	if k.IsZero() || id != k.ID {
		return badSignature(fmt.Sprintf("the message is signed with another key (%q)", clip(id, 16)))
	}
	got, err := base64.StdEncoding.DecodeString(sum)
	if err != nil || !hmac.Equal(got, k.mac(d, body)) {
		return badSignature("the signature does not match the message")
	}
	return nil
}

func badSignature(message string) error {
	return swf.E(swf.CodeBadSignature, message,
		"give the sender and the manager the same control key (testbed init makes it), then send again")
}

// WriteKey stores a key in a new file of mode 0600. It refuses to overwrite.
func WriteKey(path string, k Key) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(f, "%s %s\n", k.ID, hex.EncodeToString(k.Secret)); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// ReadKey reads what WriteKey wrote. A file that others may read is refused.
func ReadKey(path string) (Key, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Key{}, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return Key{}, swf.E(swf.CodeEnvironment, fmt.Sprintf("the control key %s can be read by others", path), "chmod 600 "+path)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return Key{}, err
	}
	id, hexSecret, _ := strings.Cut(strings.TrimSpace(string(b)), " ")
	secret, err := hex.DecodeString(hexSecret)
	if err != nil || id == "" || len(secret) < 16 {
		return Key{}, swf.E(swf.CodeEnvironment, fmt.Sprintf("%s holds no control key", path), "move it away and run testbed init again")
	}
	return Key{ID: id, Secret: secret}, nil
}
