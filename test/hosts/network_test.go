package hosts

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// network is a switch and the hosts at it, each a network namespace with an
// address in 10.77.0.0/24. Nothing of it touches the machine's own network.
type network struct {
	t    *testing.T
	name string // of the switch; names of the hosts begin with it
	n    int
}

// host is one of them.
type host struct {
	net  *network
	name string
	ns   string
	ip   string
	port string // of the switch
}

// newNetwork makes the switch, or skips the test where that cannot be.
func newNetwork(t *testing.T) *network {
	t.Helper()
	n := &network{t: t, name: fmt.Sprintf("swf%d", os.Getpid())}
	t.Cleanup(n.remove)
	if err := n.make(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("network namespaces must be there in CI: ", err)
		}
		t.Skip("needs network namespaces (Linux, root, iproute2): ", err)
	}
	return n
}

func (n *network) make() error {
	if os.Getuid() != 0 {
		return fmt.Errorf("this is not root")
	}
	for _, args := range []string{"netns add " + n.name, "-n " + n.name + " link add br0 type bridge", "-n " + n.name + " link set br0 up"} {
		if err := ip(args); err != nil {
			return err
		}
	}
	return nil
}

// ip runs the command of that name.
func ip(args string) error {
	out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", args, err, strings.TrimSpace(string(out)))
	}
	return nil
}

func (n *network) ip(args string, values ...any) {
	n.t.Helper()
	if err := ip(fmt.Sprintf(args, values...)); err != nil {
		n.t.Fatal(err)
	}
}

// host adds one.
func (n *network) host(name string) *host {
	n.t.Helper()
	n.n++
	h := &host{net: n, name: name, ns: n.name + "-" + name, ip: fmt.Sprintf("10.77.0.%d", n.n), port: fmt.Sprintf("p%d", n.n)}
	n.ip("netns add %s", h.ns)
	n.ip("-n %s link set lo up", h.ns)
	n.ip("-n %s link add %s type veth peer name eth0 netns %s", n.name, h.port, h.ns)
	n.ip("-n %s link set %s master br0 up", n.name, h.port)
	n.ip("-n %s addr add %s/24 dev eth0", h.ns, h.ip)
	n.ip("-n %s link set eth0 up", h.ns)
	return h
}

// cut pulls the host's plug: nothing passes, and nobody is told.
func (h *host) cut() { h.plug("down") }

// heal puts it back.
func (h *host) heal() { h.plug("up") }

func (h *host) plug(state string) {
	h.net.t.Helper()
	if err := ip("-n " + h.net.name + " link set " + h.port + " " + state); err != nil {
		h.net.t.Error(err)
	}
}

// remove ends what still runs on the hosts and takes the namespaces away.
func (n *network) remove() {
	list, err := exec.Command("ip", "netns", "list").Output()
	if err != nil {
		return
	}
	for line := range strings.Lines(string(list)) {
		ns, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		if ns != n.name && !strings.HasPrefix(ns, n.name+"-") {
			continue
		}
		pids, _ := exec.Command("ip", "netns", "pids", ns).Output()
		for pid := range strings.FieldsSeq(string(pids)) {
			_ = exec.Command("kill", "-9", pid).Run()
		}
		if err := ip("netns del " + ns); err != nil {
			n.t.Error(err)
		}
	}
}

// within runs f on a thread that is on the host, and under its name.
func (h *host) within(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()              // and never unlocked: the thread ends with f,
		if unix.Gettid() == unix.Getpid() { // but for the first one, which would stay on the host; another is taken while this one is held
			done <- h.within(f)
			runtime.UnlockOSThread()
			return
		}
		done <- func() error {
			ns, err := os.Open("/run/netns/" + h.ns)
			if err != nil {
				return err
			}
			defer ns.Close()
			if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("enter %s: %w", h.ns, err)
			}
			if err := unix.Unshare(unix.CLONE_NEWUTS); err != nil {
				return fmt.Errorf("a host name of its own: %w", err)
			}
			if err := unix.Sethostname([]byte(h.name)); err != nil {
				return err
			}
			return f()
		}()
	}()
	return <-done
}

// dial connects from the host to an address of numbers.
func (h *host) dial(ctx context.Context, network, addr string) (c net.Conn, err error) {
	failed := h.within(func() error {
		c, err = new(net.Dialer).DialContext(ctx, network, addr)
		return err
	})
	return c, failed
}

// start starts a program on the host as a user.
func (h *host) start(cmd *exec.Cmd, uid uint32) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}, Setpgid: true}
	return h.within(cmd.Start)
}

// runs lists the processes on the host whose command line has that text.
func (h *host) runs(text string) []string {
	var found []string
	pids, _ := exec.Command("ip", "netns", "pids", h.ns).Output()
	for pid := range strings.FieldsSeq(string(pids)) {
		line, err := os.ReadFile("/proc/" + pid + "/cmdline")
		if err == nil && strings.Contains(string(line), text) {
			found = append(found, strings.ReplaceAll(strings.TrimRight(string(line), "\x00"), "\x00", " "))
		}
	}
	return found
}
