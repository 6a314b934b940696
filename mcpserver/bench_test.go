package mcpserver

import (
	"fmt"
	"strings"
	"testing"
)

// What calls cost beside a floor is measured by test/bench.

func BenchmarkReadMessage(b *testing.B) {
	for _, n := range []int{1, 100} {
		raw := []byte(rpc(1, "tools/call", fmt.Sprintf(`{"name":"x","arguments":{"a":"%s"}}`, strings.Repeat("y", 100*n))))
		b.Run(fmt.Sprint(len(raw)), func(b *testing.B) {
			for b.Loop() {
				if _, p := readMessage(raw); p != nil {
					b.Fatal(p)
				}
			}
		})
	}
}
