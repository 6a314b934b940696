package cli

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
)

func discardLog() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestLogFormatAndLevel(t *testing.T) {
	for _, tt := range []struct {
		name         string
		flags        logFlags
		env          string
		json, info   bool
		complaintHas string
	}{
		{name: "as ever", info: true},
		{name: "json", flags: logFlags{format: "json"}, json: true, info: true},
		{name: "json by the environment", env: "json", json: true, info: true},
		{name: "the flag wins", flags: logFlags{format: "text"}, env: "json", info: true},
		{name: "quieter", flags: logFlags{level: "warn"}},
		{name: "no format", flags: logFlags{format: "xml"}, complaintHas: "text or json"},
		{name: "no format by the environment", env: "logfmt", complaintHas: "text or json"},
		{name: "no level", flags: logFlags{level: "loud"}, complaintHas: "no log level loud"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.flags.check(func(string) string { return tt.env })
			if tt.complaintHas != "" {
				if err == nil || !strings.Contains(err.Error(), tt.complaintHas) || exitCode(err) != 2 {
					t.Errorf("%v, exit code %d", err, exitCode(err))
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var b bytes.Buffer
			log := tt.flags.logger(&b, slog.LevelInfo)
			log.Info("small", "command_id", "x")
			if (b.Len() > 0) != tt.info {
				t.Errorf("said %q", b.String())
			}
			log.Warn("large")
			if json.Valid(bytes.SplitN(b.Bytes(), []byte("\n"), 2)[0]) != tt.json {
				t.Errorf("said %q", b.String())
			}
		})
	}
}

func TestTracingFollowsTheStandardVariables(t *testing.T) {
	for _, tt := range []struct {
		env  map[string]string
		on   bool
		fail bool
	}{
		{env: nil},
		{env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, on: true},
		{env: map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, on: true},
		{env: map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, on: true},
		{env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_TRACES_EXPORTER": "none"}},
		{env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "TRUE"}},
		{env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, on: true},
		{env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, fail: true},
		{env: map[string]string{"OTEL_TRACES_EXPORTER": "zipkin"}, fail: true},
	} {
		on, err := tracingWanted(func(k string) string { return tt.env[k] })
		if on != tt.on || (err != nil) != tt.fail {
			t.Errorf("%v: on is %v, %v", tt.env, on, err)
		}
	}
	var none *telemetry
	if none.tracer() != nil || none.metrics() != nil {
		t.Error("nobody watches, and yet there is something")
	}
}
