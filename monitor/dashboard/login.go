package dashboard

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/web"
)

var errWrongToken = swf.E(swf.CodeUnauthenticated, "This token is not known here.", "Copy it whole, without spaces, from the file that the server named when it started.")

// visit is one request of somebody who is signed in.
type visit struct {
	r    *http.Request
	who  swf.Principal
	form string // the token of this session's forms
}

// visitor says who asks; false: nobody that is known.
func (d *Dashboard) visitor(r *http.Request) (visit, bool) {
	if d.o.Lookup == nil {
		return visit{r: r, who: d.o.Anonymous, form: d.sessions.formToken("")}, true
	}
	id := d.sessions.id(r)
	if id == "" {
		return visit{}, false
	}
	who, ok := d.sessions.who(id)
	return visit{r: r, who: who, form: d.sessions.formToken(id)}, ok
}

// loginPage is GET /login: the form, or the end of a one-time link, whose code
// is exchanged for a cookie at once and stays in no address.
func (d *Dashboard) loginPage(w http.ResponseWriter, r *http.Request) {
	next := localPath(r.URL.Query().Get("next"))
	code := r.URL.Query().Get("code")
	if _, ok := d.visitor(r); ok && code == "" {
		http.Redirect(w, r, next, http.StatusSeeOther)
		return
	}
	if code == "" || r.Method != http.MethodGet || r.Header.Get("Sec-Purpose") != "" {
		d.askToSignIn(w, r, http.StatusOK, next, nil)
		return
	}
	id, ok := d.sessions.redeem(code)
	if !ok {
		d.askToSignIn(w, r, http.StatusUnauthorized, next, swf.E(swf.CodeUnauthenticated, "This link has been used, or is too old.", "Sign in with a token."))
		return
	}
	d.sessions.set(w, r, id)
	http.Redirect(w, r, next, http.StatusSeeOther)
}

// login is POST /login: a token for a cookie.
func (d *Dashboard) login(w http.ResponseWriter, r *http.Request) {
	next := localPath(r.PostFormValue("next"))
	if d.o.Lookup == nil {
		http.Redirect(w, r, next, http.StatusSeeOther)
		return
	}
	id, ok := d.sessions.signIn(strings.TrimSpace(r.PostFormValue("token")))
	if !ok {
		d.o.Log.Warn("a token was refused", "audit", true, "remote", r.RemoteAddr)
		d.askToSignIn(w, r, http.StatusUnauthorized, next, errWrongToken)
		return
	}
	d.sessions.set(w, r, id)
	http.Redirect(w, r, next, http.StatusSeeOther)
}

func (d *Dashboard) logout(w http.ResponseWriter, v *visit) {
	d.sessions.close(d.sessions.id(v.r))
	d.sessions.set(w, v.r, "")
	http.Redirect(w, v.r, "/login", http.StatusSeeOther)
}

// askToSignIn answers with the form, which says nothing about the testbed.
func (d *Dashboard) askToSignIn(w http.ResponseWriter, r *http.Request, status int, next string, err *swf.Error) {
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	d.render(w, r, status, frame{Title: "Sign in", Template: "login", Body: map[string]any{"Next": next, "Error": err}})
}

// refuseStranger answers somebody who has not signed in, the same on every
// path. A part of a page that renews itself makes the whole page ask.
func (d *Dashboard) refuseStranger(w http.ResponseWriter, r *http.Request) {
	next := "/"
	if r.Method == http.MethodGet {
		next = localPath(r.URL.RequestURI())
	}
	if r.Header.Get("HX-Request") != "" {
		w.Header().Set("HX-Refresh", "true")
	}
	d.askToSignIn(w, r, http.StatusUnauthorized, next, nil)
}

// localPath is a path of ours to go on to: never one that leads away.
func localPath(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.IsAbs() || u.Host != "" || u.User != nil || !strings.HasPrefix(next, "/") ||
		strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n\t") || strings.HasPrefix(next, "/login") {
		return "/"
	}
	return next
}

// act serves what changes something: signed in, with the form's token.
func (d *Dashboard) act(do func(http.ResponseWriter, *visit)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, ok := d.visitor(r)
		if !ok {
			d.refuseStranger(w, r)
			return
		}
		if !isForm(r) {
			web.WriteError(w, http.StatusUnsupportedMediaType, swf.E(swf.CodeInvalidArgument, "only forms are taken here", "use the buttons of the page"))
			return
		}
		id := ""
		if d.o.Lookup != nil {
			id = d.sessions.id(r)
		}
		if !d.sessions.formTokenOK(id, r.PostFormValue("csrf")) {
			web.WriteError(w, http.StatusForbidden, swf.E(swf.CodeForbidden, "this form is not from a page of yours", "load the page anew and try again"))
			return
		}
		do(w, &v)
	}
}

func isForm(r *http.Request) bool {
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	return strings.EqualFold(strings.TrimSpace(kind), "application/x-www-form-urlencoded")
}
