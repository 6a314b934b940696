//go:build packages

package packages

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/epic-swf/testbed/test/brokers"
)

// passwords are what compose.yaml wants from its .env.
var passwords = []string{"ARTEMIS_ADMIN_PASSWORD=" + brokers.Admin, "ARTEMIS_MCP_PASSWORD=" + brokers.MCP + "-secret",
	"POSTGRES_PASSWORD=postgres-secret", "SWF_API_TOKEN=0123456789abcdef0123456789abcdef"}

// site is what compose understands of compose.yaml.
type site struct {
	Services map[string]struct {
		Image       string
		Environment map[string]string
		Build       *struct{ Target string }
		Volumes     []struct{ Type, Source string }
		Configs     []struct{ Source, Target string }
	}
	Configs map[string]struct{ Content string }
}

// composed has compose read the file, with the passwords set.
func composed(t *testing.T) site {
	t.Helper()
	compose := tool(t, "SWF_TEST_COMPOSE", "docker-compose")
	cmd := exec.Command(compose, "-f", root+"/deploy/docker/compose.yaml", "config", "--format", "json")
	cmd.Env = append(os.Environ(), passwords...)
	var s site
	if err := json.Unmarshal([]byte(said(t, cmd)), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestCompose reads the site as compose does: it names its missing passwords,
// mounts what is in the repository, and builds images that the Dockerfile has.
func TestCompose(t *testing.T) {
	s := composed(t)
	stages := dockerfile(t)
	for name, service := range s.Services {
		for _, v := range service.Volumes {
			if _, err := os.Stat(v.Source); v.Type == "bind" && err != nil {
				t.Errorf("%s mounts what is not there: %v", name, err)
			}
		}
		for _, c := range service.Configs {
			if s.Configs[c.Source].Content == "" {
				t.Errorf("%s: the configuration %s is empty", name, c.Source)
			}
		}
		if service.Build != nil && len(stages[service.Build.Target].argv) == 0 {
			t.Errorf("%s is built from the stage %q, which starts nothing", name, service.Build.Target)
		}
	}
	bare := exec.Command(os.Getenv("SWF_TEST_COMPOSE"), "-f", root+"/deploy/docker/compose.yaml", "config")
	out, _ := bare.CombinedOutput() // whose status some builds of it lose
	if !strings.Contains(string(out), "write it into .env") {
		t.Errorf("without passwords compose says %s", out)
	}
}

// stage is one image of the Dockerfile.
type stage struct{ argv []string }

// dockerfile has the reference parser read the Dockerfile, and collects the
// command of each stage.
func dockerfile(t *testing.T) map[string]stage {
	t.Helper()
	python := tool(t, "SWF_TEST_DOCKERFILE", "parser of Dockerfiles")
	const list = `import dockerfile, json, sys; print(json.dumps([[c.cmd, *c.value] for c in dockerfile.parse_file(sys.argv[1])]))`
	var commands [][]string
	if err := json.Unmarshal([]byte(said(t, exec.Command(python, "-c", list, root+"/deploy/docker/Dockerfile"))), &commands); err != nil {
		t.Fatal(err)
	}
	stages := map[string]stage{}
	var name string
	for _, c := range commands {
		switch strings.ToUpper(c[0]) {
		case "FROM":
			name = c[len(c)-1]
		case "ENTRYPOINT", "CMD":
			stages[name] = stage{append(stages[name].argv, c[1:]...)}
		}
	}
	return stages
}

// TestContainerCommands runs the very commands of the images, with the
// environment and settings that compose gives them, beside a real Artemis. Only
// names of hosts, ports and folders are this machine's, and the database is a file.
func TestContainerCommands(t *testing.T) {
	s, stages := composed(t), dockerfile(t)
	artemis := brokers.Artemis(t)
	host, port, _ := strings.Cut(artemis.Addr(), ":")
	base := t.TempDir()
	run := func(service string, env ...string) string {
		home := filepath.Join(base, service)
		settings := filepath.Join(home, "config", "swf-testbed")
		for _, dir := range []string{settings, filepath.Join(home, "state")} {
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(settings, "server.toml"), []byte(s.Configs["server"].Content), 0o400); err != nil {
			t.Fatal(err)
		}
		argv := strings.Split(strings.Replace(strings.Join(stages[service].argv, "\n"), "0.0.0.0:847", "0.0.0.0:0\x00", 1), "\n")
		for i := range argv {
			argv[i], _, _ = strings.Cut(argv[i], "\x00")
		}
		env = append(env, "HOME="+home, "XDG_CONFIG_HOME="+home+"/config", "XDG_STATE_HOME="+home+"/state", "ACTIVEMQ_HOST="+host, "ACTIVEMQ_PORT="+port)
		for key, value := range s.Services[service].Environment {
			if !strings.HasPrefix(key, "ACTIVEMQ_HOST") && key != "ACTIVEMQ_PORT" && key != "SWF_MONITOR_DATABASE" && key != "SWF_MONITOR_URL" {
				env = append(env, key+"="+value)
			}
		}
		return serve(t, programFor(t, filepath.Base(argv[0])), argv[1:], home, env)
	}
	monitor := run("monitor")
	if status := get(t, monitor+"/healthz", "monitor:8471"); status != http.StatusOK {
		t.Errorf("the monitor answers %d to its name in the site", status)
	}
	if status := get(t, monitor+"/healthz", "evil.example"); status != http.StatusForbidden {
		t.Errorf("the monitor answers %d to any name", status)
	}
	mcp := run("mcp", "SWF_MONITOR_URL="+monitor)
	if status := get(t, mcp+"/mcp", "mcp:8472"); status != http.StatusUnauthorized {
		t.Errorf("the MCP server answers %d to who has no token", status)
	}
}

// programFor is the program of that name: the released one where there is one.
func programFor(t *testing.T, name string) string {
	t.Helper()
	if os.Getenv("SWF_TEST_DIST") != "" {
		return program(t, name).Path
	}
	path := filepath.Join(t.TempDir(), name)
	cmd := exec.Command("go", "build", "-o", path, "./cmd/"+name)
	cmd.Dir = root
	said(t, cmd)
	return path
}

var listens = regexp.MustCompile(`http://[^ /]*:(\d+)`)

// serve starts a server until the end of the test and returns its URL, which
// is the first thing that it prints.
func serve(t *testing.T, path string, args []string, dir string, env []string) string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir, cmd.Env, cmd.Stderr = dir, env, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 30 * time.Second
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); _ = cmd.Wait() })
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if m := listens.FindStringSubmatch(line); m != nil {
			go func() { _, _ = io.Copy(io.Discard, lines) }()
			return "http://127.0.0.1:" + m[1]
		}
		if err != nil {
			t.Fatalf("%s %s ended before it served: %v", path, strings.Join(args, " "), err)
		}
	}
}

// get asks a server under a name and returns the status.
func get(t *testing.T, url, name string) int {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = name
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	return answer.StatusCode
}
