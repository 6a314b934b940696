package web

import (
	"fmt"
	"net"

	"github.com/epic-swf/testbed/swf"
)

// ListenOption changes what Listen accepts.
type ListenOption func(*listenOptions)

type listenOptions struct{ anyAddress bool }

// AllowAnyAddress lets Listen bind addresses that other hosts can reach. The
// caller has made sure that what listens there asks for a token, and that no
// token crosses the network in the clear.
func AllowAnyAddress() ListenOption {
	return func(o *listenOptions) { o.anyAddress = true }
}

// OnlyThisHost reports whether only this host can reach what listens on addr.
func OnlyThisHost(addr string) bool {
	tcp, err := net.ResolveTCPAddr("tcp", addr)
	return err == nil && tcp.IP.IsLoopback()
}

// Listen opens a TCP listener on addr ("host:port", port 0 for a free one).
// An address that is not loopback, or an empty host, is refused unless
// AllowAnyAddress is given. Errors are *swf.Error (bad_environment).
func Listen(addr string, opts ...ListenOption) (net.Listener, error) {
	var o listenOptions
	for _, opt := range opts {
		opt(&o)
	}
	tcp, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return nil, swf.E(swf.CodeEnvironment, fmt.Sprintf("cannot listen on %q: %v", addr, err),
			"give an address as host:port, for example 127.0.0.1:0").Because(err)
	}
	if !o.anyAddress && !tcp.IP.IsLoopback() {
		return nil, swf.E(swf.CodeEnvironment,
			fmt.Sprintf("refusing to listen on %q: other hosts could reach it", addr),
			"listen on 127.0.0.1 or [::1], or allow other addresses explicitly")
	}
	ln, err := net.ListenTCP("tcp", tcp)
	if err != nil {
		return nil, swf.E(swf.CodeEnvironment, fmt.Sprintf("cannot listen on %q: %v", addr, err),
			"choose another port, or port 0 for a free one").Because(err)
	}
	return ln, nil
}
