package control

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/epic-swf/testbed/swf"
)

// ManagersTopic is where the managers of one user hear of each other
// (design, rule 15).
func ManagersTopic(username string) string { return "/topic/testbed." + username + ".managers" }

// MaxOver bounds the list Over of an Announcement.
const MaxOver = 8

// Announcement is what a manager says of itself to other managers of its user,
// signed in DomainAnnounce. It is a claim to be in charge; of two claims one
// goes before the other (Before), whoever compares them.
type Announcement struct {
	Tenure   string   `json:"tenure"`             // a UUIDv7, new at each subscription
	Instance string   `json:"instance"`           // of the daemon that speaks
	InCharge bool     `json:"in_charge"`          // it takes commands; else it still listens for others
	Over     []string `json:"over,omitempty"`     // tenures that it has heard and goes before, newest last
	Leaving  bool     `json:"leaving,omitempty"`  // its last words: it has given way to another
	To       string   `json:"to,omitempty"`       // last words: the instance it has given way to
	Programs []string `json:"programs,omitempty"` // last words: what goes on running on its host
	Host     string   `json:"host"`
	PID      int      `json:"pid"`
}

// Before reports whether a's claim is better than b's: who is in charge goes
// before who is not, and of equals the smaller tenure, which is the older one
// where the clocks agree. It is a strict order: of any two different claims
// exactly one goes before the other.
func (a *Announcement) Before(b *Announcement) bool {
	switch {
	case a.InCharge != b.InCharge:
		return a.InCharge
	case a.Tenure != b.Tenure:
		return a.Tenure < b.Tenure
	}
	return a.Instance < b.Instance
}

// GoesOver reports whether it tells the holder of that tenure to give way. A
// tenure that is held now cannot stand in anything said before it began.
func (a *Announcement) GoesOver(tenure string) bool { return slices.Contains(a.Over, tenure) }

// Encode writes the announcement as ASCII JSON.
func (a *Announcement) Encode() ([]byte, error) {
	b, err := json.Marshal(a)
	if err != nil {
		return nil, fmt.Errorf("encode announcement: %w", err)
	}
	return swf.ASCIIJSON(b), nil
}

// DecodeAnnouncement reads an announcement under the same rules as
// DecodeCommand; a tenure that is no UUID is refused, for it could be smaller
// than any.
func DecodeAnnouncement(body []byte) (Announcement, error) {
	var a Announcement
	if err := decode(body, &a); err != nil {
		return Announcement{}, err
	}
	if id, err := uuid.Parse(a.Tenure); err != nil || id.Version() != 7 || id.String() != a.Tenure {
		return Announcement{}, swf.E(swf.CodeInvalidArgument, "the announcement has no tenure", "send a UUIDv7 in small letters")
	}
	if len(a.Over) > MaxOver {
		return Announcement{}, swf.E(swf.CodeInvalidArgument, fmt.Sprintf("the announcement goes over %d others, %d are allowed", len(a.Over), MaxOver), "name the newest")
	}
	return a, nil
}
