package config

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/epic-swf/testbed/swf"
)

// envNameRE leaves out the greatest length, which would take it 100 kB.
var envNameRE = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

const longestEnvName = 128

// LoadDotEnv reads a .env file: lines KEY=value, with or without "export", as
// a shell would read them but without ever replacing a $. A missing file is
// an empty one. Errors are *swf.Error with file and line; they never show a
// value.
//
// A value ends at a comment (# behind a blank) unless it is quoted. Inside of
// double quotes a backslash takes the meaning from ", $, ` and itself. A line
// without "=" is no assignment and is skipped, as the Python agents do.
func LoadDotEnv(path string) (map[string]string, error) {
	text, err := readRegular(plainFS{}, path)
	if errors.Is(err, fs.ErrNotExist) {
		return map[string]string{}, nil
	}
	if err != nil {
		return nil, swf.E(swf.CodeEnvironment, path+" "+reason(err), "put a small text file there, or remove it")
	}
	return parseDotEnv(path, string(text))
}

func parseDotEnv(shown, text string) (map[string]string, error) {
	vars := map[string]string{}
	text = strings.TrimPrefix(text, "\uFEFF")
	if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return nil, swf.E(swf.CodeEnvironment, shown+" is not a text file", "write it in UTF-8")
	}
	for i, line := range strings.Split(text, "\n") {
		key, value, ok, why := parseEnvLine(strings.TrimSuffix(line, "\r"))
		if why != "" {
			return nil, swf.E(swf.CodeEnvironment, fmt.Sprintf("%s:%d: %s", shown, i+1, why), `write the line as KEY=value or KEY="value"`)
		}
		if ok {
			vars[key] = value
		}
		if len(vars) > maxKeys {
			return nil, swf.E(swf.CodeEnvironment, shown+" has too many lines", fmt.Sprintf("at most %d variables are read", maxKeys))
		}
	}
	return vars, nil
}

func parseEnvLine(line string) (key, value string, ok bool, why string) {
	line = strings.TrimLeft(line, " \t")
	if line == "" || line[0] == '#' {
		return "", "", false, ""
	}
	if rest := strings.TrimPrefix(line, "export"); rest != line && strings.TrimLeft(rest, " \t") != rest {
		line = strings.TrimLeft(rest, " \t")
	}
	key, rest, found := strings.Cut(line, "=")
	if !found {
		return "", "", false, ""
	}
	key = strings.TrimRight(key, " \t")
	if len(key) > longestEnvName || !envNameRE.MatchString(key) {
		return "", "", false, "what stands before the = is no name of a variable"
	}
	value, why = parseEnvValue(strings.TrimLeft(rest, " \t"), len(rest) > 0 && (rest[0] == ' ' || rest[0] == '\t'))
	return key, value, why == "", why
}

// parseEnvValue reads what follows the =. afterBlank tells that a blank was
// there, so that a # at once begins a comment.
func parseEnvValue(s string, afterBlank bool) (value, why string) {
	if s == "" {
		return "", ""
	}
	if s[0] != '"' && s[0] != '\'' {
		blank := afterBlank
		for i := range len(s) {
			if s[i] == '#' && blank {
				s = s[:i]
				break
			}
			blank = s[i] == ' ' || s[i] == '\t'
		}
		return strings.TrimRight(s, " \t\r"), ""
	}
	value, rest, closed := unquote(s)
	if !closed {
		return "", "a quoted value is not closed on its line"
	}
	if trimmed := strings.TrimSpace(rest); trimmed != "" && (trimmed[0] != '#' || rest[0] == '#') {
		return "", "something follows the closing quote"
	}
	return value, ""
}

// unquote reads the quoted value that s begins with, and what follows it.
func unquote(s string) (value, rest string, closed bool) {
	quote := s[0]
	var out strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == quote:
			return out.String(), s[i+1:], true
		case quote == '"' && s[i] == '\\' && i+1 < len(s) && strings.IndexByte("\"\\$`", s[i+1]) >= 0:
			i++
		}
		out.WriteByte(s[i])
	}
	return "", "", false
}
