package supervisor

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

// variables are what %(name)s can mean.
type variables map[string]string

func (v variables) with(more ...string) variables {
	out := make(variables, len(v)+len(more)/2)
	for k, s := range v {
		out[k] = s
	}
	for i := 0; i+1 < len(more); i += 2 {
		out[more[i]] = more[i+1]
	}
	return out
}

// environment gives each variable of env as ENV_NAME. Where one stands twice
// the last counts, as in exec.
func environment(env []string) variables {
	v := make(variables, len(env))
	for _, kv := range env {
		if name, value, ok := strings.Cut(kv, "="); ok && name != "" {
			v["ENV_"+name] = value
		}
	}
	return v
}

// errUnset is an expansion that names nothing. supervisord would print the names
// of all variables there are; this names the one that is missing.
type errUnset struct{ name string }

func (e errUnset) Error() string {
	if env, ok := strings.CutPrefix(e.name, "ENV_"); ok {
		return fmt.Sprintf("environment variable %s is not set", env)
	}
	return fmt.Sprintf("%%(%s)s means nothing here", e.name)
}

var errFormat = errors.New("badly formatted: a percent sign is written %%")

// expand does what Python's % operator does for %(name)s, %(name)d with zeros
// and a width, and %%.
func (v variables) expand(s string) (string, error) {
	if !strings.Contains(s, "%") {
		return s, nil
	}
	var b strings.Builder
	for {
		at := strings.IndexByte(s, '%')
		if at < 0 {
			b.WriteString(s)
			return b.String(), nil
		}
		b.WriteString(s[:at])
		s = s[at+1:]
		if strings.HasPrefix(s, "%") {
			b.WriteByte('%')
			s = s[1:]
			continue
		}
		if !strings.HasPrefix(s, "(") {
			return "", errFormat
		}
		end := strings.IndexByte(s, ')')
		if end < 0 {
			return "", errFormat
		}
		value, ok := v[s[1:end]]
		if !ok {
			return "", errUnset{clip(s[1:end], 64)}
		}
		text, rest, err := conversion(s[end+1:], value)
		if err != nil {
			return "", err
		}
		b.WriteString(text)
		s = rest
	}
}

// conversion applies what follows %(name): flags, a width, and s or d.
func conversion(s, value string) (text, rest string, err error) {
	i := 0
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	if i >= len(s) || i > 3 {
		return "", "", errFormat
	}
	width, _ := strconv.Atoi(s[:i])
	switch s[i] {
	case 's':
		return fmt.Sprintf("%*s", width, value), s[i+1:], nil
	case 'd':
		n, err := strconv.Atoi(value)
		if err != nil {
			return "", "", errFormat
		}
		if s[0] == '0' {
			return fmt.Sprintf("%0*d", width, n), s[i+1:], nil
		}
		return fmt.Sprintf("%*d", width, n), s[i+1:], nil
	}
	return "", "", errFormat
}

// clip shortens text for a message.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}

// reason is an error without the path, which the message has already.
func reason(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}
