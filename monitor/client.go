package monitor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/epic-swf/testbed/swf"
)

const (
	// DefaultTimeout bounds one call where Options do not.
	DefaultTimeout = 5 * time.Second
	// maxResponse bounds what is read of an answer.
	maxResponse = 32 << 20
)

// Options say where the monitor is.
type Options struct {
	URL     string        // the base, with any mount point and without /api
	LogURL  string        // the base to which logs go; "": URL
	Token   swf.Secret    // sent as "Authorization: Token …", with logs only where nobody listens in; "": none
	HTTP    *http.Client  // nil: a client of its own, which verifies TLS and keeps connections alive
	Timeout time.Duration // of each call; 0: DefaultTimeout

	Answered func(status int) // told of each request, 0 when nobody answered; must not wait; may be nil
}

// Client talks to a monitor. Every call takes a context, is bounded by the
// time-out and is tried once; a heartbeat again when the connection that was
// kept for it had just been given up. Errors are *StatusError when the monitor
// answered with a refusal, else *swf.Error monitor_unavailable. Safe for
// concurrent use.
type Client struct {
	url, logURL string
	token       swf.Secret
	logToken    bool // the token is safe on the way to logURL
	http        *http.Client
	timeout     time.Duration
	answered    func(status int)
	single      atomic.Bool // it takes no lists, see many.go
}

// New returns a client. It connects when first used.
func New(o Options) *Client {
	c := &Client{url: strings.TrimRight(o.URL, "/"), logURL: strings.TrimRight(o.LogURL, "/"),
		token: o.Token, timeout: o.Timeout, answered: o.Answered}
	if c.answered == nil {
		c.answered = func(int) {}
	}
	if c.logURL == "" {
		c.logURL = c.url
	}
	c.logToken = c.logURL == c.url || private(c.logURL)
	if c.timeout <= 0 {
		c.timeout = DefaultTimeout
	}
	base := o.HTTP
	if base == nil {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.MaxIdleConnsPerHost = 8
		base = &http.Client{Transport: transport}
	}
	own := *base
	// A redirect would carry the token elsewhere, or turn a POST into a GET.
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c.http = &own
	return c
}

// private reports whether nobody can listen in on the way there. The address for
// logs is plain HTTP in the Python system, where logs take no token.
func private(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Scheme == "https" || u.Hostname() == "localhost" || (ip != nil && ip.IsLoopback())
}

// URL is the base address, for texts.
func (c *Client) URL() string { return c.url }

// Close closes connections that are idle. The client may be used afterwards.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// call is one request: a body of nil sends none, an out of nil ignores the
// answer's body.
type call struct {
	method, path string
	query        url.Values
	body, out    any
	log          bool         // to the address for logs
	again        bool         // a repetition does no harm
	header       *http.Header // nil: the answer's header is not wanted
}

func (c *Client) do(ctx context.Context, k call) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req, err := c.request(ctx, k)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		c.answered(0)
		return c.unavailable(err)
	}
	c.answered(resp.StatusCode)
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse+1))
	switch {
	case err != nil:
		return c.unavailable(err)
	case len(body) > maxResponse:
		return c.unavailable(fmt.Errorf("its answer is longer than %d bytes", maxResponse))
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		return newStatusError(k, resp, body)
	}
	if k.header != nil {
		*k.header = resp.Header
	}
	if k.out == nil {
		return nil
	}
	if err := json.Unmarshal(body, k.out); err != nil {
		return c.unavailable(fmt.Errorf("its answer to %s %s is not what the contract says: %w", k.method, k.path, err))
	}
	return nil
}

func (c *Client) request(ctx context.Context, k call) (*http.Request, error) {
	base := c.url
	if k.log {
		base = c.logURL
	}
	if base == "" {
		return nil, noURL()
	}
	var body io.Reader
	if k.body != nil {
		b, err := json.Marshal(k.body)
		if err != nil {
			return nil, swf.E(swf.CodeInternal, "a request to the monitor could not be encoded", "look at the program's log").Because(err)
		}
		body = bytes.NewReader(b)
	}
	address := base + "/api/" + k.path
	if len(k.query) > 0 {
		address += "?" + k.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, k.method, address, body)
	if err != nil {
		return nil, c.unavailable(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Accept", "application/json")
	if k.again {
		// Not sent: it lets net/http repeat what went out over a connection that
		// the monitor was just giving up.
		req.Header["Idempotency-Key"] = nil
	}
	if c.token != "" && (!k.log || c.logToken) {
		req.Header.Set("Authorization", "Token "+c.token.Reveal())
	}
	return req, nil
}

// Healthy reports whether the monitor answers. A refusal for want of a token
// is an answer.
func (c *Client) Healthy(ctx context.Context) error {
	err := c.do(ctx, call{method: http.MethodGet})
	var status *StatusError
	if errors.As(err, &status) && (status.Status == http.StatusForbidden || status.Status == http.StatusUnauthorized) {
		return nil
	}
	return err
}

// get reads one record; a 404 is found == false.
func (c *Client) get(ctx context.Context, path string, out any) (found bool, err error) {
	err = c.do(ctx, call{method: http.MethodGet, path: path, out: out})
	var status *StatusError
	if errors.As(err, &status) && status.Status == http.StatusNotFound {
		return false, nil
	}
	return err == nil, err
}

// list reads a list, which is a bare array or a page with results. The Django
// monitor ignores filters that it does not have: callers filter again.
func list[T any](ctx context.Context, c *Client, path string, query url.Values) ([]T, error) {
	var raw json.RawMessage
	if err := c.do(ctx, call{method: http.MethodGet, path: path, query: query, out: &raw}); err != nil {
		return nil, err
	}
	return decodeList[T](c, path, raw)
}

func decodeList[T any](c *Client, path string, raw json.RawMessage) ([]T, error) {
	var items []T
	err := json.Unmarshal(raw, &items)
	if err != nil {
		var page struct {
			Results *[]T `json:"results"`
		}
		if json.Unmarshal(raw, &page) != nil || page.Results == nil {
			return nil, c.unavailable(fmt.Errorf("its answer to GET %s is no list: %w", path, err))
		}
		items = *page.Results
	}
	return items, nil
}

// filter makes query parameters of what is not "".
func filter(pairs ...string) url.Values {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	return q
}
