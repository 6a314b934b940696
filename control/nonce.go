package control

import (
	"encoding/json"
	"sync"
)

// Nonce tells, on a queue of unsigned messages, what waited there from what
// was sent while we listen (design, rule 12): naive stamps prove no age, so a
// message of our own goes through the queue after each subscription, and what
// comes out before it is stale. The zero value lets nothing pass. Safe for
// concurrent use.
type Nonce struct {
	mu    sync.Mutex
	value string
	fresh bool
}

// Renew returns the nonce to send after a subscription, as the member "nonce"
// of a JSON object. Until it comes back nothing is fresh.
func (n *Nonce) Renew() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.value, n.fresh = NewID(), false
	return n.value
}

// Waits reports whether that nonce is still on its way.
func (n *Nonce) Waits(value string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return !n.fresh && n.value == value
}

// Meets looks at a message. carries means that it is a nonce, ours or another
// listener's, and no more; fresh that messages which come now were sent while
// we listened.
func (n *Nonce) Meets(body []byte) (carries, fresh bool) {
	var m struct {
		Nonce string `json:"nonce"`
	}
	_ = json.Unmarshal(body, &m) // what is no object carries no nonce
	n.mu.Lock()
	defer n.mu.Unlock()
	if m.Nonce != "" && m.Nonce == n.value {
		n.fresh = true
	}
	return m.Nonce != "", n.fresh
}
