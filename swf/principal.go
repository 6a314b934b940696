package swf

// Principal is who is asking: over stdio the operating-system user, over HTTP
// the owner of the bearer token.
type Principal struct {
	Name     string `json:"name"`
	Operator bool   `json:"operator,omitempty"`  // may act on other users' testbeds
	ReadOnly bool   `json:"read_only,omitempty"` // may look and change nothing, an operator too
}

// MayActOn reports whether that user's testbed is one of the principal's: its
// own, or any for an operator. Whether it may change anything there is for
// ReadOnly to say.
func (p Principal) MayActOn(username string) bool {
	return p.Name == username || p.Operator
}

// Role is what the owner of a token may do.
type Role string

// The roles.
const (
	RoleUser     Role = "user"     // controls the own testbed
	RoleOperator Role = "operator" // controls everybody's
	RoleViewer   Role = "viewer"   // sees what a user sees, controls nothing
)

// Roles are all of them, the usual first.
func Roles() []Role { return []Role{RoleUser, RoleOperator, RoleViewer} }

// Principal is that user in this role.
func (r Role) Principal(name string) Principal {
	return Principal{Name: name, Operator: r == RoleOperator, ReadOnly: r == RoleViewer}
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
