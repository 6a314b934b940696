package config

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/epic-swf/testbed/swf"
)

// ServerSettings are those of the MCP server, from server.toml in the
// configuration folder.
type ServerSettings struct {
	// ToolPrefix stands before every tool's name, such as "swf_".
	ToolPrefix string `toml:"tool_prefix"`
	// Keyring is the folder that holds each user's control key. A relative
	// path starts at the settings' own folder.
	Keyring string `toml:"keyring"`
	// ControlQueue is the template of the users' control queues, with
	// {username}; ControlQueues sets it for single users.
	ControlQueue  string            `toml:"control_queue"`
	ControlQueues map[string]string `toml:"control_queues"`
	// AllowedHosts and AllowedOrigins are accepted besides loopback and the
	// listener's own.
	AllowedHosts   []string `toml:"allowed_hosts"`
	AllowedOrigins []string `toml:"allowed_origins"`
	Limits         Limits   `toml:"limits"`
	// Tokens are the bearers that HTTP accepts. None: no authentication.
	Tokens []Token `toml:"tokens"`

	path string
}

// Limits are those of one principal.
type Limits struct {
	CallsPerSecond float64 `toml:"calls_per_second"`
	Burst          int     `toml:"burst"`
	Concurrent     int     `toml:"concurrent"`
}

// Token is one bearer token: what it is, by its file or its SHA-256, and whose.
type Token struct {
	Name     string `toml:"name"`
	File     string `toml:"token_file"` // relative to the settings' own folder
	SHA256   string `toml:"sha256"`     // in hex
	Operator bool   `toml:"operator"`
}

// queueRE is a queue's name with one {username}: no wildcard, no second
// destination, no broker option fits in.
var queueRE = regexp.MustCompile(`^/queue/[A-Za-z0-9._-]{0,64}\{username\}[A-Za-z0-9._-]{0,64}$`)

var prefixRE = regexp.MustCompile(`^([a-z][a-z0-9_]{0,15})?$`)

// DefaultServerSettings are the settings of a server without a file.
func DefaultServerSettings() ServerSettings {
	return ServerSettings{Keyring: "keys", ControlQueue: swf.ControlQueue("{username}"),
		Limits: Limits{CallsPerSecond: 10, Burst: 20, Concurrent: 32}}
}

// LoadServerSettings reads server.toml; a missing file means the defaults.
// Errors are *swf.Error, invalid_config.
func LoadServerSettings(path string) (ServerSettings, error) {
	s := DefaultServerSettings()
	s.path = path
	if err := readStrict(path, &s); err != nil {
		return s, err
	}
	s.Keyring = s.beside(s.Keyring)
	return s, s.check()
}

// beside makes a path of the settings absolute.
func (s ServerSettings) beside(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(s.path), path)
}

func (s ServerSettings) check() error {
	if !prefixRE.MatchString(s.ToolPrefix) {
		return invalidSetting(s.path, "tool_prefix", "is no prefix of a name", `write small letters, digits and _, such as "swf_"`)
	}
	if err := checkTemplate(s.ControlQueue); err != nil {
		return invalidSetting(s.path, "control_queue", err.Error(), queueHint)
	}
	for _, user := range sortedKeys(s.ControlQueues) {
		if swf.CheckName(swf.KindUsername, user) != nil {
			return invalidSetting(s.path, "[control_queues]", fmt.Sprintf("%q is no username", short(user)), "write USERNAME = TEMPLATE")
		}
		if err := checkTemplate(s.ControlQueues[user]); err != nil {
			return invalidSetting(s.path, "[control_queues] "+user, err.Error(), queueHint)
		}
	}
	if l := s.Limits; !(l.CallsPerSecond > 0 && l.CallsPerSecond <= 10_000) || l.Burst < 1 || l.Burst > 10_000 || l.Concurrent < 1 || l.Concurrent > 10_000 {
		return invalidSetting(s.path, "[limits]", "a value is out of range", "calls_per_second, burst and concurrent are from 1 to 10000")
	}
	for _, host := range s.AllowedHosts {
		if host == "" || strings.ContainsAny(host, "/*@ ") {
			return invalidSetting(s.path, "allowed_hosts", fmt.Sprintf("%q is no host", short(host)), "write HOST or HOST:PORT; there are no wildcards")
		}
	}
	for _, origin := range s.AllowedOrigins {
		u, err := url.Parse(origin)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.Scheme+"://"+u.Host != origin {
			return invalidSetting(s.path, "allowed_origins", fmt.Sprintf("%q is no origin", short(origin)), "write https://HOST or https://HOST:PORT; there are no wildcards")
		}
	}
	return s.checkTokens()
}

const queueHint = `write a template such as "/queue/agent_control.{username}"`

func checkTemplate(template string) error {
	if !queueRE.MatchString(template) {
		return fmt.Errorf("%q is no queue with one {username}", short(template))
	}
	return nil
}

func (s ServerSettings) checkTokens() error {
	for i, t := range s.Tokens {
		which := fmt.Sprintf("[[tokens]] number %d", i+1)
		if swf.CheckName(swf.KindUsername, t.Name) != nil {
			return invalidSetting(s.path, which, fmt.Sprintf("name %q is no username", short(t.Name)), `write name = "USERNAME"`)
		}
		if (t.File == "") == (t.SHA256 == "") {
			return invalidSetting(s.path, which, "wants token_file or sha256, and not both", "the token itself is never written into the settings")
		}
		if _, err := hex.DecodeString(t.SHA256); t.SHA256 != "" && (err != nil || len(t.SHA256) != 64) {
			return invalidSetting(s.path, which, "sha256 is no SHA-256 in hex", "printf %s TOKEN | sha256sum")
		}
	}
	return nil
}

// Queue returns the control queue of a user: the one set for the user, else
// the template in SWF_CONTROL_QUEUE, else control_queue. username must be
// valid. A bad SWF_CONTROL_QUEUE is an error.
func (s ServerSettings) Queue(username string, getenv func(string) string) (string, error) {
	template := s.ControlQueue
	if env := getenv("SWF_CONTROL_QUEUE"); env != "" {
		if err := checkTemplate(env); err != nil {
			return "", swf.E(swf.CodeEnvironment, "SWF_CONTROL_QUEUE "+err.Error(), queueHint)
		}
		template = env
	}
	if own, ok := s.ControlQueues[username]; ok {
		template = own
	}
	return strings.ReplaceAll(template, "{username}", username), nil
}

// Lookup reads the token files and returns what finds a token's principal;
// nil when no tokens are configured. A token file must be closed to others
// and hold one line of at least 16 characters.
func (s ServerSettings) Lookup() (func(token string) (swf.Principal, bool), error) {
	if len(s.Tokens) == 0 {
		return nil, nil
	}
	type entry struct {
		sum [sha256.Size]byte
		who swf.Principal
	}
	entries := make([]entry, 0, len(s.Tokens))
	for _, t := range s.Tokens {
		e := entry{who: swf.Principal{Name: t.Name, Operator: t.Operator}}
		if t.SHA256 != "" {
			sum, _ := hex.DecodeString(t.SHA256) // checked at load
			copy(e.sum[:], sum)
		} else {
			token, err := readToken(s.beside(t.File))
			if err != nil {
				return nil, err
			}
			e.sum = sha256.Sum256([]byte(token))
		}
		for _, other := range entries {
			if other.sum == e.sum {
				return nil, invalidSetting(s.path, "[[tokens]]", other.who.Name+" and "+t.Name+" have the same token", "give each user a token of its own")
			}
		}
		entries = append(entries, e)
	}
	return func(token string) (swf.Principal, bool) {
		sum := sha256.Sum256([]byte(token))
		var who swf.Principal
		found := false
		for _, e := range entries { // all of them, so that time tells nothing
			if subtle.ConstantTimeCompare(e.sum[:], sum[:]) == 1 {
				who, found = e.who, true
			}
		}
		return who, found
	}, nil
}

func readToken(path string) (string, error) {
	raw, err := readRegular(plainFS{}, path)
	if err != nil {
		why := reason(err)
		if os.IsNotExist(err) {
			why = "is not there"
		}
		return "", swf.E(swf.CodeInvalidConfig, "the token file "+path+" "+why, "write the token into it, chmod 600")
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o077 != 0 {
		return "", swf.E(swf.CodeInvalidConfig, "the token file "+path+" is open to others", "chmod 600 "+path)
	}
	token := strings.TrimSpace(string(raw))
	if len(token) < 16 || strings.ContainsAny(token, " \t\r\n") {
		return "", swf.E(swf.CodeInvalidConfig, "the token file "+path+" holds no token", "write one line of at least 16 characters without blanks")
	}
	return token, nil
}
