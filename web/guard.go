package web

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/epic-swf/testbed/swf"
)

// GuardOptions widen what Guard lets through.
type GuardOptions struct {
	// Hosts are further values of the Host header, as "name" (any port) or
	// "name:port". Loopback names and addresses are always allowed, and the
	// very address that a connection came to: no name can be made to mean it.
	Hosts []string
	// Origins are further values of the Origin header, as
	// "scheme://host[:port]". The server's own origin is always allowed.
	Origins []string
}

// Guard refuses, with 403, requests whose Host is not one of this server's
// names (DNS rebinding) and requests that a foreign web page makes (Origin).
// Forwarding headers of proxies decide nothing.
func Guard(next http.Handler, o GuardOptions) http.Handler {
	hosts, origins := lowerSet(o.Hosts), lowerSet(o.Origins)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !hostAllowed(r, hosts) {
			WriteError(w, http.StatusForbidden, swf.E(swf.CodeForbidden,
				"this Host is not one of the server's names", "use the address that the server printed, or list the name in its settings"))
			return
		}
		if !originAllowed(r, origins) {
			WriteError(w, http.StatusForbidden, swf.E(swf.CodeForbidden,
				"requests from this web origin are not allowed", "list the origin in the server's settings if it is yours"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func lowerSet(values []string) map[string]bool {
	set := make(map[string]bool, len(values))
	for _, v := range values {
		set[strings.ToLower(v)] = true
	}
	return set
}

func hostAllowed(r *http.Request, allowed map[string]bool) bool {
	hostport := strings.ToLower(r.Host)
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if host == "" {
		return false
	}
	if host == "localhost" || allowed[host] || allowed[hostport] {
		return true
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	local, _ := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return ip.IsLoopback() || local != nil && ip.Unmap() == local.AddrPort().Addr().Unmap()
}

func originAllowed(r *http.Request, allowed map[string]bool) bool {
	values, present := r.Header["Origin"]
	if !present {
		return true
	}
	if len(values) != 1 {
		return false
	}
	origin := strings.ToLower(values[0])
	if allowed[origin] {
		return true
	}
	u, err := url.Parse(origin)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.User != nil || u.Path != "" {
		return false
	}
	return u.Host == strings.ToLower(r.Host) // the server's own page; Host was checked already
}
