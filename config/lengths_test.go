package config

import (
	"strings"
	"testing"
)

// TestLengths: what the patterns leave to be counted is counted.
func TestLengths(t *testing.T) {
	x := func(n int) string { return strings.Repeat("x", n) }
	for template, ok := range map[string]bool{
		"/queue/" + x(64) + "{username}" + x(64): true,
		"/queue/" + x(65) + "{username}":         false,
		"/queue/{username}" + x(65):              false,
	} {
		if err := checkTemplate(template); (err == nil) != ok {
			t.Errorf("%s: %v", template, err)
		}
	}
	for name, ok := range map[string]bool{x(128): true, x(129): false} {
		if _, _, got, why := parseEnvLine(name + "=1"); got != ok {
			t.Errorf("a variable of %d characters: %v, %q", len(name), got, why)
		}
	}
}
