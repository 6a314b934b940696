package amq_test

import "testing"

var deaths []struct {
	name string
	test func(*testing.T, server)
}
