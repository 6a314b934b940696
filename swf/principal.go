package swf

// Principal is who is asking: over stdio the operating-system user, over HTTP
// the owner of the bearer token.
type Principal struct {
	Name     string `json:"name"`
	Operator bool   `json:"operator,omitempty"` // may act on other users' testbeds
}

// MayActOn reports whether the principal may command that user's testbed.
func (p Principal) MayActOn(username string) bool {
	return p.Name == username || p.Operator
}

// Secret is a value that must not be printed. Reveal gives it back.
type Secret string

// String implements fmt.Stringer without telling the secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "<secret>"
}

// GoString implements fmt.GoStringer without telling the secret.
func (s Secret) GoString() string { return s.String() }

// MarshalText implements encoding.TextMarshaler without telling the secret.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }
