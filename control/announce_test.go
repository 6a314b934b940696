package control

import (
	"reflect"
	"strings"
	"testing"
)

func TestAnnouncementOrder(t *testing.T) {
	early, late := NewID(), NewID()
	for _, tt := range []struct {
		name string
		a, b Announcement // a goes before b
	}{
		{"the smaller tenure", Announcement{Tenure: early}, Announcement{Tenure: late}},
		{"the smaller tenure, both in charge", Announcement{Tenure: early, InCharge: true}, Announcement{Tenure: late, InCharge: true}},
		{"who is in charge", Announcement{Tenure: late, InCharge: true}, Announcement{Tenure: early}},
		{"one tenure, two daemons", Announcement{Tenure: early, Instance: "a"}, Announcement{Tenure: early, Instance: "b"}},
	} {
		if !tt.a.Before(&tt.b) || tt.b.Before(&tt.a) || tt.a.Before(&tt.a) {
			t.Errorf("%s: not a strict order", tt.name)
		}
	}
}

func TestAnnouncementSurvivesTheWire(t *testing.T) {
	a := Announcement{Tenure: NewID(), Instance: NewID(), InCharge: true, Over: []string{NewID()}, Leaving: true, To: NewID(), Programs: []string{"data\u2028"}, Host: "h\U0001F600", PID: 7}
	body, err := a.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeAnnouncement(body)
	if err != nil || !reflect.DeepEqual(got, a) {
		t.Errorf("%+v, %v", got, err)
	}
	if !got.GoesOver(a.Over[0]) || got.GoesOver(a.Tenure) {
		t.Error("goes over")
	}
	for i, c := range body {
		if c >= 0x7f {
			t.Fatalf("byte %d is %#x", i, c)
		}
	}
}

func TestAnnouncementRefused(t *testing.T) {
	id := NewID()
	for name, body := range map[string]string{
		"no JSON":          "x",
		"no tenure":        "{}",
		"a tenure below":   `{"tenure":"00"}`,
		"not version 7":    `{"tenure":"00000000-0000-4000-8000-000000000000"}`,
		"another spelling": `{"tenure":"` + strings.ToUpper(id) + `"}`,
		"too many":         `{"tenure":"` + id + `","over":["1","2","3","4","5","6","7","8","9"]}`,
		"two objects":      `{"tenure":"` + id + `"}{}`,
	} {
		if a, err := DecodeAnnouncement([]byte(body)); err == nil {
			t.Errorf("%s: read as %+v", name, a)
		}
	}
}

func FuzzDecodeAnnouncement(f *testing.F) {
	f.Add([]byte(`{"tenure":"01890a5d-ac96-774b-bcce-b302099a8057","instance":"i","in_charge":true,"over":["x"],"host":"h","pid":1}`))
	f.Add([]byte(`{"tenure":""}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		a, err := DecodeAnnouncement(body)
		if err != nil {
			return
		}
		again, err := a.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := DecodeAnnouncement(again); err != nil && len(again) <= MaxBody {
			t.Fatalf("what was read cannot be read again: %v", err)
		}
	})
}
