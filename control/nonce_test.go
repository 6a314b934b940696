package control

import "testing"

func TestNonce(t *testing.T) {
	var n Nonce
	meets := func(body string, carries, fresh bool) {
		t.Helper()
		if c, f := n.Meets([]byte(body)); c != carries || f != fresh {
			t.Errorf("%s: carries %v, fresh %v", body, c, f)
		}
	}
	meets(`{"nonce":""}`, false, false)
	first := n.Renew()
	meets(`{"command":"ping"}`, false, false)
	meets(`no JSON`, false, false)
	meets(`{"nonce":"another"}`, true, false)
	if !n.Waits(first) {
		t.Error("the nonce is on its way")
	}
	meets(`{"nonce":"`+first+`"}`, true, true)
	meets(`{"command":"ping"}`, false, true)
	if n.Waits(first) {
		t.Error("the nonce has come")
	}
	second := n.Renew() // another subscription
	meets(`{"nonce":"`+first+`"}`, true, false)
	if n.Waits(first) || !n.Waits(second) {
		t.Error("only the second is awaited")
	}
}
