package browser

import (
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/epic-swf/testbed/swf"
)

// TestDashboard is one visit from the first sign-in to the end: the testbed is
// started, runs a workflow that is followed, every page is looked at, and it is
// stopped. The parts follow each other.
func TestDashboard(t *testing.T) {
	s := newSite(t)
	browser := newBrowser(t)
	desk := newTab(t, browser, s, 1280, 860)
	user := signIn(t, desk)
	start(t, desk, user)
	execution := runLive(t, desk, user)
	everyPage(t, desk, []string{"/", "/testbeds/" + user, "/executions", "/executions/" + execution,
		"/messages?execution=" + execution, "/logs", "/commands"})
	filterLinks(t, desk, execution)
	switchTheme(t, desk)
	stop(t, desk, user)
	signOut(t, desk)
}

// signIn goes through the door by its link, once, and by the token after.
func signIn(t *testing.T, b *tab) (user string) {
	b.do(chromedp.Navigate(b.site.link))
	b.waitLive()
	if at := b.text("location.pathname + location.search"); at != "/" {
		t.Errorf("the link's code stays in the address: %s", at)
	}
	user = b.text(`document.querySelector(".who b").textContent`)
	b.do(chromedp.Submit(`form[action="/logout"] button`), chromedp.WaitVisible(`input[name="token"]`))
	if found := b.violations(); found != "" {
		t.Errorf("axe on the sign-in page:\n%s", found)
	}
	b.do(chromedp.SendKeys(`input[name="token"]`, b.site.token+kb.Enter))
	b.waitLive()
	return user
}

// start starts the testbed with nothing but the keyboard: tab to the link of
// the testbed, into the form, to the button.
func start(t *testing.T, b *tab, user string) {
	b.open("/")
	tabTo(t, b, "t-"+user)
	b.do(chromedp.KeyEvent(kb.Enter), chromedp.WaitVisible("#start"))
	b.waitLive()
	tabTo(t, b, "start")
	b.do(chromedp.KeyEvent(kb.Enter))
	b.waitFor(`/succeeded/.test(document.querySelector("#outcome .head")?.innerText)`)
	b.waitFor(`document.querySelector("#head .state").innerText.trim() === "running"`)
	b.waitFor(`[...document.querySelectorAll("#parts tbody .state")].filter(s => s.innerText.trim() === "RUNNING").length >= 2`)
	b.shoot("start")
}

// tabTo presses Tab until the element with that id has the focus, which must
// be seen.
func tabTo(t *testing.T, b *tab, id string) {
	t.Helper()
	b.do(chromedp.Evaluate(`document.activeElement.blur()`, nil))
	for range 60 {
		b.do(chromedp.KeyEvent(kb.Tab))
		if b.text(`document.activeElement.id`) == id {
			if b.text(`getComputedStyle(document.activeElement).outlineStyle`) == "none" {
				t.Errorf("the focus on %s cannot be seen", id)
			}
			return
		}
	}
	t.Fatalf("Tab does not lead to %s", id)
}

// runLive starts a workflow and follows it on its page, noting when each
// number of STFs was on the screen.
func runLive(t *testing.T, b *tab, user string) (execution string) {
	b.open("/testbeds/" + user)
	b.do(chromedp.Click("#workflow"), chromedp.WaitVisible("#run"), chromedp.Click("#run"), chromedp.WaitVisible("#watch"), chromedp.Click("#watch"))
	b.waitLive()
	execution = b.text(`document.querySelector("h1").textContent`)
	b.do(chromedp.Evaluate(`window.seen = {}; new MutationObserver(() => {
		const n = document.querySelector("#summary .big").textContent;
		if (!(n in window.seen)) window.seen[n] = Date.now();
	}).observe(document.querySelector("#summary"), {childList: true, subtree: true})`, nil))
	b.waitFor(`document.querySelector("#summary .big").textContent >= 8`)
	b.shoot("execution-live")
	b.theme("dark")
	b.shoot("execution-live-dark")
	b.theme("light")
	b.waitFor(`document.querySelector("#summary .title .state").innerText.trim() === "completed"`)
	if got := b.text(`document.querySelector("#summary .big").textContent`); got != "32" {
		t.Errorf("%s STFs on the page, want 32", got)
	}
	var shown map[string]float64
	b.do(chromedp.Evaluate("window.seen", &shown))
	reportDelay(t, b.site, execution, shown)
	return execution
}

// reportDelay prints how long after a message was heard its STF was on the
// screen: of those numbers that were, for some follow in too quick succession
// to be drawn.
func reportDelay(t *testing.T, s *site, execution string, shown map[string]float64) {
	var messages []swf.RecordedMessage
	s.get("/api/workflow-messages/?limit=1000&message_type=stf_gen&execution_id="+url.QueryEscape(execution), &messages)
	slices.SortFunc(messages, func(a, b swf.RecordedMessage) int { return a.SentAt.Compare(b.SentAt.Time) })
	var delays []time.Duration
	for i, m := range messages {
		if at, ok := shown[fmt.Sprint(i+1)]; ok && i+1 < len(messages) { // the last may come with the end, out of its record
			delays = append(delays, time.UnixMilli(int64(at)).Sub(m.SentAt.Time))
		}
	}
	if len(delays) < 3 {
		t.Fatalf("only %d of %d STFs were seen as they came: the page does not follow", len(delays), len(messages))
	}
	slices.Sort(delays)
	t.Logf("live: %d STFs seen as they came, on the screen after %v (median), %v (worst)", len(delays), delays[len(delays)/2], delays[len(delays)-1])
}

// everyPage looks at each page at two widths and in two themes: it fits, axe
// has nothing against it, and a picture is kept.
func everyPage(t *testing.T, b *tab, paths []string) {
	for _, width := range []int64{1280, 390} {
		b.do(chromedp.EmulateViewport(width, 860, chromedp.EmulateScale(1)))
		for _, theme := range []string{"light", "dark"} {
			b.theme(theme)
			for _, path := range paths {
				b.open(path)
				name := fmt.Sprintf("%s-%d-%s", pageName(path), width, theme)
				if width == 390 && theme == "dark" {
					b.shoot(name) // axe has seen this width, and these colours
					continue
				}
				if found := b.violations(); found != "" {
					t.Errorf("axe on %s, %d wide, %s:\n%s", path, width, theme, found)
				}
				if b.text("document.documentElement.scrollWidth > innerWidth + 1") == "true" {
					t.Errorf("%s is wider than %d", path, width)
				}
				b.shoot(name)
			}
		}
	}
	t.Logf("pictures of every page: %s", screenshots())
	b.theme("light")
	b.do(chromedp.EmulateViewport(1280, 860, chromedp.EmulateScale(1)))
}

func pageName(path string) string {
	path, _, _ = strings.Cut(path, "?")
	dir, _ := filepath.Split(strings.Trim(path, "/"))
	switch {
	case path == "/":
		return "testbeds"
	case dir != "":
		return strings.TrimSuffix(strings.Trim(dir, "/"), "s")
	}
	return strings.Trim(path, "/")
}

// filterLinks filters by the form, and finds the same by the address alone.
func filterLinks(t *testing.T, b *tab, execution string) {
	b.open("/messages")
	b.do(chromedp.SetValue(`input[name="type"]`, "start_run"), chromedp.SendKeys("#q", "physics"+kb.Enter))
	b.waitFor(`location.search.includes("type=start_run")`)
	b.waitLive()
	rows := b.text(`document.querySelectorAll(".records > li").length`)
	if rows != "1" || !strings.Contains(b.text(`document.querySelector(".records").innerText`), execution) {
		t.Errorf("filtered: %s rows", rows)
	}
	b.open(b.text("location.pathname + location.search"))
	if again := b.text(`document.querySelectorAll(".records > li").length`); again != rows {
		t.Errorf("by the address alone: %s rows, not %s", again, rows)
	}
}

// switchTheme: the button wins over the system, also on the next page.
func switchTheme(t *testing.T, b *tab) {
	b.open("/")
	paper := func() string { return b.text(`getComputedStyle(document.documentElement).backgroundColor`) }
	light := paper()
	b.do(chromedp.Click("#theme"), chromedp.Click("#theme"))
	dark := paper()
	b.open("/logs")
	if light == dark || paper() != dark {
		t.Errorf("light %s, dark %s, on the next page %s", light, dark, paper())
	}
	b.do(chromedp.Click("#theme"))
}

// stop stops the testbed while a workflow runs: the page says what would be
// lost and asks.
func stop(t *testing.T, b *tab, user string) {
	b.open("/testbeds/" + user)
	b.do(chromedp.Click("#workflow"), chromedp.WaitVisible("#run"), chromedp.Click("#run"), chromedp.WaitVisible("#watch"))
	b.do(chromedp.Click("#stop"), chromedp.WaitVisible("#confirm"))
	b.shoot("confirm")
	b.do(chromedp.Click("#confirm"))
	b.waitFor(`/succeeded/.test(document.querySelector("#outcome .head")?.innerText)`)
	b.waitFor(`document.querySelector("#head .state").innerText.trim() === "stopped"`)
	b.open("/commands")
	b.waitFor(`/stop_testbed/.test(document.querySelector("#list tbody tr")?.innerText) && /succeeded/.test(document.querySelector("#list tbody tr")?.innerText)`)
	if row := b.text(`document.querySelector("#list tbody tr").innerText`); !strings.Contains(row, user) {
		t.Errorf("the stop among the commands: %s", row)
	}
}

// signOut: nothing of the pages is there any more.
func signOut(t *testing.T, b *tab) {
	b.do(chromedp.Submit(`form[action="/logout"] button`), chromedp.WaitVisible(`input[name="token"]`))
	if text := b.text("document.body.innerText"); strings.Contains(text, "stf_datataking") {
		t.Errorf("after signing out: %s", text)
	}
}
