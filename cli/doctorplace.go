package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/epic-swf/testbed/config"
	"github.com/epic-swf/testbed/control"
	"github.com/epic-swf/testbed/swf"
	"github.com/epic-swf/testbed/workflows"
)

// folder finds the testbed folder; without one there is nothing to look at.
func (d *doctor) folder() bool {
	const check = "folder"
	cwd, err := os.Getwd()
	var dir string
	if err == nil {
		dir, err = config.Folder(d.app.dir, cwd, d.app.getenv)
	}
	if err != nil {
		d.fail(check, err, "go to your testbed folder, or make one: testbed init")
		return false
	}
	username, err := d.app.username()
	if err != nil {
		d.fail(check, err, "")
		return false
	}
	paths, err := config.FindPaths(dir, d.app.getenv)
	if err != nil {
		d.fail(check, err, "set HOME")
		return false
	}
	d.place = &place{app: d.app, username: username, paths: paths}
	d.ok(check, dir+" of "+username)
	return true
}

// environment reads the files that make it. One that is wrong is left out, so
// that the rest can be looked at.
func (d *doctor) environment(context.Context) {
	const check = "environment"
	o := d.place.envOptions(nil)
	env, err := config.LoadEnv(o)
	if err == nil {
		d.place.env = env
		d.ok(check, "read, with the .env of the folder and of the home")
		return
	}
	d.fail(check, err, "correct the .env file")
	o.Dir, o.Home = "", ""
	if d.place.env, err = config.LoadEnv(o); err != nil {
		d.place.env = &config.Env{}
	}
}

// modes looks who may change what decides for us.
func (d *doctor) modes(context.Context) {
	const check = "modes"
	if err := d.place.paths.Check(); err != nil {
		d.fail(check, err, "chmod 700 "+d.place.paths.State+" "+d.place.paths.Config)
		return
	}
	d.ok(check, "nobody else can change or read what is yours alone")
}

// How much room a manager needs, and how much is little, in bytes. Below the
// first its journal refuses commands (design, rule 17).
const (
	diskNeeded = 8 << 20
	diskLittle = 200 << 20
)

func (d *doctor) disk(context.Context) {
	const check = "disk"
	dir := d.place.paths.State
	for dir != "/" {
		if _, err := os.Stat(dir); err == nil {
			break
		}
		dir = filepath.Dir(dir)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		d.fail(check, fmt.Errorf("%s: %w", dir, err), "look whether its file system is mounted")
		return
	}
	d.findings = append(d.findings, diskFinding(check, dir, st.Bavail*uint64(st.Bsize), st.Files, st.Ffree))
}

// diskFinding judges free bytes and free inodes.
func diskFinding(check, dir string, free, inodes, freeInodes uint64) finding {
	f := finding{Check: check, Status: isOK, Found: fmt.Sprintf("%d MiB are free for %s", free>>20, dir)}
	switch {
	case free < diskNeeded:
		f.Status, f.Cure = isFailed, fmt.Sprintf("make room, at least %d MiB: below that the agent manager takes no commands", diskLittle>>20)
	case inodes > 0 && freeInodes < 100:
		f.Status, f.Found, f.Cure = isFailed, "the file system of "+dir+" can hold no more files", "remove files that nobody needs"
	case free < diskLittle:
		f.Status, f.Cure = isWarning, "make room soon: logs and the journal grow"
	}
	return f
}

func (d *doctor) settings(context.Context) {
	const check = "settings"
	p := d.place.paths
	m, err := config.LoadManagerSettings(p.ManagerSettings())
	if err == nil {
		_, err = m.Level()
	}
	if err != nil {
		d.fail(check, err, "correct "+p.ManagerSettings())
		return
	}
	s, err := config.LoadServerSettings(p.ServerSettings())
	if err == nil {
		_, err = s.Queue(d.place.username, d.place.env.Get)
	}
	if err != nil {
		d.fail(check, err, "correct "+p.ServerSettings())
		return
	}
	if m.AcceptUnsigned {
		d.add(check, isWarning, "the agent manager takes unsigned commands", "give your key to the MCP server (testbed key export, testbed key enroll), then remove accept_unsigned from "+p.ManagerSettings())
		return
	}
	d.ok(check, "manager.toml and server.toml can be used, where they are there")
}

func (d *doctor) controlKey(context.Context) {
	const check = "control key"
	path := d.place.paths.ControlKey()
	ring, err := control.ReadRing(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		d.add(check, isWarning, "there is no "+path+": commands are not signed", "make one: testbed init "+d.place.paths.Dir)
	case err != nil:
		d.fail(check, err, "make a new one: testbed key rotate")
	default:
		d.ok(check, "signs as "+strings.Join(ring.IDs(), ", "))
	}
}

// configuration is the one that a start without a name takes, and whether all
// others can be used.
func (d *doctor) configuration(ctx context.Context) {
	const check = "configuration"
	s := d.place.sources()
	t, err := config.Load(s, "")
	if err == nil {
		_, err = workflows.Validate(ctx, s, t, config.RunRequest{}, d.place.env.Get)
	}
	if err != nil {
		d.fail(check, err, "testbed config validate says more")
		return
	}
	d.testbed = t
	var bad []string
	for _, name := range config.ListConfigs(s) {
		if v := d.app.judge(ctx, s, name); v.Error != nil {
			bad = append(bad, name)
		}
	}
	if len(bad) > 0 {
		d.add(check, isWarning, fmt.Sprintf("%s can be used; %s cannot", t.Shown, strings.Join(bad, ", ")), "testbed config validate says why")
		return
	}
	d.ok(check, fmt.Sprintf("%s, namespace %s, agents %s", t.Shown, t.Namespace, strings.Join(t.EnabledPrograms(), ", ")))
}

// endpoints is what a testbed up has left or offers in the folder.
func (d *doctor) endpoints(context.Context) {
	const check = "testbed up"
	e, err := config.ReadEndpoints(d.place.paths.Dir)
	switch {
	case err != nil:
		d.fail(check, err, "remove run/endpoints.json in "+d.place.paths.Dir+" and start testbed up anew")
	case e == nil:
		d.ok(check, "does not run in this folder; broker and monitor are others'")
	case !e.Live():
		d.add(check, isWarning, fmt.Sprintf("run/endpoints.json is left from a testbed up (pid %d) that is gone; it is not used", e.PID), "start it anew: testbed up --dir "+d.place.paths.Dir+", or remove the file")
	default:
		for what, address := range map[string]string{"broker": e.Broker, "monitor": e.Monitor, "MCP server": e.MCP} {
			if err := dialURL(address); err != nil {
				d.fail(check, swf.E(swf.CodeEnvironment, fmt.Sprintf("its %s does not answer at %s", what, address), "end it with Ctrl-C and start it anew: testbed up").Because(err), "")
				return
			}
		}
		d.ok(check, fmt.Sprintf("runs, pid %d; its ports answer", e.PID))
	}
}
