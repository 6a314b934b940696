package monitor

import (
	"fmt"
	"net/url"

	"github.com/epic-swf/testbed/swf"
)

// OptionsFromEnv reads contract 4: the API's base is SWF_MONITOR_URL, else
// SWF_MONITOR_HTTP_URL; logs go to the latter, else the former; the token is
// SWF_API_TOKEN. There is no default host. Errors are *swf.Error: no URL is
// monitor_unavailable, a bad one bad_environment.
func OptionsFromEnv(get func(string) string) (Options, error) {
	const api, logs = "SWF_MONITOR_URL", "SWF_MONITOR_HTTP_URL"
	o := Options{URL: get(api), LogURL: get(logs), Token: swf.Secret(get("SWF_API_TOKEN"))}
	if o.URL == "" {
		o.URL = o.LogURL
	}
	if o.LogURL == "" {
		o.LogURL = o.URL
	}
	if o.URL == "" {
		return Options{}, noURL()
	}
	for name, value := range map[string]string{api: o.URL, logs: o.LogURL} {
		u, err := url.Parse(value)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
			return Options{}, swf.E(swf.CodeEnvironment, fmt.Sprintf("%s is no http or https address", name),
				"set it to something like http://127.0.0.1:8002, without /api")
		}
	}
	return o, nil
}
