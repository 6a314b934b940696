package supervisor

import (
	"net"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Conf is what a supervisord configuration file says, expanded.
type Conf struct {
	Path      string // absolute
	Included  bool   // [include] brings in other files
	Dir       string // its folder, %(here)s
	Endpoint  Endpoint
	Socket    string // the socket's path when Endpoint is a unix one, else ""
	ServerURL string // what its programs carry as SUPERVISOR_SERVER_URL
	PIDFile   string
	LogFile   string // supervisord's own
	NoDaemon  bool
	OpenPort  bool      // [inet_http_server] asks for no password: whoever reaches the port may run anything
	RPC       bool      // [rpcinterface:supervisor] is there
	Programs  []Program // as supervisord will know them, sorted by group and name
	logDirs   []string
}

// Program is one process that the file defines: with numprocs there are several
// of one section.
type Program struct {
	Name, Group  string
	Section      string // the name in [program:NAME]
	Command      string // the command line
	StartSecs    int    // seconds to stay up before it counts as RUNNING
	StopWaitSecs int    // seconds before supervisord kills it
	StopSignal   syscall.Signal
	LogFile      string // "" when supervisord chooses, or there is none
	Autostart    bool
}

// Spec is "group:name", or just the name where the group is of the same name.
func (p Program) Spec() string { return spec(p.Group, p.Name) }

// ReadConf reads a configuration file as a supervisord with the environment env
// ("NAME=value", nil for none) and the file's folder as working directory would:
// includes, groups, numprocs, %(here)s and %(ENV_X)s. Errors are *ConfError and
// name the file, and the variable when one is not set.
func ReadConf(path string, env []string) (*Conf, error) {
	return readConf(path, "", env, true)
}

// readConf reads as from the working directory cwd ("": the file's folder).
// With strict=false it forgives programs that need variables which only their
// start will set; what is needed to reach supervisord is always needed.
func readConf(path, cwd string, env []string, strict bool) (*Conf, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, &ConfError{Path: path, Problem: err.Error()}
	}
	node, _ := os.Hostname()
	dir := filepath.Dir(path)
	if cwd == "" {
		cwd = dir
	}
	vars := environment(env).with("here", dir, "host_node_name", node)
	ini, err := loadINI(path, vars)
	if err != nil {
		return nil, err
	}
	r := &confReader{
		conf: &Conf{Path: path, Dir: dir, Included: ini.section("include") != nil}, ini: ini, vars: vars, cwd: cwd, strict: strict,
	}
	if err := r.read(); err != nil {
		return nil, err
	}
	return r.conf, nil
}

type confReader struct {
	conf   *Conf
	ini    *iniFile
	vars   variables
	cwd    string
	strict bool
}

func (r *confReader) fail(s *section, problem string) error {
	return &ConfError{Path: s.file, Line: s.line, Problem: "[" + s.name + "] " + problem}
}

// value is one option, expanded.
func (r *confReader) value(s *section, vars variables, key, fallback string) (string, error) {
	v, err := vars.expand(s.get(key, fallback))
	if err != nil {
		return "", r.fail(s, key+": "+err.Error())
	}
	return v, nil
}

func (r *confReader) read() error {
	s := r.ini.section("supervisord")
	if s == nil {
		return &ConfError{Path: r.conf.Path, Problem: "has no [supervisord] section"}
	}
	if err := r.daemon(s); err != nil {
		return err
	}
	if err := r.server(); err != nil {
		return err
	}
	r.conf.RPC = r.ini.section("rpcinterface:supervisor") != nil
	if err := r.programs(); err != nil {
		return err
	}
	sort.SliceStable(r.conf.Programs, func(i, j int) bool {
		a, b := r.conf.Programs[i], r.conf.Programs[j]
		return a.Group < b.Group || a.Group == b.Group && a.Name < b.Name
	})
	return nil
}

func (r *confReader) daemon(s *section) error {
	get := func(key, fallback string) (string, error) { return r.value(s, r.vars, key, fallback) }
	nodaemon, err := get("nodaemon", "false")
	if err != nil {
		return err
	}
	if r.conf.NoDaemon, err = boolean(nodaemon); err != nil {
		return r.fail(s, "nodaemon: "+err.Error())
	}
	pidfile, err := get("pidfile", "supervisord.pid")
	if err != nil {
		return err
	}
	r.conf.PIDFile = r.path(pidfile)
	logfile, err := get("logfile", "supervisord.log")
	if err != nil {
		return err
	}
	if logfile != "syslog" {
		r.conf.LogFile = r.path(logfile)
		r.conf.logDirs = append(r.conf.logDirs, filepath.Dir(r.conf.LogFile))
	}
	r.conf.logDirs = append(r.conf.logDirs, filepath.Dir(r.conf.PIDFile))
	if childlogs, err := get("childlogdir", ""); err != nil {
		return err
	} else if childlogs != "" {
		r.conf.logDirs = append(r.conf.logDirs, r.path(childlogs))
	}
	own, err := r.environment(s, r.vars)
	if err != nil {
		return err
	}
	// What [supervisord] sets is there for everything below it.
	r.vars = r.vars.with(own...)
	return nil
}

// server finds where supervisord listens. A unix socket is preferred, as
// supervisord prefers it for its programs.
func (r *confReader) server() error {
	var sock, inet *section
	for _, s := range r.ini.sections {
		kind, _, _ := strings.Cut(s.name, ":")
		if kind == "unix_http_server" && sock == nil {
			sock = s
		}
		if kind == "inet_http_server" {
			password, err := r.value(s, r.vars, "password", "")
			if err != nil {
				return err
			}
			r.conf.OpenPort = r.conf.OpenPort || password == ""
			if inet == nil {
				inet = s
			}
		}
	}
	if sock == nil && inet == nil {
		return &ConfError{Path: r.conf.Path,
			Problem: "has no [unix_http_server] section, so the supervisord could not be spoken to"}
	}
	e := &r.conf.Endpoint
	s := sock
	if s == nil {
		s = inet
		port, err := r.value(s, r.vars, "port", "")
		if err != nil {
			return err
		}
		host, number, err := inetAddress(port)
		if err != nil {
			return r.fail(s, "port: "+err.Error())
		}
		*e = Endpoint{Network: "tcp", Address: net.JoinHostPort(host, number)}
		r.conf.ServerURL = "http://" + host + ":" + number
	} else {
		file, err := r.value(s, r.vars, "file", "")
		if err != nil {
			return err
		}
		if strings.TrimSpace(file) == "" {
			return r.fail(s, "has no file =")
		}
		*e = Endpoint{Network: "unix", Address: r.path(strings.TrimSpace(file))}
		r.conf.Socket = e.Address
		r.conf.ServerURL = "unix://" + e.Address
	}
	var err error
	if e.Username, err = r.value(s, r.vars, "username", ""); err != nil {
		return err
	}
	e.Password, err = r.value(s, r.vars, "password", "")
	return err
}

// path makes a file name absolute, as seen from supervisord's working directory.
func (r *confReader) path(p string) string {
	if p == "~" || strings.HasPrefix(p, "~/") {
		p = filepath.Join(r.vars["ENV_HOME"], p[1:])
	}
	if !filepath.IsAbs(p) {
		p = filepath.Join(r.cwd, p)
	}
	return filepath.Clean(p)
}

func inetAddress(s string) (host, port string, err error) {
	port = s
	if at := strings.LastIndexByte(s, ':'); at >= 0 {
		host, port = strings.ToLower(s[:at]), s[at+1:]
	}
	n, err := strconv.Atoi(strings.TrimSpace(port))
	if err != nil || n < 1 || n > 65535 {
		return "", "", confProblem("not host:port: " + clip(s, 60))
	}
	if host == "" || host == "*" {
		host = "localhost"
	}
	return host, strconv.Itoa(n), nil
}

type confProblem string

func (p confProblem) Error() string { return string(p) }

func boolean(s string) (bool, error) {
	switch strings.ToLower(s) {
	case "yes", "true", "on", "1":
		return true, nil
	case "no", "false", "off", "0":
		return false, nil
	}
	return false, confProblem("neither true nor false: " + clip(s, 60))
}

func signalNumber(s string) (syscall.Signal, error) {
	s = strings.ToUpper(strings.TrimSpace(s))
	if n, err := strconv.Atoi(s); err == nil && n > 0 && n < 65 {
		return syscall.Signal(n), nil
	}
	if sig := unix.SignalNum("SIG" + strings.TrimPrefix(s, "SIG")); sig != 0 {
		return sig, nil
	}
	return 0, confProblem("no such signal: " + clip(s, 60))
}
