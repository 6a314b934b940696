package brokers

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// Where ActiveMQ Classic is once Debian has installed it, and, below the
// repository, where scripts/setup.sh puts Artemis.
const (
	classicHome = "/usr/share/activemq"
	artemisHome = ".cache/artemis/apache-artemis-2.40.0"
)

// opens lets a Java of today run what is older.
var opens = []string{
	"--add-opens=java.base/java.lang=ALL-UNNAMED", "--add-opens=java.base/java.net=ALL-UNNAMED",
	"--add-opens=java.base/java.security=ALL-UNNAMED", "--add-opens=java.base/java.util=ALL-UNNAMED",
	"--add-opens=java.base/java.util.concurrent=ALL-UNNAMED", "--add-opens=java.base/java.util.concurrent.atomic=ALL-UNNAMED",
	"--add-opens=java.base/jdk.internal.misc=ALL-UNNAMED",
}

// ErrMissing is in the error of a broker that is not installed.
var ErrMissing = errors.New("is not installed (make brokers installs it)")

// Artemis starts Apache Artemis with deploy/artemis until the end of the test.
// Each of users has its own queues, a login and Passcode of it.
func Artemis(t testing.TB, users ...string) *Server {
	t.Helper()
	return forTest(t, NewArtemis, users)
}

// Classic starts ActiveMQ Classic with deploy/activemq until the end of the
// test. Each of users has its own queues, a login and Passcode of it.
func Classic(t testing.TB, users ...string) *Server {
	t.Helper()
	return forTest(t, NewClassic, users)
}

// forTest skips the test where the broker is not installed; in CI, where
// nothing may be missing, it fails.
func forTest(t testing.TB, make func(string, ...string) (*Server, error), users []string) *Server {
	t.Helper()
	s, err := make(t.TempDir(), users...)
	if errors.Is(err, ErrMissing) && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Kill(t) })
	s.Start(t)
	return s
}

// NewArtemis prepares, in the empty folder base, an Apache Artemis with
// deploy/artemis that Run starts.
func NewArtemis(base string, users ...string) (*Server, error) {
	home := os.Getenv("SWF_TEST_ARTEMIS")
	if home == "" {
		home = filepath.Join(repository(), artemisHome)
	}
	boot := filepath.Join(home, "lib", "artemis-boot.jar")
	if _, err := os.Stat(boot); err != nil {
		return nil, fmt.Errorf("Artemis %w: %w", ErrMissing, err)
	}
	etc := filepath.Join(base, "etc")
	s, err := newServer(base, "artemis", "broker.xml", "artemis-users.properties", "artemis-roles.properties", users)
	if err != nil {
		return nil, err
	}
	s.argv = append(s.argv, "-Djava.io.tmpdir="+filepath.Join(base, "tmp"),
		"-Djava.security.auth.login.config="+filepath.Join(etc, "login.config"),
		"-Dartemis.home="+home, "-Dartemis.instance="+base, "-Dartemis.instance.etc="+etc,
		"-Dstomp.port="+s.port(), "-Ddisk.limit=100",
		"-cp", boot, "org.apache.activemq.artemis.boot.Artemis", "run")
	return s, nil
}

// NewClassic prepares, in the empty folder base, an ActiveMQ Classic with
// deploy/activemq that Run starts.
func NewClassic(base string, users ...string) (*Server, error) {
	jar := filepath.Join(classicHome, "bin", "activemq.jar")
	if _, err := os.Stat(jar); err != nil {
		return nil, fmt.Errorf("ActiveMQ Classic %w: %w", ErrMissing, err)
	}
	etc := filepath.Join(base, "etc")
	s, err := newServer(base, "activemq", "activemq.xml", "users.properties", "groups.properties", users)
	if err != nil {
		return nil, err
	}
	s.argv = append(s.argv, "-Djava.io.tmpdir="+filepath.Join(base, "tmp"),
		"-Djava.security.auth.login.config="+filepath.Join(etc, "login.config"),
		"-Dactivemq.home="+classicHome, "-Dactivemq.base="+base, "-Dactivemq.conf="+etc,
		"-Dactivemq.data="+filepath.Join(base, "data"), "-Dactivemq.classpath="+etc+":",
		"-Dstomp.port="+s.port(), "-Dmemory.limit=64mb", "-Dstore.limit=200mb",
		"-jar", jar, "start", "xbean:file:"+filepath.Join(etc, "activemq.xml"))
	return s, nil
}
