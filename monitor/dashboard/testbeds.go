package dashboard

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/epic-swf/testbed/monitor/store"
	"github.com/epic-swf/testbed/swf"
)

// How long a manager's heartbeat counts (design, 4c.4), and an agent's.
const (
	lease       = 30 * time.Second
	leasePython = 95 * time.Second
	agentLease  = 2 * time.Minute
)

// testbed is one user's testbed, as the monitor last heard of it.
type testbed struct {
	User      string
	State     string // of the programs; "unknown" when the manager is silent
	LastState string // what it was then
	Manager   string // alive, silent, exited, or none
	Agent     *swf.Agent
	Told      told
	Agents    []agent
	Running   []execution
	Control   bool // the visitor may start and stop it
}

// told is the metadata of a manager's heartbeat.
type told struct {
	Protocol int       `json:"protocol"`
	Version  string    `json:"version"`
	State    string    `json:"state"`
	Config   string    `json:"config"`
	Dir      string    `json:"dir"`
	Programs []program `json:"programs"`
}

type program struct {
	Name     string     `json:"name"`
	State    string     `json:"state"`
	PID      int        `json:"pid"`
	Since    *time.Time `json:"since"`
	Restarts int        `json:"restarts"`
	Reason   string     `json:"reason"`
}

// agent is one agent and whether it is alive.
type agent struct {
	swf.Agent
	Life string // alive, silent or exited
}

// Up counts the programs that run.
func (t *testbed) Up() int {
	n := 0
	for _, p := range t.Told.Programs {
		if p.State == string(swf.ProgramRunning) {
			n++
		}
	}
	return n
}

// testbeds is the first page: every testbed that was ever heard of, who is
// alive first.
func (d *Dashboard) testbeds(v *visit) (view, error) {
	all, err := d.allTestbeds(v)
	if err != nil {
		return view{}, err
	}
	var alive, running, programs int
	for i := range all {
		if all[i].Manager == "alive" {
			alive++
			programs += all[i].Up()
		}
		running += len(all[i].Running)
	}
	latest, err := d.executionList(v.r.Context(), store.Query{Limit: 8})
	if err != nil {
		return view{}, err
	}
	body := map[string]any{"Testbeds": all, "Executions": latest.rows, "Alive": alive, "Programs": programs, "Running": running}
	return view{Title: "Testbeds", Template: "testbeds", Body: body}, nil
}

// testbed is the page of one user's testbed.
func (d *Dashboard) testbed(v *visit) (view, error) {
	user := v.r.PathValue("user")
	if swf.CheckName(swf.KindUsername, user) != nil {
		return view{}, errNoPage
	}
	all, err := d.allTestbeds(v)
	if err != nil {
		return view{}, err
	}
	i := slices.IndexFunc(all, func(t testbed) bool { return t.User == user })
	if i < 0 {
		if !v.who.MayActOn(user) { // who may not act on it is not told that it does not exist
			return view{}, errNoPage
		}
		all, i = []testbed{{User: user, State: "unknown", Manager: "none", Control: d.mayControl(v, user)}}, 0
	}
	t := &all[i]
	ctx := v.r.Context()
	recent, err := d.executionList(ctx, store.Query{Equal: map[string]any{"executed_by": user}, Limit: 8})
	if err != nil {
		return view{}, err
	}
	commands, err := d.commandList(ctx, store.Query{Equal: map[string]any{"instance_name": swf.ManagerInstance(user)}, Limit: 8})
	if err != nil {
		return view{}, err
	}
	body := map[string]any{"Testbed": t, "Executions": recent.rows, "Commands": commands.rows}
	if t.Control {
		body["Configs"] = d.o.Control.Configs(user)
	}
	return view{Title: user, Template: "testbed", Body: body}, nil
}

func (d *Dashboard) mayControl(v *visit, user string) bool {
	return d.o.Control != nil && !v.who.ReadOnly && v.who.MayActOn(user)
}

// allTestbeds reads what the monitor knows of agents and sorts it by whose
// they are.
func (d *Dashboard) allTestbeds(v *visit) ([]testbed, error) {
	ctx := v.r.Context()
	agents, err := listOf[swf.Agent](ctx, d.o.Store, store.Agents, store.Query{})
	if err != nil {
		return nil, err
	}
	running, err := d.executionList(ctx, store.Query{Equal: map[string]any{"status": swf.ExecutionRunning}, Limit: 200})
	if err != nil {
		return nil, err
	}
	byUser := map[string]*testbed{}
	of := func(user string) *testbed {
		if byUser[user] == nil {
			byUser[user] = &testbed{User: user, State: "unknown", Manager: "none", Control: d.mayControl(v, user)}
		}
		return byUser[user]
	}
	if name := v.who.Name; swf.CheckName(swf.KindUsername, name) == nil {
		of(name) // one's own is there to be started, heard of or not
	}
	now := d.o.Now()
	for i := range agents.rows {
		a := &agents.rows[i]
		user := ownerOf(a)
		switch {
		case user == "":
		case a.AgentType == swf.AgentTypeManager:
			of(user).hear(a, now)
		default:
			t := of(user)
			t.Agents = append(t.Agents, agent{*a, life(a, now, agentLease)})
		}
	}
	for _, e := range running.rows {
		if swf.CheckName(swf.KindUsername, e.ExecutedBy) == nil {
			t := of(e.ExecutedBy)
			t.Running = append(t.Running, e)
		}
	}
	var all []testbed
	for _, t := range byUser {
		all = append(all, *t)
	}
	order := map[string]int{"alive": 0, "silent": 1, "exited": 2, "none": 3}
	slices.SortFunc(all, func(a, b testbed) int {
		return cmp.Or(order[a.Manager]-order[b.Manager], strings.Compare(a.User, b.User))
	})
	return all, nil
}

// hear takes over what a manager said of itself and its programs.
func (t *testbed) hear(a *swf.Agent, now time.Time) {
	t.Agent = a
	_ = json.Unmarshal(a.Metadata, &t.Told) // the Django monitor keeps none, and Python managers send none
	most := leasePython
	if t.Told.Protocol >= 2 {
		most = lease
	}
	t.Manager = life(a, now, most)
	t.LastState = t.Told.State
	if t.Manager == "alive" && t.Told.State != "" {
		t.State = t.Told.State
	}
}

// life says whether a heartbeat still counts.
func life(a *swf.Agent, now time.Time, most time.Duration) string {
	switch {
	case a.OperationalState == swf.OpExited || a.Status == swf.StatusExited:
		return "exited"
	case a.LastHeartbeat == nil || now.Sub(a.LastHeartbeat.Time) > most:
		return "silent"
	}
	return "alive"
}

// ownerOf is the user in an agent's name ({type}-agent-{user}-{id}), or in a
// manager's; "" when there is none.
func ownerOf(a *swf.Agent) string {
	user, isManager := strings.CutPrefix(a.InstanceName, swf.ManagerInstance(""))
	if !isManager {
		_, rest, _ := strings.Cut(a.InstanceName, "-agent-")
		user = rest[:max(0, strings.LastIndexByte(rest, '-'))]
	}
	if swf.CheckName(swf.KindUsername, user) != nil {
		return ""
	}
	return user
}

// rows are a part of a list.
type rows[T any] struct {
	rows []T
	more bool
}

// listOf reads records of a table as one of swf's structs.
func listOf[T any](ctx context.Context, s Store, t *store.Table, q store.Query) (rows[T], error) {
	page, err := s.List(ctx, t, q)
	if err != nil {
		return rows[T]{}, err
	}
	out := rows[T]{rows: make([]T, len(page.Records)), more: page.More}
	for i, r := range page.Records {
		if err := t.Decode(r, &out.rows[i]); err != nil {
			return out, fmt.Errorf("dashboard: %w", err)
		}
	}
	return out, nil
}
