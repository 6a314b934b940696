package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/epic-swf/testbed/swf"
)

// Endpoints is what "testbed up" offers in its folder: run/endpoints.json,
// where every other program run there finds it. Broker is host:port, Monitor
// and MCP are URLs. Token is that of MCP, MonitorToken that of the monitor;
// an empty one means that none is asked for.
type Endpoints struct {
	Broker         string
	Monitor        string
	MCP            string
	Token          swf.Secret
	BrokerLogin    string
	BrokerPasscode swf.Secret
	MonitorToken   swf.Secret

	// Who wrote them. WriteEndpoints fills these in.
	PID     int
	Started string // boot and start time of that process
	Host    string
}

// endpointsFile is the form on disk; the first four names are promised.
type endpointsFile struct {
	Broker         string `json:"broker"`
	Monitor        string `json:"monitor"`
	MCP            string `json:"mcp"`
	Token          string `json:"token"`
	BrokerLogin    string `json:"broker_login,omitempty"`
	BrokerPasscode string `json:"broker_passcode,omitempty"`
	MonitorToken   string `json:"monitor_token,omitempty"`
	PID            int    `json:"pid"`
	Started        string `json:"started"`
	Host           string `json:"host"`
}

func endpointsPath(dir string) string { return filepath.Join(dir, "run", "endpoints.json") }

// WriteEndpoints writes dir/run/endpoints.json for the calling process, mode
// 0600 in a folder 0700, whole or not at all. It lives as long as the process.
func WriteEndpoints(dir string, e Endpoints) error {
	host, _ := os.Hostname()
	text, err := json.MarshalIndent(endpointsFile{Broker: e.Broker, Monitor: e.Monitor, MCP: e.MCP, Token: e.Token.Reveal(),
		BrokerLogin: e.BrokerLogin, BrokerPasscode: e.BrokerPasscode.Reveal(), MonitorToken: e.MonitorToken.Reveal(),
		PID: os.Getpid(), Started: startStamp(os.Getpid()), Host: host}, "", "  ")
	if err != nil {
		return err
	}
	if err := makePrivate(filepath.Join(dir, "run")); err != nil {
		return err
	}
	if err := writeAtomic(endpointsPath(dir), append(text, '\n')); err != nil {
		return swf.E(swf.CodeEnvironment, endpointsPath(dir)+" could not be written", "check the space and the permissions there").Because(err)
	}
	return nil
}

// RemoveEndpoints removes the file, if it is still the calling process's own.
func RemoveEndpoints(dir string) error {
	e, err := ReadEndpoints(dir)
	if err != nil || e == nil || e.PID != os.Getpid() || !e.Live() {
		return err
	}
	return os.Remove(endpointsPath(dir))
}

// ReadEndpoints reads dir/run/endpoints.json; nil when there is none. Whether
// they may be used is for Live to say. A file that others could have written
// is an error, as it decides where tokens are sent.
func ReadEndpoints(dir string) (*Endpoints, error) {
	path := endpointsPath(dir)
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	hint := "remove the file, then start \"testbed up\" again"
	if err == nil {
		if err := checkOwn(path, info, true); err != nil { // it holds tokens and decides where they are sent
			return nil, err
		}
	}
	var text []byte
	if err == nil {
		text, err = readRegular(plainFS{}, path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, swf.E(swf.CodeEnvironment, path+" "+reason(err), hint)
	}
	var f endpointsFile
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, swf.E(swf.CodeEnvironment, path+" is no JSON of ours", hint)
	}
	return &Endpoints{Broker: f.Broker, Monitor: f.Monitor, MCP: f.MCP, Token: swf.Secret(f.Token), BrokerLogin: f.BrokerLogin,
		BrokerPasscode: swf.Secret(f.BrokerPasscode), MonitorToken: swf.Secret(f.MonitorToken), PID: f.PID, Started: f.Started, Host: f.Host}, nil
}

// LiveEndpoints reads the endpoints of dir; nil when there are none or the
// process that offered them is gone.
func LiveEndpoints(dir string) (*Endpoints, error) {
	e, err := ReadEndpoints(dir)
	if err != nil || e == nil || !e.Live() {
		return nil, err
	}
	return e, nil
}

// Live reports whether the very process that wrote e still runs on this host:
// a pid alone may be another process's by now.
func (e *Endpoints) Live() bool {
	host, _ := os.Hostname()
	return e.PID > 0 && e.Host == host && e.Started != "" && e.Started == startStamp(e.PID)
}

// startStamp identifies a process: the boot, and the clock ticks from it to
// the process's start. "" when there is none, or when it is a zombie.
func startStamp(pid int) string {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	// The name in parentheses may hold anything; fields are counted behind it.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return ""
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	if _, err := strconv.ParseUint(fields[19], 10, 64); err != nil {
		return ""
	}
	return strings.TrimSpace(string(boot)) + "/" + fields[19]
}

func ownedByUs(info os.FileInfo) bool { return owner(info) == os.Geteuid() }

func ownedByRoot(info os.FileInfo) bool { return owner(info) == 0 }

// owner is a user's number, -1 where the system does not say.
func owner(info os.FileInfo) int {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(stat.Uid)
	}
	return -1
}
