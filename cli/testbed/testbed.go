package testbed

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/cli"
	"github.com/epic-swf/testbed/monitor/api"
	"github.com/epic-swf/testbed/monitor/dashboard"
	"github.com/epic-swf/testbed/monitor/recorder"
	"github.com/epic-swf/testbed/monitor/store"
	"github.com/epic-swf/testbed/web"
)

// Main is the testbed command. It returns the exit code.
func Main(ctx context.Context, args []string) int { return cli.Testbed(ctx, args, Linked()) }

// Linked is what the testbed command has beyond the other programs.
func Linked() cli.Linked { return cli.Linked{Monitor: monitor, Manual: manual} }

// manual is a cli.ManualPage.
func manual(cmd *cobra.Command, source string) ([]byte, error) {
	var page bytes.Buffer
	err := doc.GenMan(cmd, &doc.GenManHeader{Section: "1", Source: source, Manual: "ePIC streaming workflow testbed"}, &page)
	return page.Bytes(), err
}

// monitor is a cli.MonitorPart.
func monitor(ctx context.Context, among cli.Among, o cli.MonitorOptions) (cli.Pages, error) {
	opened, err := store.Open(ctx, store.Options{Path: o.Path, DSN: o.DSN, Keep: o.Keep, Log: o.Log})
	if err != nil {
		return nil, errors.Join(err, o.Listener.Close())
	}
	among.Last(opened.Close)
	feed := new(dashboard.Feed)
	s := feed.Watch(opened)
	among.Run("monitor sweep", s.Run)
	hub := api.NewHub()
	bus := amq.New(o.Broker)
	among.Run("monitor bus", bus.Run)
	heard := recorder.New(recorder.Options{Bus: bus, Store: s, Heard: hub.Publish, Log: o.Log})
	among.Run("recorder", heard.Run)
	o.Expose(amq.Metrics(bus, prometheus.Labels{"part": "monitor"}))
	o.Expose(append(heard.Collectors(), api.Collectors(s, hub, nil)...)...)
	rest := api.Options{Store: s, Token: o.Token, Hub: hub, Log: o.Log}
	if o.Token != "" {
		rest.Lookup, rest.ClosedLogs = o.Users, o.ClosedLogs
	}
	pages := dashboard.New(dashboard.Options{Store: s, Feed: feed, Lookup: o.Viewers, Anonymous: o.Anonymous, Control: control(o.Hands), Log: o.Log})
	h := web.Guard(beside(api.New(rest), pages), o.Names)
	among.Run("monitor", (&web.Server{Listener: o.Listener, Handler: web.Measured(h, "monitor", o.Metrics), MaxConns: o.MaxConns, Log: o.Log, BeforeShutdown: func() {
		hub.Close()
		feed.Close()
	}}).Run)
	return pages, nil
}

// beside serves the REST interface where it always was, and the pages elsewhere.
func beside(rest, pages http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if path := r.URL.Path; path == "/healthz" || path == "/api" || strings.HasPrefix(path, "/api/") {
			rest.ServeHTTP(w, r)
			return
		}
		pages.ServeHTTP(w, r)
	})
}

// hands are cli.Hands as the pages know them.
type hands struct{ cli.Hands }

func control(h cli.Hands) dashboard.Control {
	if h == nil {
		return nil
	}
	return hands{h}
}

// Call implements dashboard.Control.
func (h hands) Call(ctx context.Context, a dashboard.Ask) json.RawMessage {
	return h.Hands.Call(ctx, cli.PageCall(a))
}
