package monitor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/epic-swf/testbed/swf"
)

// StatusError is an answer of the monitor other than 2xx. It unwraps to the
// *swf.Error to show: unauthenticated for 401 and 403, monitor_unavailable for
// redirects and 5xx, invalid_argument for the rest.
type StatusError struct {
	Status int
	Body   string // its beginning
	Method string
	Path   string // under /api/
}

// bodyKept is how much of a refusal's body a StatusError keeps.
const bodyKept = 2048

func newStatusError(k call, resp *http.Response, body []byte) *StatusError {
	if len(body) > bodyKept {
		body = body[:bodyKept]
	}
	text := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return ' '
		}
		return r
	}, string(body))
	return &StatusError{Status: resp.StatusCode, Body: text, Method: k.method, Path: k.path}
}

// Error implements error.
func (e *StatusError) Error() string {
	return fmt.Sprintf("the monitor answered %d to %s /api/%s: %.200s", e.Status, e.Method, e.Path, e.Body)
}

// Unwrap returns the *swf.Error that a person is shown.
func (e *StatusError) Unwrap() error {
	switch {
	case e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden:
		return swf.E(swf.CodeUnauthenticated, fmt.Sprintf("the monitor refused the token (%d)", e.Status),
			"set SWF_API_TOKEN to a token of this monitor")
	case e.Status >= 300 && e.Status < 400:
		return swf.E(swf.CodeMonitorUnavailable, fmt.Sprintf("the monitor sent us elsewhere (%d)", e.Status),
			"set SWF_MONITOR_URL to the monitor's own address, with its scheme and mount point")
	case e.Status >= 500:
		return swf.E(swf.CodeMonitorUnavailable, e.Error(), "try again; if it stays so, look at the monitor's log")
	}
	return swf.E(swf.CodeInvalidArgument, e.Error(), "the monitor does not accept this request")
}

// unavailable says that the monitor did not answer, or not in the contract's
// words. The cause keeps context errors visible to errors.Is.
func (c *Client) unavailable(cause error) error {
	reason := cause
	var u *url.Error
	if errors.As(cause, &u) {
		reason = u.Err // without the URL, whose query is nobody's business
	}
	message := fmt.Sprintf("the monitor at %s does not answer: %v", redacted(c.url), reason)
	if errors.Is(cause, context.DeadlineExceeded) {
		message = fmt.Sprintf("the monitor at %s did not answer in time", redacted(c.url))
	}
	return swf.E(swf.CodeMonitorUnavailable, message,
		"check that it runs and that SWF_MONITOR_URL is its address").Because(cause)
}

func redacted(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "its address"
	}
	return u.Redacted()
}

func noURL() error {
	return swf.E(swf.CodeMonitorUnavailable, "no monitor is configured",
		"set SWF_MONITOR_URL, or start one with: testbed up")
}
