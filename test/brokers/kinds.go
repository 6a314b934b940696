package brokers

import (
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

// Artemis starts Apache Artemis with deploy/artemis until the end of the test.
// Each of users has its own queues, a login and Passcode of it.
func Artemis(t testing.TB, users ...string) *Server {
	t.Helper()
	home := os.Getenv("SWF_TEST_ARTEMIS")
	if home == "" {
		home = filepath.Join(repository(), artemisHome)
	}
	boot := filepath.Join(home, "lib", "artemis-boot.jar")
	if _, err := os.Stat(boot); err != nil {
		missing(t, "no Artemis (make brokers installs it): %v", err)
	}
	s := newServer(t, "artemis", "broker.xml", "artemis-users.properties", "artemis-roles.properties", users)
	etc := filepath.Join(s.base, "etc")
	argv := append(append([]string{}, small...), opens...)
	return s.run(t, append(argv, "-Djava.io.tmpdir="+filepath.Join(s.base, "tmp"),
		"-Djava.security.auth.login.config="+filepath.Join(etc, "login.config"),
		"-Dartemis.home="+home, "-Dartemis.instance="+s.base, "-Dartemis.instance.etc="+etc,
		"-Dstomp.port="+s.port(), "-Ddisk.limit=100",
		"-cp", boot, "org.apache.activemq.artemis.boot.Artemis", "run")...)
}

// Classic starts ActiveMQ Classic with deploy/activemq until the end of the
// test. Each of users has its own queues, a login and Passcode of it.
func Classic(t testing.TB, users ...string) *Server {
	t.Helper()
	jar := filepath.Join(classicHome, "bin", "activemq.jar")
	if _, err := os.Stat(jar); err != nil {
		missing(t, "no ActiveMQ Classic (make brokers installs it): %v", err)
	}
	s := newServer(t, "activemq", "activemq.xml", "users.properties", "groups.properties", users)
	etc := filepath.Join(s.base, "etc")
	argv := append(append([]string{}, small...), opens...)
	return s.run(t, append(argv, "-Djava.io.tmpdir="+filepath.Join(s.base, "tmp"),
		"-Djava.security.auth.login.config="+filepath.Join(etc, "login.config"),
		"-Dactivemq.home="+classicHome, "-Dactivemq.base="+s.base, "-Dactivemq.conf="+etc,
		"-Dactivemq.data="+filepath.Join(s.base, "data"), "-Dactivemq.classpath="+etc+":",
		"-Dstomp.port="+s.port(), "-Dmemory.limit=64mb", "-Dstore.limit=200mb",
		"-jar", jar, "start", "xbean:file:"+filepath.Join(etc, "activemq.xml"))...)
}
