package dashboard

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/epic-swf/testbed/monitor/store"
	"github.com/epic-swf/testbed/swf"
)

//go:embed templates static
var files embed.FS

// static serves our own files. Their names carry their version where they are
// not ours; no other path below it is anything.
func static() http.Handler {
	sub, err := fs.Sub(files, "static")
	if err != nil {
		panic(err) // the folder is embedded
	}
	serve := http.StripPrefix("/static/", http.FileServerFS(sub))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/") {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Cache-Control", "no-cache")
		serve.ServeHTTP(w, r)
	})
}

// views are the pages' templates, by name: the layout, the shared parts, and
// the page itself.
type views map[string]*template.Template

func parseViews() views {
	all := views{}
	pages, err := fs.Glob(files, "templates/pages/*.html")
	if err != nil {
		panic(err) // the pattern is good
	}
	for _, page := range pages {
		name := strings.TrimSuffix(path.Base(page), ".html")
		all[name] = template.Must(template.New("layout.html").Funcs(funcs).ParseFS(files, "templates/*.html", page))
	}
	return all
}

// view is what a page answers: its template and what that shows.
type view struct {
	Title    string
	Template string
	Body     any
}

// page makes the view of one visit. Errors: errNoPage, or the store's.
type page func(*visit) (view, error)

var errNoPage = errors.New("dashboard: there is no such page")

// frame is what the layout shows around a body.
type frame struct {
	Title    string
	Template string
	Nav      string // the part of the site
	URL      string // of this very page, with its filters
	Who      *swf.Principal
	Door     bool // people sign in here
	Form     string
	Control  bool
	Now      time.Time
	Body     any
}

// see serves a page to who is signed in.
func (d *Dashboard) see(make page) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, ok := d.visitor(r)
		if !ok {
			d.refuseStranger(w, r)
			return
		}
		select {
		case d.readers <- struct{}{}:
			defer func() { <-d.readers }()
		case <-r.Context().Done():
			return
		}
		page, err := make(&v)
		status := http.StatusOK
		switch {
		case errors.Is(err, errNoPage), errors.Is(err, store.ErrNotFound):
			status = http.StatusNotFound
			page = view{Title: "Not found", Template: "problem", Body: swf.E(swf.CodeInvalidArgument, "There is nothing here.",
				"It may have been removed with what is older than the monitor keeps. The pages above lead to what there is.")}
		case errors.Is(err, context.Canceled):
			return
		case err != nil:
			d.o.Log.Error("page failed", "path", r.URL.Path, "err", err)
			status = http.StatusServiceUnavailable
			page = view{Title: "Not available", Template: "problem", Body: swf.E(swf.CodeMonitorUnavailable, "The monitor's store did not answer.",
				"Load the page again in a moment; if it stays so, look at the log of the server.")}
		}
		d.show(w, &v, status, page)
	}
}

// show puts a view into the layout.
func (d *Dashboard) show(w http.ResponseWriter, v *visit, status int, page view) {
	nav, _, _ := strings.Cut(strings.TrimPrefix(v.r.URL.Path, "/"), "/")
	d.render(w, v.r, status, frame{Title: page.Title, Template: page.Template, Nav: nav, URL: v.r.URL.RequestURI(), Who: &v.who,
		Door: d.o.Lookup != nil, Form: v.form, Control: d.o.Control != nil && !v.who.ReadOnly, Body: page.Body})
}

// render writes a page as a whole, or a 500: never half of one.
func (d *Dashboard) render(w http.ResponseWriter, r *http.Request, status int, f frame) {
	f.Now = d.o.Now()
	var page bytes.Buffer
	if err := d.views[f.Template].ExecuteTemplate(&page, "layout.html", f); err != nil {
		d.o.Log.Error("page not rendered", "path", r.URL.Path, "err", err)
		http.Error(w, "this page cannot be shown; the server's log says why", http.StatusInternalServerError)
		return
	}
	rc := http.NewResponseController(w)
	_ = rc.SetWriteDeadline(time.Now().Add(writeTimeout)) // unsupported only by test recorders
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = page.WriteTo(w) // the browser may be gone
	_ = rc.Flush()
	_ = rc.SetWriteDeadline(time.Time{}) // the connection may serve another request
}

// with returns the address of a page with one parameter changed, and others
// taken out.
func with(at *url.URL, name, value string, without ...string) string {
	q := at.Query()
	for _, n := range without {
		q.Del(n)
	}
	if q.Set(name, value); value == "" {
		q.Del(name)
	}
	if len(q) == 0 {
		return at.Path
	}
	return at.Path + "?" + q.Encode()
}
