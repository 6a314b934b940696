package tools

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"github.com/epic-swf/testbed/audit"
	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
)

// trail is what was audited, a record a line.
func trail(t *testing.T, b *bytes.Buffer) (list []audit.Record) {
	t.Helper()
	for line := range strings.Lines(b.String()) {
		var r audit.Record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		list = append(list, r)
	}
	return list
}

func TestTrailOfACall(t *testing.T) {
	var b bytes.Buffer
	m := &manager{pong: alivePong(), act: always(control.Reply{Outcome: control.Succeeded})}
	s := New(Options{Commander: m, Monitor: &records{}, Audit: audit.New("mcp", &b, nil)})
	ctx := WithOrigin(t.Context(), Origin{Transport: "http", Address: "192.0.2.7:1234", Session: "d1g3st"})
	for _, tool := range s.Tools() {
		if tool.Name == "start_user_testbed" {
			tool.Call(ctx, ann, map[string]any{"config_name": "fast_processing", "command_id": "my-key"}, nil)
			tool.Call(ctx, ann, map[string]any{"username": "bob"}, nil)
		}
	}
	list := trail(t, &b)
	if len(list) != 2 {
		t.Fatalf("%d records: %s", len(list), b.String())
	}
	did, refused := list[0], list[1]
	if did.Who != "ann" || did.Target != "ann" || did.Decision != audit.Allowed || did.Outcome != "succeeded" || did.From.Address != "192.0.2.7:1234" ||
		did.Arguments["config_name"] != "fast_processing" || did.Arguments["command_id"] == "my-key" || did.CommandID == "" {
		t.Errorf("%+v", did)
	}
	if c := m.commands(); len(c) != 1 || c[0].CallID != did.CallID || did.CallID == "" {
		t.Errorf("the command does not bear the id of its call: %+v", c)
	}
	if refused.Decision != audit.Refused || refused.Code != string(swf.CodeForbidden) || refused.Who != "ann" || refused.Target != "bob" {
		t.Errorf("%+v", refused)
	}
}

func TestTrailHoldsNoSecrets(t *testing.T) {
	const token, jwt = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2ln"
	for name, args := range map[string]map[string]any{
		"unknown argument":   {"token": token},
		"in a name":          {"username": token},
		"in a key":           {"command_id": token},
		"a pattern fits it":  {"config_name": jwt},
		"of the wrong type":  {"username": []any{token}},
		"name of a argument": {token: true},
	} {
		var b, log bytes.Buffer
		s := New(Options{Commander: &manager{pong: alivePong(), act: always(control.Reply{Outcome: control.Succeeded})}, Monitor: &records{},
			Audit: audit.New("mcp", &b, nil), Log: textLog(&log)})
		for _, tool := range s.Tools() {
			if tool.Name != "start_user_testbed" {
				continue
			}
			r := tool.Call(t.Context(), ann, args, nil)
			for _, secret := range []string{token, jwt} {
				if strings.Contains(b.String(), secret) || strings.Contains(log.String(), secret) {
					t.Errorf("%s: kept: %s%s", name, b.String(), log.String())
				}
				if r.Failed && strings.Contains(r.Text, secret) {
					t.Errorf("%s: told: %s", name, r.Text)
				}
			}
		}
		if n := strings.Count(b.String(), "\n"); n != 1 {
			t.Errorf("%s: %d records", name, n)
		}
	}
}

func TestNoToolTeachesAndIsOnTheRecord(t *testing.T) {
	var b bytes.Buffer
	s := New(Options{Commander: &manager{}, Audit: audit.New("mcp", &b, nil), Limits: Limits{PerSecond: 0.001, Burst: 2}})
	offered := []string{"start_user_testbed", "list_logs"}
	for name, hint := range map[string]string{
		"start_testbed": "did you mean start_user_testbed? the tools are start_user_testbed, list_logs",
		"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2ln": "the tools are start_user_testbed, list_logs",
	} {
		r := s.NoTool(t.Context(), ann, name, offered)
		e := r.Value.(noTool).Error
		if !r.Failed || e.Code != swf.CodeInvalidArgument || e.Hint != hint || !strings.Contains(r.Text, hint) {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if r := s.NoTool(t.Context(), ann, "again", offered); r.Value.(noTool).Error.Code != swf.CodeLimited {
		t.Errorf("guessing is not limited: %+v", r)
	}
	list := trail(t, &b)
	if len(list) != 3 || strings.Contains(b.String(), "eyJ") {
		t.Fatal(b.String())
	}
	for _, r := range list {
		if r.Who != "ann" || r.Action != "unknown_tool" || r.Decision != audit.Refused {
			t.Errorf("%+v", r)
		}
	}
}

func TestViewersOnlyLook(t *testing.T) {
	m := &manager{pong: alivePong(), status: &control.Reply{Outcome: control.Succeeded, Pong: alivePong()}, act: always(control.Reply{Outcome: control.Succeeded})}
	s := New(Options{Commander: m, Monitor: &records{}, Limits: Limits{PerSecond: -1}})
	viewer := swf.RoleViewer.Principal("ann")
	for _, tool := range s.Tools() {
		r := tool.Call(t.Context(), viewer, map[string]any{}, nil)
		if forbidden := strings.Contains(r.Text, "(forbidden)"); forbidden != (tool.Effect != Looks) {
			t.Errorf("%s: %s", tool.Name, r.Text)
		}
	}
	if sent := m.commands(); len(sent) != 0 {
		t.Errorf("a viewer has sent %+v", sent)
	}
}

func textLog(b *bytes.Buffer) *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }
