package cli

import (
	"io"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"github.com/epic-swf/testbed/swf"
)

// envLogFormat is --log-format for those who start programs by a unit or a
// client's configuration.
const envLogFormat = "SWF_LOG_FORMAT"

// logFlags say how a program writes its log.
type logFlags struct {
	format string // text, json; "" is the environment's, or text
	level  string // "" is the program's own
}

func (f *logFlags) add(cmd *cobra.Command) {
	cmd.PersistentFlags().StringVar(&f.format, "log-format", "", "text or json (default: $"+envLogFormat+", else text)")
	cmd.PersistentFlags().StringVar(&f.level, "log-level", "", "debug, info, warn or error (default: the program's own)")
}

// check complains of what is none.
func (f *logFlags) check(getenv func(string) string) error {
	if f.format == "" {
		f.format = getenv(envLogFormat)
	}
	switch f.format {
	case "", "text", "json":
	default:
		return usageError{swf.E(swf.CodeInvalidArgument, "the log format is text or json, not "+f.format, "mend --log-format or "+envLogFormat)}
	}
	if _, err := parseLevel(f.level); f.level != "" && err != nil {
		return usageError{swf.E(swf.CodeInvalidArgument, "there is no log level "+f.level, "debug, info, warn and error are")}
	}
	return nil
}

func parseLevel(text string) (level slog.Level, err error) {
	return level, level.UnmarshalText([]byte(strings.ToUpper(text)))
}

// logger makes the log; level counts where no flag says otherwise.
func (f *logFlags) logger(w io.Writer, level slog.Level) *slog.Logger {
	if l, err := parseLevel(f.level); err == nil {
		level = l
	}
	o := &slog.HandlerOptions{Level: level}
	if f.format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}
