package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/web"
)

// handler answers one method of one path. Its error is a *problem, or a
// failure of the store.
type handler func(r *http.Request) (answer, error)

// answer is a response: body is marshalled to JSON unless it is nil.
type answer struct {
	status int
	body   any
	header http.Header
}

// endpoint is a path with its methods and its rule of access.
type endpoint struct {
	access  access
	methods map[string]handler
	// stream answers in place of the methods' handlers, for as long as it likes.
	stream func(w http.ResponseWriter, r *http.Request)
}

// serve answers one request: who may not is refused before the body is read,
// and few read at once, so that neither bodies nor lists pile up in memory.
func (a *api) serve(w http.ResponseWriter, r *http.Request) {
	ep, h, who, err := a.admit(r)
	if err != nil {
		a.write(w, r, answer{}, err)
		return
	}
	r = r.WithContext(web.WithPrincipal(r.Context(), who))
	if ep.stream != nil {
		ep.stream(w, r)
		return
	}
	web.LimitBody(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			select {
			case a.readers <- struct{}{}:
				defer func() { <-a.readers }()
			case <-r.Context().Done():
				return
			}
		}
		ans, err := h(r)
		a.write(w, r, ans, err)
	}), ep.access.maxBody()).ServeHTTP(w, r)
}

// write sends an answer within writeTimeout: a client that reads too slowly is
// cut off.
func (a *api) write(w http.ResponseWriter, r *http.Request, ans answer, err error) {
	if err != nil {
		ans = a.explain(r, err)
	}
	rc := http.NewResponseController(w)
	_ = rc.SetWriteDeadline(time.Now().Add(writeTimeout)) // unsupported only by test recorders
	for name, values := range ans.header {
		w.Header()[name] = values
	}
	if ans.body == nil {
		w.WriteHeader(ans.status)
	} else {
		web.WriteJSON(w, ans.status, ans.body)
	}
	_ = rc.Flush()                       // what fails to go out, a client that left does not miss
	_ = rc.SetWriteDeadline(time.Time{}) // the connection may serve another request
}

// admit finds what answers a request, and who is asking. Its error is the *problem to answer
// instead.
func (a *api) admit(r *http.Request) (endpoint, handler, swf.Principal, error) {
	open := endpoint{access: accessOpen}
	if r.URL.Path == "/healthz" {
		return open, a.healthz, anybody, nil
	}
	rest, ok := strings.CutPrefix(r.URL.Path, "/api/")
	if !ok {
		if r.URL.Path == "/api" {
			return open, slashMissing, anybody, nil
		}
		return endpoint{}, nil, anybody, notFound("Not found.")
	}
	path, slash := strings.CutSuffix(rest, "/")
	ep, ok := a.endpoint(path)
	switch {
	case !ok:
		return endpoint{}, nil, anybody, notFound("Not found.")
	case rest != "" && !slash:
		return open, slashMissing, anybody, nil
	}
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet // net/http drops the body
	}
	h, known := ep.methods[method]
	if !known && ep.access.methodFirst() {
		return endpoint{}, nil, anybody, notAllowed(r.Method, ep)
	}
	who, err := a.authorize(r, ep.access)
	if err != nil {
		return endpoint{}, nil, who, err
	}
	if !known {
		return endpoint{}, nil, anybody, notAllowed(r.Method, ep)
	}
	return ep, h, who, nil
}

// endpoint finds what path (without the slash at its end) stands for:
// "resource", "resource/id" or one of the functions.
func (a *api) endpoint(path string) (endpoint, bool) {
	if ep, ok := a.functions[path]; ok {
		return ep, true
	}
	name, id, detail := strings.Cut(path, "/")
	res, ok := a.resources[name]
	if !ok || (detail && (id == "" || strings.Contains(id, "/"))) {
		return endpoint{}, false
	}
	if detail {
		return a.detailEndpoint(res, id), true
	}
	return a.listEndpoint(res), true
}

// slashMissing answers a path without the slash at its end: readers are sent
// on, to a relative address so that it holds under any mount point; a redirect
// would lose a writer's body.
func slashMissing(r *http.Request) (answer, error) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return answer{}, badRequest(map[string]string{"detail": "The URL must end in a slash."})
	}
	segments := strings.Split(r.URL.EscapedPath(), "/")
	to := "./" + segments[len(segments)-1] + "/" // "./": an id with a colon is no scheme
	if r.URL.RawQuery != "" {
		to += "?" + r.URL.RawQuery
	}
	return answer{status: http.StatusMovedPermanently, header: http.Header{"Location": {to}}}, nil
}

// explain turns an error into a response. What went wrong inside is for the
// log; the client hears that trying again may help.
func (a *api) explain(r *http.Request, err error) answer {
	var p *problem
	if errors.As(err, &p) {
		return answer{status: p.status, body: p.body, header: p.header}
	}
	if !errors.Is(err, context.Canceled) {
		a.log.Error("request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	}
	return answer{status: http.StatusServiceUnavailable, body: map[string]string{
		"detail": "The monitor's store did not answer. Try again."}, header: http.Header{"Retry-After": {"2"}}}
}

// healthz says ok when the store answers, and nothing else.
func (a *api) healthz(r *http.Request) (answer, error) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return answer{}, notAllowed(r.Method, endpoint{methods: map[string]handler{http.MethodGet: nil}})
	}
	if err := a.storeAnswers(r.Context()); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, body: map[string]string{"status": "ok"}}, nil
}

// root is the map of the resources' names to their addresses.
func (a *api) root(r *http.Request) (answer, error) {
	if err := a.storeAnswers(r.Context()); err != nil {
		return answer{}, err
	}
	base := baseURL(r)
	addresses := map[string]string{}
	for path := range a.resources {
		addresses[path] = base + path + "/"
	}
	return answer{status: http.StatusOK, body: addresses}, nil
}

// baseURL is the address of /api/ as the client sees it, mount point included.
func baseURL(r *http.Request) string {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	path, _, _ := strings.Cut(r.RequestURI, "?")
	mount := strings.TrimSuffix(path, r.URL.EscapedPath())
	return scheme + "://" + r.Host + mount + "/api/"
}

func allowed(ep endpoint) string {
	var methods []string
	for m := range ep.methods {
		methods = append(methods, m)
	}
	slices.Sort(methods)
	return strings.Join(methods, ", ")
}
