package api

import (
	"fmt"
	"net/http"
)

// problem is an answer other than success, in the contract's shapes (1.2).
type problem struct {
	status int
	body   any
	header http.Header
}

// Error implements error.
func (p *problem) Error() string { return fmt.Sprintf("%d %v", p.status, p.body) }

func detail(status int, text string) *problem {
	return &problem{status: status, body: map[string]string{"detail": text}}
}

func notFound(text string) *problem { return detail(http.StatusNotFound, text) }

func badRequest(body any) *problem { return &problem{status: http.StatusBadRequest, body: body} }

func notAllowed(method string, ep endpoint) *problem {
	p := detail(http.StatusMethodNotAllowed, fmt.Sprintf("Method %q not allowed.", method))
	p.header = http.Header{"Allow": {allowed(ep)}}
	return p
}

// fieldErrors are the messages about each field of a request.
type fieldErrors map[string][]string

func (e fieldErrors) add(field, message string) { e[field] = append(e[field], message) }

// orNil is the problem that e amounts to, nil (of type error) when there is none.
func (e fieldErrors) orNil() error {
	if len(e) == 0 {
		return nil
	}
	return badRequest(e)
}
