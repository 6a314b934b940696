package web_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/epic-swf/testbed/web"
)

// TestCrowdThatComesAgain has more clients than there may be connections, each
// of whom keeps its own for the next request, as managers do between two
// heartbeats. Those who have just connected must not make room for each other.
func TestCrowdThatComesAgain(t *testing.T) {
	const most = 16
	addr, _ := run(t, &web.Server{MaxConns: most, Handler: hello})
	kept := 0
	for range 3 * most {
		own := &http.Transport{}
		t.Cleanup(own.CloseIdleConnections)
		resp, err := (&http.Client{Transport: own}).Post("http://"+addr, "text/plain", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body) // or the client would not keep it
		resp.Body.Close()
		if !resp.Close {
			kept++
		}
	}
	if kept < most/2 || kept > most {
		t.Errorf("%d of %d connections are kept", kept, 3*most)
	}
	var fresh []net.Conn
	for range most / 4 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fresh = append(fresh, c)
	}
	for i := len(fresh) - 1; i >= 0; i-- { // once the last is answered, all have been accepted
		fmt.Fprintf(fresh[i], "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(fresh[i]), nil)
		if err != nil {
			t.Fatalf("connection %d of %d: %v", i+1, len(fresh), err)
		}
		resp.Body.Close()
	}
}
