// Command hello holds one STOMP connection with one subscription: the floor of
// an agent manager's start and memory. It is given the broker's address.
package main

import (
	"os"

	"github.com/go-stomp/stomp/v3"
)

func main() {
	c, err := stomp.Dial("tcp", os.Args[1])
	if err != nil {
		panic(err)
	}
	s, err := c.Subscribe("/queue/testbed.hello.control", stomp.AckClientIndividual)
	if err != nil {
		panic(err)
	}
	for range s.C {
	}
}
