package cli

import (
	"testing"
	"time"
)

func TestKeepTime(t *testing.T) {
	for text, want := range map[string]time.Duration{"": 0, "30d": 30 * 24 * time.Hour, "12h": 12 * time.Hour, "1d": 24 * time.Hour} {
		if got, err := keepTime(text); err != nil || got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"0d", "-1d", "30", "d", "1s", "for ever", "9999999999d"} {
		if got, err := keepTime(text); exitCode(err) != ExitUsage {
			t.Errorf("%q was taken: %v, %v", text, got, err)
		}
	}
}
