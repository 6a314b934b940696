package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/kolo/xmlrpc"
)

const (
	readTimeout = 2 * time.Second // a call that only looks
	maxReply    = 8 << 20         // bytes; 50 programs are 58 kB
)

// Endpoint is where a supervisord listens.
type Endpoint struct {
	Network            string // "unix" or "tcp"
	Address            string // socket path, or host:port
	Username, Password string // empty for none
}

// String leaves the credentials out.
func (e Endpoint) String() string {
	if e.Network == "unix" {
		return "unix://" + e.Address
	}
	return "http://" + e.Address
}

// GoString leaves the credentials out of %#v too.
func (e Endpoint) GoString() string { return "supervisor.Endpoint(" + e.String() + ")" }

// Client speaks XML-RPC to one supervisord. It holds no connection and no
// goroutine between calls, so it needs no Close, calls run in parallel and a
// restarted supervisord is no event. Safe for concurrent use.
//
// Every call ends with its context, and after 2 s at the latest unless it says
// otherwise. Errors: ErrNotRunning, ErrHung, ErrForbidden (all wrapped), *Fault,
// *HTTPError, or the context's.
type Client struct {
	endpoint Endpoint
	url      string
	http     *http.Client
	timeout  time.Duration
}

// NewClient does not connect.
func NewClient(e Endpoint) *Client {
	var d net.Dialer
	url := "http://localhost/RPC2"
	if e.Network != "unix" {
		url = "http://" + e.Address + "/RPC2"
	}
	return &Client{
		endpoint: e,
		url:      url,
		timeout:  readTimeout,
		http: &http.Client{Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return d.DialContext(ctx, e.Network, e.Address)
			},
			// A kept connection would save 0.3 ms and cost a lost POST after
			// a restart of supervisord.
			DisableKeepAlives: true,
		}},
	}
}

// call runs one procedure. reply is a pointer to a fresh variable, because the
// codec leaves what it does not find as it was; nil when no answer matters.
func (c *Client) call(ctx context.Context, timeout time.Duration, reply any, method string, args ...any) (err error) {
	ctx, ended := traced(ctx, method)
	defer func() { ended(err) }()
	inner, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	b, err := c.roundTrip(inner, method, args)
	if err != nil {
		return c.classify(ctx, inner, method, err)
	}
	if err := decode(b, reply); err != nil {
		var f *Fault
		if errors.As(err, &f) {
			return err
		}
		return fmt.Errorf("%s: unreadable answer: %w", method, err)
	}
	return nil
}

// read is a call that only looks: it is asked again when the connection broke,
// because a supervisord that dies while it answers is then found to be dead.
func (c *Client) read(ctx context.Context, reply any, method string) error {
	return c.readWithin(ctx, c.timeout, reply, method)
}

func (c *Client) readWithin(ctx context.Context, timeout time.Duration, reply any, method string) error {
	err := c.call(ctx, timeout, reply, method)
	if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, io.EOF) ||
		errors.Is(err, io.ErrUnexpectedEOF) {
		return c.call(ctx, timeout, reply, method)
	}
	return err
}

func (c *Client) roundTrip(ctx context.Context, method string, args []any) ([]byte, error) {
	req, err := xmlrpc.NewRequest(c.url, method, args)
	if err != nil {
		return nil, err
	}
	if c.endpoint.Username != "" || c.endpoint.Password != "" {
		req.SetBasicAuth(c.endpoint.Username, c.endpoint.Password)
	}
	resp, err := c.http.Do(req.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxReply+1))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, &HTTPError{Status: resp.StatusCode, Method: method}
	}
	if len(b) > maxReply {
		return nil, fmt.Errorf("answer of more than %d bytes", maxReply)
	}
	return b, nil
}

// decode turns the codec's panics on malformed documents into errors.
func decode(b []byte, reply any) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("malformed XML-RPC: %v", r)
		}
	}()
	r := xmlrpc.Response(b)
	if err := r.Err(); err != nil {
		var fe xmlrpc.FaultError
		if errors.As(err, &fe) {
			return &Fault{Code: FaultCode(fe.Code), Message: fe.String}
		}
		return err
	}
	if reply == nil {
		return nil
	}
	return r.Unmarshal(reply)
}

// classify says what a failed round trip means. outer is the caller's context:
// when that one ended, its error is the truth and nothing is known of supervisord.
func (c *Client) classify(outer, inner context.Context, method string, err error) error {
	var he *HTTPError
	switch {
	case outer.Err() != nil:
		return fmt.Errorf("%s: %w", method, context.Cause(outer))
	case errors.As(err, &he):
		return err
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOTSOCK):
		return fmt.Errorf("%w at %s: %w", ErrNotRunning, c.endpoint, err)
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return fmt.Errorf("%w: %s belongs to another user: %w", ErrForbidden, c.endpoint, err)
	// EAGAIN: the queue of connections is full because nobody accepts them.
	case inner.Err() != nil, errors.Is(err, syscall.EAGAIN):
		return fmt.Errorf("%w: %s to %s: %w", ErrHung, method, c.endpoint, err)
	}
	return fmt.Errorf("%s to %s: %w", method, c.endpoint, err)
}
