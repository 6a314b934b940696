package web

import (
	"fmt"
	"strings"
	"testing"
)

// BenchmarkCheckJSON is the cost of the largest body with the most keys.
func BenchmarkCheckJSON(b *testing.B) {
	var s strings.Builder
	s.WriteString("{")
	for n := 0; s.Len() < 1<<20-20; n++ {
		fmt.Fprintf(&s, `"%x":1,`, n)
	}
	s.WriteString(`"z":1}`)
	body := []byte(s.String())
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if err := CheckJSON(body, 64); err != nil {
			b.Fatal(err)
		}
	}
}
