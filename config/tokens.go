package config

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/BurntSushi/toml"

	"github.com/epic-swf/testbed/swf"
)

// Use is what a token opens: one for an agent's environment must not command
// testbeds.
type Use string

// The uses of tokens.
const (
	ForMCP     Use = "mcp"
	ForMonitor Use = "monitor"
)

// maxTokens keeps the file below the size that settings may have.
const maxTokens = 200

// Token is a bearer token as it is kept: without the token itself, of which
// only the SHA-256 stays. It has 256 random bits, so nothing is gained by a
// slower hash.
type Token struct {
	ID      string    `toml:"id" json:"id"` // for people, to revoke it
	User    string    `toml:"user" json:"user"`
	Role    swf.Role  `toml:"role" json:"role"`
	For     Use       `toml:"for" json:"for"`
	SHA256  string    `toml:"sha256" json:"-"` // in hex
	Created time.Time `toml:"created" json:"created"`
	Expires time.Time `toml:"expires,omitempty" json:"expires,omitzero"` // zero: never
	Note    string    `toml:"note,omitempty" json:"note,omitempty"`
}

// Expired reports whether the token's time is over.
func (t Token) Expired(now time.Time) bool { return !t.Expires.IsZero() && !now.Before(t.Expires) }

// Tokens are the bearer tokens of a server, in a file that "testbed token"
// writes. Every lookup sees the file as it is now: a token that was revoked is
// refused at once, without a restart. Safe for concurrent use, also by several
// processes.
type Tokens struct {
	path string
	log  *slog.Logger
	now  func() time.Time

	mu    sync.Mutex
	stamp string // of the file that was read
	known map[[sha256.Size]byte]Token
}

type tokenFile struct {
	Tokens []Token `toml:"tokens"`
}

// OpenTokens returns the tokens in that file, which need not exist yet.
// Nothing is read before it is asked for.
func OpenTokens(path string, log *slog.Logger) *Tokens {
	return &Tokens{path: path, log: log, now: time.Now}
}

// Path is where the file is.
func (t *Tokens) Path() string { return t.path }

// Lookup returns what finds the principal of a token for that use. With a file
// that cannot be trusted it knows nobody, and the log says why.
func (t *Tokens) Lookup(use Use) func(token string) (swf.Principal, bool) {
	return func(token string) (swf.Principal, bool) {
		// Comparing digests tells an attacker nothing about tokens: nobody can
		// choose the bytes that a digest begins with.
		found, ok := t.current()[sha256.Sum256([]byte(token))]
		if !ok || found.For != use || found.Expired(t.now()) {
			return swf.Principal{}, false
		}
		return found.Role.Principal(found.User), true
	}
}

// current reads the file if it is not the one that was read before. Files are
// replaced, never rewritten, so the inode tells.
func (t *Tokens) current() map[[sha256.Size]byte]Token {
	stamp := "none"
	if info, err := os.Stat(t.path); err == nil {
		stamp = fmt.Sprint(info.ModTime().UnixNano(), info.Size(), info.Mode())
		if stat, ok := info.Sys().(*syscall.Stat_t); ok {
			stamp += fmt.Sprint("/", stat.Ino)
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if stamp == t.stamp {
		return t.known
	}
	t.stamp, t.known = stamp, nil
	list, err := t.read()
	if err != nil {
		t.log.Error("no token is accepted until the file of tokens is mended", "err", err)
		return nil
	}
	t.known = make(map[[sha256.Size]byte]Token, len(list))
	for _, token := range list {
		var sum [sha256.Size]byte
		_, _ = hex.Decode(sum[:], []byte(token.SHA256)) // read has checked it
		t.known[sum] = token
	}
	return t.known
}

// List returns the tokens in the order in which they were added.
func (t *Tokens) List() ([]Token, error) { return t.read() }

// Add makes a token and returns it, the only time that it can be seen. ID,
// SHA256 and Created of the entry are filled in. Errors are *swf.Error.
func (t *Tokens) Add(entry Token) (swf.Secret, Token, error) {
	random := make([]byte, 32)
	_, _ = rand.Read(random) // never fails
	secret := swf.Secret("swf_" + base64.RawURLEncoding.EncodeToString(random))
	entry, err := t.Enroll(secret, entry)
	return secret, entry, err
}

// Enroll is Add for a token that exists.
func (t *Tokens) Enroll(secret swf.Secret, entry Token) (Token, error) {
	sum := sha256.Sum256([]byte(secret.Reveal()))
	id := make([]byte, 4)
	_, _ = rand.Read(id)
	entry.ID, entry.SHA256, entry.Created = hex.EncodeToString(id), hex.EncodeToString(sum[:]), t.now().UTC().Truncate(time.Second)
	if why, hint := entry.wrong(); why != "" {
		return entry, swf.E(swf.CodeInvalidArgument, why, hint)
	}
	return entry, t.change(func(list []Token) ([]Token, error) {
		if len(list) >= maxTokens {
			return nil, swf.E(swf.CodeInvalidArgument, fmt.Sprintf("there are %d tokens already", len(list)), "revoke those that nobody needs: testbed token list, testbed token revoke ID")
		}
		return append(list, entry), nil
	})
}

// Revoke removes the tokens that match and returns them.
func (t *Tokens) Revoke(match func(Token) bool) (gone []Token, err error) {
	return gone, t.change(func(list []Token) ([]Token, error) {
		return slices.DeleteFunc(list, func(token Token) bool {
			if match(token) {
				gone = append(gone, token)
				return true
			}
			return false
		}), nil
	})
}

// change replaces the file. A lock beside it keeps two writers apart.
func (t *Tokens) change(f func([]Token) ([]Token, error)) error {
	lock, err := os.OpenFile(t.path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return swf.E(swf.CodeEnvironment, "the file of tokens cannot be locked", "check the permissions of its folder").Because(err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return swf.E(swf.CodeEnvironment, "the file of tokens cannot be locked", "keep it on a local file system").Because(err)
	}
	list, err := t.read()
	if err != nil {
		return err
	}
	if list, err = f(list); err != nil {
		return err
	}
	text, err := toml.Marshal(tokenFile{list})
	if err == nil {
		err = writeAtomic(t.path, append([]byte("# Written by \"testbed token\". Tokens are kept as their SHA-256 only.\n"), text...))
	}
	if err != nil {
		return swf.E(swf.CodeEnvironment, t.path+" could not be written", "check the space and the permissions there").Because(err)
	}
	return nil
}

// read returns what the file holds. It must be ours and closed to others: who
// can write it can be anybody.
func (t *Tokens) read() ([]Token, error) {
	info, err := os.Stat(t.path)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err == nil && (!ownedByUs(info) || info.Mode().Perm()&0o077 != 0) {
		return nil, swf.E(swf.CodeInvalidConfig, t.path+" is open to others", "chmod 600 "+t.path+", and make sure that it is yours")
	}
	var f tokenFile
	if err := readStrict(t.path, &f); err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for i, token := range f.Tokens {
		why, hint := token.wrong()
		if why == "" && seen[token.SHA256] {
			why, hint = "is there twice", "revoke one: testbed token revoke "+token.ID
		}
		if why != "" {
			return nil, invalidSetting(t.path, fmt.Sprintf("[[tokens]] number %d", i+1), why, hint)
		}
		seen[token.SHA256] = true
	}
	return f.Tokens, nil
}

// wrong says what is wrong with an entry, or nothing.
func (t Token) wrong() (what, hint string) {
	switch sum, err := hex.DecodeString(t.SHA256); {
	case swf.CheckName(swf.KindUsername, t.User) != nil:
		return fmt.Sprintf("%q is no username", short(t.User)), "small letters, digits, _ and -, as on the hosts"
	case !slices.Contains(swf.Roles(), t.Role):
		return fmt.Sprintf("%q is no role", short(string(t.Role))), "the roles are user, operator and viewer"
	case t.For != ForMCP && t.For != ForMonitor:
		return fmt.Sprintf("%q is nothing that a token is for", short(string(t.For))), "a token is for mcp or for monitor"
	case err != nil || len(sum) != sha256.Size:
		return "has no SHA-256 in hex", "make tokens with testbed token add"
	case len(t.Note) > 200:
		return "has a note of over 200 bytes", "write less"
	}
	return "", ""
}
