//go:build packages

package packages

import (
	"bufio"
	"crypto/sha256"
	"debug/elf"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// programs are what every package holds.
var programs = []string{"testbed", "swf-mcp", "agent-manager", "swf-agent"}

// TestBinaries checks that the programs need nothing of the system they run
// on, and that the same source gives the same bytes in another folder.
func TestBinaries(t *testing.T) {
	for _, name := range programs {
		a := program(t, name)
		f, err := elf.Open(a.Path)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range f.Progs {
			if p.Type == elf.PT_INTERP {
				t.Errorf("%s is not static", name)
			}
		}
		if f.Section(".symtab") != nil {
			t.Errorf("%s is not stripped", name)
		}
		f.Close()
	}
	first := program(t, "swf-agent")
	version := strings.TrimPrefix(strings.Fields(said(t, exec.Command(first.Path, "--version")))[2], "v")
	again := filepath.Join(t.TempDir(), "swf-agent")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -X github.com/epic-swf/testbed/swf.Version="+version, "-o", again, "./cmd/swf-agent")
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	said(t, cmd)
	if digest(t, again) != digest(t, first.Path) {
		t.Error("swf-agent built twice is not the same: has the source changed since make package?")
	}
}

func program(t *testing.T, name string) artifact {
	t.Helper()
	return only(t, func(a artifact) bool {
		return a.Type == "Binary" && a.Name == name && a.Goos == "linux" && a.Goarch == runtime.GOARCH
	})
}

// TestChecksums recomputes what checksums.txt says, and misses nothing there.
func TestChecksums(t *testing.T) {
	dist, all := built(t)
	listed := map[string]bool{}
	lines := bufio.NewScanner(strings.NewReader(read(t, filepath.Join(dist, "checksums.txt"))))
	for lines.Scan() {
		sum, name, _ := strings.Cut(lines.Text(), "  ")
		listed[name] = true
		path := filepath.Join(dist, name)
		if strings.HasSuffix(name, ".mcpb") {
			path = filepath.Join(dist, "bundles", name)
		}
		if digest(t, path) != sum {
			t.Errorf("%s has another digest than checksums.txt says", name)
		}
	}
	for _, a := range all {
		if (a.Type == "Archive" || a.Type == "Linux Package" || a.Type == "SBOM") && !listed[a.Name] {
			t.Errorf("checksums.txt lacks %s", a.Name)
		}
	}
}

// TestSBOM looks for what go.mod requires in each program's bill of materials.
func TestSBOM(t *testing.T) {
	_, all := built(t)
	bills := 0
	for _, a := range all {
		if a.Type != "SBOM" {
			continue
		}
		bills++
		var bill struct {
			BOMFormat  string `json:"bomFormat"`
			Components []struct{ Name, Version string }
		}
		if err := json.Unmarshal([]byte(read(t, a.Path)), &bill); err != nil {
			t.Fatal(err)
		}
		found := false
		for _, c := range bill.Components {
			found = found || c.Name == "github.com/go-stomp/stomp/v3" && c.Version == "v3.1.5"
		}
		if bill.BOMFormat != "CycloneDX" || !found {
			t.Errorf("%s does not name the STOMP client among %d components", a.Name, len(bill.Components))
		}
	}
	if bills < len(programs) {
		t.Errorf("%d bills of materials for %d programs", bills, len(programs))
	}
}

// TestPackageContents looks for each kind of file in the deb and the archive.
func TestPackageContents(t *testing.T) {
	deb := only(t, func(a artifact) bool { return a.Extra.Format == "deb" && a.Goarch == runtime.GOARCH })
	only(t, func(a artifact) bool { return a.Extra.Format == "rpm" && a.Goarch == runtime.GOARCH })
	archive := only(t, func(a artifact) bool { return a.Type == "Archive" && a.Goos == "linux" && a.Goarch == runtime.GOARCH })
	inArchive := said(t, exec.Command("tar", "-tzf", archive.Path))
	for _, name := range []string{"testbed", "swf-agent", "LICENSE", "docs/protocol.md", "deploy/artemis/broker.xml", "man/man1/testbed-up.1.gz", "completions/testbed.zsh"} {
		if !strings.Contains(inArchive, "/"+name+"\n") {
			t.Errorf("the archive lacks %s", name)
		}
	}
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		t.Skip("there is no dpkg-deb on this machine to look into the deb")
	}
	inDeb := said(t, exec.Command("dpkg-deb", "-c", deb.Path))
	for _, want := range []string{
		"-rwxr-xr-x root/root %s ./usr/bin/testbed", "drwx------ root/root %s ./etc/swf-testbed/", "-rw------- root/root %s ./etc/swf-testbed/mcp.env",
		"-rw-r--r-- root/root %s ./usr/lib/systemd/user/testbed-agent-manager.service", "-rw-r--r-- root/root %s ./usr/lib/systemd/system/testbed-monitor.service",
		"-rw-r--r-- root/root %s ./usr/share/man/man1/testbed-workflow-start.1.gz", "-rw-r--r-- root/root %s ./usr/share/doc/swf-testbed/copyright",
	} {
		mode, path, _ := strings.Cut(want, " %s ")
		if !hasLine(inDeb, mode, path) {
			t.Errorf("the deb lacks %s %s:\n%s", mode, path, inDeb)
		}
	}
}

func hasLine(list, begin, end string) bool {
	for line := range strings.Lines(list) {
		if line = strings.TrimSuffix(line, "\n"); strings.HasPrefix(line, begin) && strings.HasSuffix(line, " "+end) {
			return true
		}
	}
	return false
}

func digest(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}
