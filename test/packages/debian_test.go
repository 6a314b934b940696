//go:build packages

package packages

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// demonstrates is what a newcomer does on a fresh Debian, and the operator who
// removes the package again. It runs in namespaces of its own: no network but
// loopback, and no process outlives it.
const demonstrates = `set -eu
list() { find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /tmp -o -path /run -o -path /var/lib/dpkg -o -path /var/lib/apt -o -path /var/cache \
	-o -path /var/log -o -name '__pycache__' \) -prune -o -print | sort; dpkg-query -W -f '${Package}\n'; getent passwd; getent group; }
export DEBIAN_FRONTEND=noninteractive
useradd --create-home ann
list >/tmp/before
apt-get install -y -q --no-install-recommends /package.deb

echo "== what is there"
testbed --version
for page in testbed testbed-up swf-mcp-serve agent-manager; do test -s /usr/share/man/man1/$page.1.gz; done
for program in testbed swf-mcp agent-manager swf-agent; do test -s /usr/share/bash-completion/completions/$program; done
test "$(stat -c '%U %a' /etc/swf-testbed /etc/swf-testbed/mcp.env | tr '\n' ' ')" = "swf-testbed 700 swf-testbed 600 "

echo "== demo"
su ann -c 'cd && testbed demo'
test -z "$(ps -u ann -o pid= 2>/dev/null || pgrep -u ann 2>/dev/null || :)"

echo "== an upgrade keeps settings"
echo 'LISTEN=127.0.0.1:9999' >>/etc/swf-testbed/mcp.env
dpkg -i /package.deb
grep -q 9999 /etc/swf-testbed/mcp.env

echo "== removal"
apt-get purge -y -q swf-testbed
apt-get autoremove -y -q --purge
list >/tmp/after
diff /tmp/before /tmp/after
echo "== clean"
`

// TestDebian installs the deb on a Debian that has nothing but what is
// essential, lets a user run the demonstration, and purges it: nothing is left.
func TestDebian(t *testing.T) {
	clean := tool(t, "SWF_TEST_DEBIAN", "clean Debian (needs root and debootstrap)")
	deb := only(t, func(a artifact) bool { return a.Extra.Format == "deb" && a.Goarch == runtime.GOARCH })
	if os.Geteuid() != 0 {
		lacking(t, "root, who may change the root folder", "run as root")
	}
	host := t.TempDir()
	said(t, exec.Command("cp", "-a", clean+"/.", host))
	said(t, exec.Command("cp", deb.Path, filepath.Join(host, "package.deb")))
	if err := os.WriteFile(filepath.Join(host, "demonstrates"), []byte(demonstrates), 0o755); err != nil {
		t.Fatal(err)
	}
	in := exec.Command("unshare", "--mount", "--pid", "--net", "--fork", "--kill-child", "sh", "-ec",
		`ip link set lo up; mount -t proc proc "$0/proc"; mount --rbind /dev "$0/dev"; mount --make-rslave "$0/dev"; exec chroot "$0" /bin/sh /demonstrates`, host)
	in.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"}
	out := said(t, in)
	t.Log(out)
	for _, want := range []string{"== demo", "== removal", "== clean"} {
		if !slices.Contains(strings.Split(out, "\n"), want) {
			t.Errorf("it did not come to %q", want)
		}
	}
}
