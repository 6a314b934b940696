package cli

import (
	"fmt"
	"log/slog"
	"net"

	"github.com/spf13/cobra"

	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/web"
)

// listenFlags say where a command serves HTTP, and how it is protected there.
type listenFlags struct {
	addr      string
	cert, key string
	behind    bool
}

// add declares the flags. Those about TLS have the same names everywhere.
func (f *listenFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.addr, "listen", loopbackPort, "address to listen on; port 0 takes a free one")
	cmd.Flags().StringVar(&f.cert, "tls-cert", "", "PEM file with the certificate; read again when it changes")
	cmd.Flags().StringVar(&f.key, "tls-key", "", "PEM file with the certificate's key")
	cmd.Flags().BoolVar(&f.behind, "behind-tls-proxy", false, "listen beyond this host in plain HTTP, because a proxy in front ends TLS and nobody else can reach the port")
}

// onlyThisHost reports whether nobody but programs of this host can connect,
// through a proxy neither.
func (f listenFlags) onlyThisHost() bool { return web.OnlyThisHost(f.addr) && !f.behind }

// open listens. An address that other hosts can reach takes a token for every
// request, and TLS or a proxy that ends it.
func (f listenFlags) open(authenticated bool, log *slog.Logger) (ln net.Listener, url string, err error) {
	if (f.cert == "") != (f.key == "") {
		return nil, "", usageError{swf.E(swf.CodeInvalidArgument, "--tls-cert and --tls-key belong together", "give both, or none")}
	}
	var opts []web.ListenOption
	if !web.OnlyThisHost(f.addr) {
		switch {
		case !authenticated:
			return nil, "", swf.E(swf.CodeEnvironment, fmt.Sprintf("refusing to listen on %q without tokens: everybody who reaches it could act as you", f.addr),
				"leave --insecure-no-auth out, or listen on 127.0.0.1")
		case f.cert == "" && !f.behind:
			return nil, "", swf.E(swf.CodeEnvironment, fmt.Sprintf("refusing to listen on %q without TLS: tokens could be read on the way", f.addr),
				"give --tls-cert and --tls-key, or say --behind-tls-proxy where a proxy ends TLS, or listen on 127.0.0.1")
		}
		opts = append(opts, web.AllowAnyAddress())
	}
	var cert *web.Certificate
	if f.cert != "" {
		if cert, err = web.LoadCertificate(f.cert, f.key, log); err != nil {
			return nil, "", err
		}
	}
	if ln, err = web.Listen(f.addr, opts...); err != nil {
		return nil, "", err
	}
	url = "http://" + ln.Addr().String()
	if cert != nil {
		ln, url = cert.Listener(ln), "https://"+ln.Addr().String()
	}
	return ln, url, nil
}
