package config

import (
	"fmt"
	"log/slog"
	"time"
)

// ManagerSettings are those of one user's manager, from manager.toml in the
// configuration folder.
type ManagerSettings struct {
	// AcceptUnsigned takes unsigned commands although there is a key, for the
	// time until the server knows it (design 4b.14).
	AcceptUnsigned bool `toml:"accept_unsigned"`
	// LegacyControlQueue also takes the unsigned commands of Python senders,
	// from /queue/agent_control.{user}. A manager without a key always does.
	LegacyControlQueue bool `toml:"legacy_control_queue"`
	// LegacyWorkflowQueue lets the runner consume the shared
	// /queue/workflow_control: only on a broker with one user (design 4b.2).
	LegacyWorkflowQueue bool `toml:"legacy_workflow_queue"`
	// Heartbeat is the time between two heartbeats, 1 to 60 s.
	Heartbeat time.Duration `toml:"heartbeat"`
	// JournalDays is for how many days answers are kept.
	JournalDays int `toml:"journal_days"`
	// LogLevel is debug, info, warn or error.
	LogLevel string `toml:"log_level"`
}

// DefaultManagerSettings are the settings of a manager without a file.
func DefaultManagerSettings() ManagerSettings {
	return ManagerSettings{Heartbeat: 10 * time.Second, JournalDays: 7, LogLevel: "info"}
}

// LoadManagerSettings reads manager.toml; a missing file means the defaults.
// Errors are *swf.Error, invalid_config.
func LoadManagerSettings(path string) (ManagerSettings, error) {
	s := DefaultManagerSettings()
	if err := readStrict(path, &s); err != nil {
		return s, err
	}
	return s, s.check(path)
}

func (s ManagerSettings) check(path string) error {
	if s.Heartbeat < time.Second || s.Heartbeat > time.Minute {
		return invalidSetting(path, "heartbeat", "is out of range", `write a duration from "1s" to "1m", such as "10s"`)
	}
	if s.JournalDays < 1 || s.JournalDays > 365 {
		return invalidSetting(path, "journal_days", "is out of range", "write a number from 1 to 365")
	}
	if _, err := s.Level(); err != nil {
		return invalidSetting(path, "log_level", fmt.Sprintf("%q is no level", short(s.LogLevel)), "write debug, info, warn or error")
	}
	return nil
}

// Level returns LogLevel as slog has it.
func (s ManagerSettings) Level() (slog.Level, error) {
	var level slog.Level
	err := level.UnmarshalText([]byte(s.LogLevel))
	return level, err
}
