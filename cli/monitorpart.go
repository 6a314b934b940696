package cli

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/epic-swf/testbed/amq"
	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/web"
)

// Linked are the rooms and libraries of the testbed command alone. Its caller
// gives them, the room cli/testbed, for what is imported here is linked into all
// programs and makes itself ready in each of them.
type Linked struct {
	Monitor MonitorPart
	Manual  ManualPage
}

// ManualPage is a manual page of section 1, in roff. The source stands at its
// foot.
type ManualPage func(cmd *cobra.Command, source string) ([]byte, error)

// MonitorPart starts a whole monitor among the parts of a process: the store,
// the REST interface, the stream, the pages, and the recorder that hears the
// bus. It takes the listener over, also where it fails; until the parts end, ctx
// goes on. Two databases, templates and assets come with it.
type MonitorPart func(ctx context.Context, among Among, o MonitorOptions) (Pages, error)

// Among is where parts of one process run beside each other. They end in the
// reverse of the order in which they began.
type Among interface {
	// Run starts a part, which runs until its ctx ends.
	Run(name string, part func(ctx context.Context) error)
	// Last adds something to do at the end.
	Last(end func() error)
}

// Pages are what people see of a monitor.
type Pages interface {
	// Link is a path that signs that principal in, once.
	Link(swf.Principal) string
}

// MonitorOptions make a monitor.
type MonitorOptions struct {
	Path string        // of the SQLite file
	DSN  swf.Secret    // URL of a PostgreSQL database, which goes before Path
	Keep time.Duration // of messages, logs and ended executions; 0: for ever

	Listener net.Listener
	MaxConns int              // to it, at once; 0: what suffices for one user
	Names    web.GuardOptions // of this server, beyond its addresses
	Broker   amq.Options

	Token      swf.Secret // writes everything; "": nobody is asked for a token
	Users      func(token string) (swf.Principal, bool)
	ClosedLogs bool // logs too are taken with a token alone

	Viewers   func(token string) (swf.Principal, bool) // who may see the pages; nil: everybody, as Anonymous
	Anonymous swf.Principal
	Hands     Hands // nil: the pages change nothing

	Metrics prometheus.Registerer         // nil: nobody watches
	Expose  func(...prometheus.Collector) // registers, if anybody watches
	Log     *slog.Logger
}

// Hands do what the pages' buttons say.
type Hands interface {
	// Call has a tool do what is asked and returns its answer as JSON.
	Call(ctx context.Context, a PageCall) json.RawMessage
	// Configs are the configurations that a user's testbed can be started with.
	Configs(username string) []string
}

// PageCall is what a page asks of a tool.
type PageCall struct {
	Who  swf.Principal
	From string // address of the browser
	Tool string
	Args map[string]any
}
