package hosts

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/epic-swf/testbed/supervisor"
)

// The accounts that programs run as. None needs an entry in the machine's list
// of users: the name is then that of USER.
const (
	uidServices = 61000 + iota
	uidAnn
	uidBob
)

const (
	brokerPort, monitorPort, mcpPort = "61612", "8443", "8444"
	login, passcode                  = "testbed", "passcode-of-the-broker"
	monitorToken                     = "token-of-the-monitor-0123456789abcdef"
)

// site is a deployment over hosts.
type site struct {
	t        *testing.T
	dir, bin string
	net      *network
	services *host // broker and monitor
	mcp      *host
	client   *host
	pool     *x509.CertPool
	sup      string
}

// account is a user on one host, with a folder of their own there.
type account struct {
	s    *site
	user string
	uid  uint32
	host *host
	home string
	env  []string
}

func newSite(t *testing.T) *site {
	t.Helper()
	sup, err := supervisor.FindBinary("", os.Getenv)
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("needs supervisord: ", err)
	}
	s := &site{t: t, sup: sup, net: newNetwork(t)}
	if s.dir, err = os.MkdirTemp("/tmp", "hosts"); err != nil { // short: it holds sockets
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("what they said is in ", s.dir)
			return
		}
		os.RemoveAll(s.dir)
	})
	if err := os.Chmod(s.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s.bin = filepath.Join(s.dir, "bin")
	s.build()
	s.services, s.mcp, s.client = s.net.host("services"), s.net.host("mcp"), s.net.host("client")
	s.certify(s.services.ip, s.mcp.ip)
	return s
}

func (s *site) build() {
	s.t.Helper()
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", s.bin+"/", "./cmd/testbed", "./cmd/swf-mcp", "./cmd/agent-manager", "./cmd/swf-agent")
	cmd.Dir = filepath.Join("..", "..")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // a user is then who the environment says, where the machine does not know them
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("build: %v\n%s", err, out)
	}
}

// certify makes an authority and one certificate for the servers' addresses.
func (s *site) certify(addresses ...string) {
	s.t.Helper()
	check := func(err error) {
		if err != nil {
			s.t.Fatal(err)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "hosts"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	for _, a := range addresses {
		c.IPAddresses = append(c.IPAddresses, net.ParseIP(a))
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	check(err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	check(err)
	pemCert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	check(os.WriteFile(s.certFile(), pemCert, 0o644))
	check(os.WriteFile(s.keyFile(), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
	check(os.Chown(s.keyFile(), uidServices, uidServices))
	s.pool = x509.NewCertPool()
	s.pool.AppendCertsFromPEM(pemCert)
}

func (s *site) certFile() string { return filepath.Join(s.dir, "cert.pem") }
func (s *site) keyFile() string  { return filepath.Join(s.dir, "key.pem") }

// account gives a user a home on a host. All that programs are told is in its
// environment, as a shell there would have it.
func (s *site) account(user string, uid uint32, h *host) *account {
	s.t.Helper()
	a := &account{s: s, user: user, uid: uid, host: h, home: filepath.Join(s.dir, h.name+"-"+user)}
	if err := os.Mkdir(a.home, 0o700); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Chown(a.home, int(uid), int(uid)); err != nil {
		s.t.Fatal(err)
	}
	a.env = []string{
		"PATH=" + s.bin + ":" + os.Getenv("PATH"), "HOME=" + a.home, "USER=" + user, "SWF_SUPERVISORD=" + s.sup,
		"ACTIVEMQ_HOST=" + s.services.ip, "ACTIVEMQ_PORT=" + brokerPort, "ACTIVEMQ_USER=" + login, "ACTIVEMQ_PASSWORD=" + passcode,
		"ACTIVEMQ_USE_SSL=true", "ACTIVEMQ_SSL_CA_CERTS=" + s.certFile(), "SSL_CERT_FILE=" + s.certFile(),
		"SWF_MONITOR_URL=https://" + net.JoinHostPort(s.services.ip, monitorPort), "SWF_API_TOKEN=" + monitorToken,
	}
	return a
}

// testbed is the folder of the account.
func (a *account) testbed() string { return filepath.Join(a.home, "testbed") }

// write writes a file of the account's.
func (a *account) write(path, text string) {
	a.s.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		a.s.t.Fatal(err)
	}
	if err := os.Chown(path, int(a.uid), int(a.uid)); err != nil {
		a.s.t.Fatal(err)
	}
}

// do runs one of our programs to its end and returns what it printed.
func (a *account) do(stdin, program string, args ...string) string {
	a.s.t.Helper()
	p := a.run(stdin, program, args...)
	if code := p.wait(); code != 0 {
		a.s.t.Fatalf("%s on %s: %s %s: exit code %d\n%s", a.user, a.host.name, program, strings.Join(args, " "), code, p.stderr.String())
	}
	return p.stdout.String()
}

// process is a program that runs on a host.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	what   string
	stdout output
	stderr output
	ended  chan struct{}
}

// output is what a program wrote, and tells when it writes more.
type output struct {
	mu   sync.Mutex
	b    bytes.Buffer
	more chan struct{}
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case o.more <- struct{}{}:
	default:
	}
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// run starts one of our programs in the account's home.
func (a *account) run(stdin, program string, args ...string) *process {
	a.s.t.Helper()
	cmd := exec.Command(filepath.Join(a.s.bin, program), args...)
	cmd.Dir, cmd.Env, cmd.Stdin = a.home, a.env, strings.NewReader(stdin)
	return a.s.start(cmd, a.host, a.uid, fmt.Sprintf("%s of %s on %s", program, a.user, a.host.name))
}

func (s *site) start(cmd *exec.Cmd, h *host, uid uint32, what string) *process {
	s.t.Helper()
	p := &process{t: s.t, what: what, cmd: cmd, ended: make(chan struct{})}
	p.stdout.more, p.stderr.more = make(chan struct{}, 1), make(chan struct{}, 1)
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &p.stdout, &p.stderr, time.Second // what it leaves running may keep its output
	if err := h.start(cmd, uid); err != nil {
		s.t.Fatal(what, ": ", err)
	}
	go func() {
		_ = cmd.Wait()
		close(p.ended)
	}()
	s.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGKILL)
		<-p.ended
		if s.t.Failed() {
			name := fmt.Sprintf("%s.%d.log", strings.ReplaceAll(what, " ", "-"), cmd.Process.Pid)
			_ = os.WriteFile(filepath.Join(s.dir, name), []byte(p.stdout.String()+p.stderr.String()), 0o600)
		}
	})
	return p
}

// wait returns the exit code of a program that ends by itself.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.ended:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		p.t.Fatal(p.what, " does not end\n", p.stderr.String())
		return 0
	}
}

// says waits until it has written that to standard output or error.
func (p *process) says(text string) {
	p.t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for !strings.Contains(p.stdout.String()+p.stderr.String(), text) {
		select {
		case <-p.stdout.more:
		case <-p.stderr.more:
		case <-p.ended:
			p.t.Fatalf("%s ended and has not said %q:\n%s%s", p.what, text, p.stdout.String(), p.stderr.String())
		case <-limit.C:
			p.t.Fatalf("%s has not said %q:\n%s%s", p.what, text, p.stdout.String(), p.stderr.String())
		}
	}
}

// lives reports whether it has not ended.
func (p *process) lives() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}
