package config

import (
	"net"
	"net/url"
)

// Origin is one line of the banner that every start prints (design 4b.3).
type Origin struct {
	What  string // broker, monitor, config, namespace
	Value string // no secrets; "" when there is none
	From  string
}

// Explain says which broker, monitor, configuration and namespace are in use
// and where each came from. asked is the configuration name the user gave, or
// "". t may be nil.
func (e *Env) Explain(t *Testbed, asked string) []Origin {
	origins := []Origin{e.broker(), e.monitor()}
	if t == nil {
		return origins
	}
	from := "default"
	switch {
	case asked != "":
		from = "asked for"
	case e.Get("SWF_TESTBED_CONFIG") != "":
		from = "SWF_TESTBED_CONFIG in " + e.From("SWF_TESTBED_CONFIG")
	}
	return append(origins, Origin{"config", t.Shown, from}, Origin{"namespace", t.Namespace, t.NamespaceFrom})
}

// broker applies the defaults of contract 4.
func (e *Env) broker() Origin {
	host, port, from := e.Get("ACTIVEMQ_HOST"), e.Get("ACTIVEMQ_PORT"), "default"
	for _, key := range []string{"ACTIVEMQ_PORT", "ACTIVEMQ_HOST"} {
		if f := e.From(key); f != "" {
			from = f
		}
	}
	if host == "" {
		host = "localhost"
	}
	if port == "" {
		port = "61612"
	}
	return Origin{"broker", net.JoinHostPort(host, port), from}
}

// monitor: SWF_MONITOR_URL, else SWF_MONITOR_HTTP_URL, and no default.
func (e *Env) monitor() Origin {
	for _, key := range []string{"SWF_MONITOR_URL", "SWF_MONITOR_HTTP_URL"} {
		value := e.Get(key)
		if value == "" {
			continue
		}
		if u, err := url.Parse(value); err == nil {
			value = u.Redacted()
		} else {
			value = "not a URL"
		}
		return Origin{"monitor", value, key + " in " + e.From(key)}
	}
	return Origin{"monitor", "", "SWF_MONITOR_URL is not set"}
}
