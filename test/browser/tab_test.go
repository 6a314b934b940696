package browser

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// newBrowser starts a Chromium, with a profile of its own.
func newBrowser(t *testing.T) context.Context {
	t.Helper()
	path := ""
	for _, name := range []string{os.Getenv("SWF_TEST_CHROMIUM"), "chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); name != "" && err == nil {
			path = found
			break
		}
	}
	if path == "" {
		missing(t, "Chromium: on Debian, apt-get install chromium")
	}
	profile, err := os.MkdirTemp(root, "p")
	if err != nil {
		t.Fatal(err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.UserDataDir(profile),
		chromedp.Env(mark+"="+root), chromedp.WSURLReadTimeout(patience))
	if os.Getuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium has none for root
	}
	alloc, closeAlloc := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, closeBrowser := chromedp.NewContext(alloc)
	t.Cleanup(func() {
		_ = chromedp.Cancel(ctx)
		closeBrowser()
		closeAlloc()
	})
	if err := chromedp.Run(ctx); err != nil {
		t.Fatal("Chromium does not start: ", err)
	}
	return ctx
}

// tab is one page in the browser, with what it complained of.
type tab struct {
	t    *testing.T
	ctx  context.Context
	site *site

	mu     sync.Mutex
	errors []string
}

// newTab opens a page of that width, in the browser's one profile.
func newTab(t *testing.T, browser context.Context, s *site, width, height int64) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser)
	b := &tab{t: t, ctx: ctx, site: s}
	t.Cleanup(func() {
		cancel()
		for _, e := range b.complaints() {
			t.Error(e)
		}
	})
	if err := chromedp.Run(ctx); err != nil { // the tab lives as long as the context of its first action
		t.Fatal(err)
	}
	chromedp.ListenTarget(ctx, b.heard)
	b.do(network.Enable(), log.Enable(), runtime.Enable(), chromedp.EmulateViewport(width, height, chromedp.EmulateScale(1)))
	return b
}

// heard notes errors of the console and requests that leave the site.
func (b *tab) heard(event any) {
	note := func(format string, args ...any) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.errors = append(b.errors, fmt.Sprintf(format, args...))
	}
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		note("exception: %s", e.ExceptionDetails.Error())
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.APITypeError || e.Type == runtime.APITypeAssert {
			var text []string
			for _, a := range e.Args {
				text = append(text, string(a.Value)+a.Description)
			}
			note("console: %s", strings.Join(text, " "))
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.LevelError {
			note("log: %s %s", e.Entry.Text, e.Entry.URL)
		}
	case *network.EventRequestWillBeSent:
		u, err := url.Parse(e.Request.URL)
		if err != nil || (u.Scheme != "data" && u.Scheme+"://"+u.Host != b.site.url) {
			note("a request to another host: %s", e.Request.URL)
		}
	}
}

// complaints are what was noted until now.
func (b *tab) complaints() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.errors...)
}

// do runs actions in order.
func (b *tab) do(actions ...chromedp.Action) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Run(ctx, actions...); err != nil {
		var where string
		last, done := context.WithTimeout(b.ctx, patience)
		defer done()
		_ = chromedp.Run(last, chromedp.Evaluate(`location.href + "\n" + document.body.innerText.slice(0, 2000)`, &where))
		b.t.Fatalf("%v, at %s", err, where)
	}
}

// open goes to a path and waits until the page is live.
func (b *tab) open(path string) {
	b.t.Helper()
	b.do(chromedp.Navigate(b.site.url + path))
	b.waitLive()
}

func (b *tab) waitLive() {
	b.t.Helper()
	b.waitFor(`document.querySelector("#live")?.dataset.state === "on"`)
}

// waitFor waits until an expression holds on the page, whichever page that is
// by then.
func (b *tab) waitFor(expression string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	for ctx.Err() == nil {
		var holds bool
		if err := chromedp.Run(ctx, chromedp.Evaluate("!!("+expression+")", &holds)); err == nil && holds {
			return
		}
		time.Sleep(20 * time.Millisecond) // a page on its way to another cannot be asked
	}
	b.shoot("waiting")
	b.t.Fatalf("it never came true: %s\nat %s", expression, b.text(`location.href + "\n" + document.body.innerText.slice(0, 2000)`))
}

// text is what an expression gives.
func (b *tab) text(expression string) (s string) {
	b.t.Helper()
	b.do(chromedp.Evaluate("String("+expression+")", &s))
	return s
}

// theme makes the system's theme light or dark.
func (b *tab) theme(name string) {
	b.t.Helper()
	b.do(emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}}))
}

// shoot keeps a picture of what is on the page.
func (b *tab) shoot(name string) {
	b.t.Helper()
	dir := screenshots()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		b.t.Fatal(err)
	}
	var png []byte
	b.do(chromedp.CaptureScreenshot(&png))
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// screenshots is the folder of the pictures, which CI keeps.
func screenshots() string {
	dir, err := filepath.Abs(filepath.Join("..", "..", ".cache", "screenshots"))
	if err != nil {
		return "screenshots"
	}
	return dir
}

// violations are what axe-core says against the page, empty when nothing.
func (b *tab) violations() string {
	b.t.Helper()
	modules := os.Getenv("SWF_TEST_NODE_MODULES")
	axe, err := os.ReadFile(filepath.Join(modules, "axe-core", "axe.min.js"))
	if err != nil {
		missing(b.t, "axe-core: make test installs it")
	}
	var found string
	await := func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }
	b.do(chromedp.Evaluate(string(axe)+"; true", nil), chromedp.Evaluate(`axe.run(document).then(r => r.violations.map(v =>
		v.id + ": " + v.help + "\n" + v.nodes.slice(0, 4).map(n => "    " + n.html.slice(0, 200) + "\n      " + n.failureSummary).join("\n")).join("\n"))`, &found, await))
	return found
}
