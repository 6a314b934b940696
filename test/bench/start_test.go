package bench

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// starts are rows 4 and 5, and what supervisorctl does beside our XML-RPC.
func starts() *group {
	const floor = "supervisord alone: spawn, first RPC, start all, all RUNNING, by a minimal client"
	g := &group{name: "starts", rows: []*row{
		{of: "`start_user_testbed`, 5 agents, confirmed RUNNING", floor: floor, unit: seconds, goal: ratioAtMost(1.15)},
		{of: "the same with 50 agents", floor: floor + ", 50", unit: seconds, goal: ratioAtMost(1.15)},
		{of: "`stop_user_testbed`, 5 agents", floor: "the slowest agent's exit, then supervisord's", unit: seconds, goal: ratioAtMost(1.2)},
		{of: "the same with 50 agents", floor: "the same, 50", unit: seconds, goal: ratioAtMost(1.2)},
		{of: "status of 5 agents, XML-RPC", floor: "`supervisorctl status`, a process each time", unit: seconds, goal: ratioAtMost(0.1)},
	}}
	g.rows[0].why = "beside supervisord: the configuration is read twice, /proc is swept for orphans, and its first answer is waited for; needs a shorter poll near startsecs"
	g.rows[1].why = g.rows[0].why
	g.rows[2].why = "beside the ends that are waited for, the stop asks once more what state each program is in, which is the answer, and looks through /proc once for what may carry supervisord's socket in its environment (rule 7)"
	g.rows[3].why = g.rows[2].why
	g.measure = func(t *testing.T, g *group) {
		five, fifty := newSite(t, folder(t), agents(5)), newSite(t, folder(t), agents(size(50)))
		for i := range rounds(5) {
			for k, s := range []*site{five, fifty} {
				turns := []func() (float64, float64){s.floorCycle, s.ourCycle}
				first, second := turns[i%2], turns[1-i%2]
				var v [2][2]float64
				v[i%2][0], v[i%2][1] = first()
				v[1-i%2][0], v[1-i%2][1] = second()
				g.rows[k].add(v[0][0], v[1][0])
				g.rows[k+2].add(v[0][1], v[1][1])
			}
		}
		g.status(t, five)
	}
	return g
}

// floorCycle and ourCycle are a start and a stop.
func (s *site) floorCycle() (start, stop float64) { return timed(s.floorStart), timed(s.floorStop) }

func (s *site) ourCycle() (start, stop float64) {
	tb := s.testbed()
	return timed(func() { s.start(tb) }), timed(func() { s.stop(tb) })
}

// status compares a look by XML-RPC with one by the command.
func (g *group) status(t *testing.T, s *site) {
	s.floorStart()
	defer s.floorStop()
	ctl := filepath.Join(filepath.Dir(s.binary), "supervisorctl")
	c := s.rpc()
	for range rounds(5) {
		g.rows[4].add(timed(func() {
			cmd := exec.Command(ctl, "-c", filepath.Join(s.dir, "agents.supervisord.conf"), "status")
			cmd.Env = s.env
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		}), timed(func() {
			if _, err := c.Processes(context.Background()); err != nil {
				t.Error(err)
			}
		}))
	}
}

// runs is row 6: the command testbed run with the real runner, against
// supervisord alone with as many programs.
func runs() *group {
	g := &group{name: "run", rows: []*row{
		{of: "`testbed run` until `run_workflow` is accepted, runner and data agent real", floor: "the start floor, 2 programs", unit: seconds, goal: ratioAtMost(1.25),
			why: "the process's own start and the runner's first second come on top: it answers only once it has subscribed and seen its agents READY; needs agents that register while supervisord still counts startsecs"},
	}}
	g.measure = func(t *testing.T, g *group) {
		testbed, floor := ours(t, "testbed"), newSite(t, folder(t), agents(1))
		dir := folder(t)
		env := private(t, dir, embedded(t))
		command := func(args ...string) {
			cmd := exec.Command(testbed, args...)
			cmd.Dir, cmd.Env = dir, env
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("testbed %s: %v\n%s", strings.Join(args, " "), err, out)
			}
		}
		command("init", dir)
		for i := range rounds(5) {
			turn := []func() float64{
				func() float64 { v, _ := floor.floorCycle(); return v },
				func() float64 {
					defer command("stop-agents", "--yes")
					return timed(func() { command("run") })
				},
			}
			var v [2]float64
			for k := range turn {
				n := (i + k) % 2
				v[n] = turn[n]()
			}
			g.rows[0].add(v[0], v[1])
		}
	}
	return g
}

// private is the environment of programs that are to see nothing of this
// machine's own testbeds.
func private(t testing.TB, dir, broker string) []string {
	t.Helper()
	host, port, err := net.SplitHostPort(broker)
	if err != nil {
		t.Fatal(err)
	}
	monitor := monitorURL(t)
	return []string{"PATH=" + os.Getenv("PATH"), "USER=" + os.Getenv("USER"), "HOME=" + dir, "SWF_HOME=" + dir, "SWF_SUPERVISORD=" + os.Getenv("SWF_SUPERVISORD"),
		"ACTIVEMQ_HOST=" + host, "ACTIVEMQ_PORT=" + port, "SWF_MONITOR_URL=" + monitor, "XDG_STATE_HOME=" + filepath.Join(dir, "state"), "XDG_CONFIG_HOME=" + filepath.Join(dir, "config")}
}
