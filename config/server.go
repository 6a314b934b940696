package config

import (
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
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
	// listener's own, by the monitor too.
	AllowedHosts   []string `toml:"allowed_hosts"`
	AllowedOrigins []string `toml:"allowed_origins"`
	// Limits are those of one principal.
	Limits Limits `toml:"limits"`
	// OAuth names the authorization server whose tokens HTTP accepts, beside
	// those of "testbed token"; without an issuer there is none.
	OAuth OAuth `toml:"oauth"`

	path string
}

// Limits are those of one principal.
type Limits struct {
	// CallsPerSecond is how many calls a second are taken in the long run.
	CallsPerSecond float64 `toml:"calls_per_second"`
	// Burst is how many at once after a pause.
	Burst int `toml:"burst"`
	// Concurrent is how many may be unanswered.
	Concurrent int `toml:"concurrent"`
}

// OAuth says whose access tokens are good here (RFC 9728: this server is a
// protected resource).
type OAuth struct {
	// Issuer is the URL of the authorization server, as in the claim iss.
	Issuer string `toml:"issuer"`
	// Resource is the URL of this server's /mcp as clients know it, and what
	// the claim aud of a token must name.
	Resource string `toml:"resource"`
	// JWKS is where the issuer's keys are; default: what its metadata says.
	JWKS string `toml:"jwks_url"`
	// UsernameClaim holds the user's name; default "preferred_username".
	UsernameClaim string `toml:"username_claim"`
	// Algorithms are the signatures that count; default RS256, PS256, ES256
	// and EdDSA. Neither "none" nor a shared secret can be allowed.
	Algorithms []string `toml:"algorithms"`
	// Operators are the users that may act on everybody's testbed.
	Operators []string `toml:"operators"`
}

// queueRE is a queue's name with one {username}: no wildcard, no second
// destination, no broker option fits in. Before and after it are at most 64
// characters, which are counted apart: in the expression they would take 100 kB.
var queueRE = regexp.MustCompile(`^/queue/([A-Za-z0-9._-]*)\{username\}([A-Za-z0-9._-]*)$`)

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
	err := s.check()
	return s, err
}

// beside makes a path of the settings absolute.
func (s ServerSettings) beside(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(s.path), path)
}

func (s *ServerSettings) check() error {
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
	return s.checkOAuth()
}

const queueHint = `write a template such as "/queue/agent_control.{username}"`

func checkTemplate(template string) error {
	if m := queueRE.FindStringSubmatch(template); m == nil || len(m[1]) > 64 || len(m[2]) > 64 {
		return fmt.Errorf("%q is no queue with one {username}", short(template))
	}
	return nil
}

// signatures are the asymmetric algorithms of RFC 7518 and 8037.
var signatures = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

func (s *ServerSettings) checkOAuth() error {
	o := &s.OAuth
	if o.Issuer == "" {
		if o.Resource != "" || o.JWKS != "" || o.UsernameClaim != "" || len(o.Operators)+len(o.Algorithms) > 0 {
			return invalidSetting(s.path, "[oauth] issuer", "is missing", `write issuer = "https://AUTHORIZATION-SERVER"`)
		}
		return nil
	}
	for key, value := range map[string]string{"issuer": o.Issuer, "resource": o.Resource, "jwks_url": o.JWKS} {
		if !(value == "" && key == "jwks_url") && !safeURL(value) {
			return invalidSetting(s.path, "[oauth] "+key, fmt.Sprintf("%q is no https URL", short(value)), "write https://HOST/PATH without query; plain http only for this host itself")
		}
	}
	if o.UsernameClaim == "" {
		o.UsernameClaim = "preferred_username"
	}
	if o.Algorithms == nil {
		o.Algorithms = []string{"RS256", "PS256", "ES256", "EdDSA"}
	}
	for _, alg := range o.Algorithms {
		if !slices.Contains(signatures, alg) {
			return invalidSetting(s.path, "[oauth] algorithms", fmt.Sprintf("%q cannot be allowed", short(alg)), "choose among "+strings.Join(signatures, ", "))
		}
	}
	for _, user := range o.Operators {
		if swf.CheckName(swf.KindUsername, user) != nil {
			return invalidSetting(s.path, "[oauth] operators", fmt.Sprintf("%q is no username", short(user)), `write operators = ["USERNAME"]`)
		}
	}
	return nil
}

// safeURL reports whether keys and tokens may be asked for at that URL.
func safeURL(text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Scheme == "https" || u.Scheme == "http" && (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback())
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
