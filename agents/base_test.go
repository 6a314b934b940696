package agents

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/epic-swf/testbed/swf"
)

// life runs a base that only listens, and returns what it hears.
func (s *stage) life(o Options) (b *Base, heard chan swf.Message, stop func()) {
	s.t.Helper()
	b, err := New("DATA", o)
	if err != nil {
		s.t.Fatal(err)
	}
	heard = make(chan swf.Message, 100)
	ready := make(chan struct{})
	stop = s.start(func(ctx context.Context) error {
		return b.Run(ctx, func(ctx context.Context) error {
			sub := b.Listen(swf.TopicWorkflow, func(_ context.Context, m swf.Message) { heard <- m })
			defer sub.Close()
			<-sub.Ready()
			b.SetState(swf.OpReady)
			close(ready)
			<-ctx.Done()
			return nil
		})
	})
	s.wait(ready, "agent to be ready")
	s.settled(s.bus)
	return b, heard, stop
}

func TestLifeOfAnAgent(t *testing.T) {
	s := newStage(t)
	b, _, stop := s.life(s.options())
	s.eventually("READY in the monitor", func() bool { return s.agent(swf.OpReady) != nil })
	a := s.agent(swf.OpReady)
	if a.InstanceName != "data-agent-ann-1" || a.AgentType != "DATA" || a.Status != swf.StatusOK || a.Namespace == nil || *a.Namespace != "ns1" {
		t.Errorf("agent %+v", a)
	}
	var meta struct {
		StartID, Instance, Program string
		Seq                        int64
	}
	var raw map[string]any
	if err := json.Unmarshal(a.Metadata, &raw); err != nil {
		t.Fatal(err)
	}
	meta.StartID, _ = raw["start_id"].(string)
	meta.Instance, _ = raw["instance"].(string)
	meta.Program, _ = raw["program"].(string)
	if meta.StartID != "start-1" || meta.Instance != b.Instance() || meta.Program != "example-data-agent" || raw["seq"].(float64) < 1 {
		t.Errorf("metadata %s", a.Metadata)
	}
	b.SetState(swf.OpProcessing)
	s.eventually("PROCESSING in the monitor", func() bool { return s.agent(swf.OpProcessing) != nil })
	stop()
	s.eventually("EXITED in the monitor", func() bool { a = s.agent(swf.OpExited); return a != nil })
	if a.Status != swf.StatusExited || a.InstanceName != "data-agent-ann-1" {
		t.Fatalf("after the end the monitor shows %+v", a)
	}
}

func TestNamespaceFilterAndStamps(t *testing.T) {
	s := newStage(t)
	ann, heard, _ := s.life(s.options())
	other := s.options()
	other.Username, other.Namespace = "bob", "ns2"
	bob, bobHeard, _ := s.life(other)
	none := s.options()
	none.Username, none.Namespace = "eve", ""
	eve, _, _ := s.life(none)

	m := swf.Message{"msg_type": "note", "text": "é😀"}
	for _, from := range []*Base{bob, eve, ann} { // eve stamps no namespace: all accept hers
		if err := from.Send(t.Context(), swf.TopicWorkflow, m); err != nil {
			t.Fatal(err)
		}
		if len(m) != 2 {
			t.Fatalf("Send changed the message: %v", m)
		}
	}
	for _, want := range []struct {
		at   chan swf.Message
		from *Base
	}{{heard, eve}, {heard, ann}, {bobHeard, bob}, {bobHeard, eve}} {
		var got swf.Message
		select {
		case got = <-want.at:
		case <-time.After(patience):
			t.Fatalf("nothing came from %s", want.from.Name())
		}
		if sender, _ := got["sender"].(string); !strings.HasPrefix(sender, "data-agent-"+want.from.o.Username+"-") || got.Namespace() != want.from.o.Namespace || got["text"] != "é😀" {
			t.Errorf("heard %v, want one of %s", got, want.from.Name())
		}
	}
}

func TestAgentWorksWithoutMonitorAndRegistersLater(t *testing.T) {
	s := newStage(t)
	s.down.Store(true)
	b, heard, stop := s.life(s.options())
	if !strings.HasPrefix(b.Name(), "data-agent-ann-x") {
		t.Errorf("name %s", b.Name())
	}
	if err := b.Send(t.Context(), swf.TopicWorkflow, swf.Message{"msg_type": "note"}); err != nil {
		t.Fatal(err)
	}
	if m := <-heard; m["sender"] != b.Name() {
		t.Errorf("heard %v", m)
	}
	s.down.Store(false)
	s.eventually("READY in the monitor", func() bool { return s.agent(swf.OpReady) != nil })
	if b.Name() != "data-agent-ann-1" {
		t.Errorf("name %s", b.Name())
	}
	s.down.Store(true)
	stop() // must end although nobody hears it
}

func TestNewRefusesNames(t *testing.T) {
	s := newStage(t)
	for _, o := range []Options{{Username: "Ann Smith", Namespace: "ns"}, {Username: "ann", Namespace: "n/s"}, {}} {
		o.Bus, o.Monitor = s.bus, s.monitor
		if _, err := New("DATA", o); !swf.IsCode(err, swf.CodeInvalidArgument) {
			t.Errorf("New(%q, %q) = %v", o.Username, o.Namespace, err)
		}
	}
}
