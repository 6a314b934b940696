package cli

import (
	"fmt"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/epic-swf/testbed/swf"
)

// assistant is a program that an assistant lives in: where it looks for MCP
// servers, and below which key.
type assistant struct {
	name    string
	servers string // the object in the file that holds the servers
	typed   bool   // an entry says that it is one over stdio

	project string // below the project's folder; "": it has none
	user    func(place homes) string
}

// homes are the folders in which programs keep what is a user's, by operating
// system.
type homes struct {
	goos    string
	home    string // HOME
	config  string // XDG_CONFIG_HOME or ~/.config
	appData string // APPDATA, on Windows
}

// application is where desktop programs keep their settings.
func (h homes) application(name string) string {
	switch h.goos {
	case "darwin":
		return filepath.Join(h.home, "Library", "Application Support", name)
	case "windows":
		return filepath.Join(h.appData, name)
	}
	return filepath.Join(h.config, name)
}

// clients are those whose files we know.
func clients() []assistant {
	return []assistant{
		{name: "claude-code", servers: "mcpServers", project: ".mcp.json",
			user: func(h homes) string { return filepath.Join(h.home, ".claude.json") }},
		{name: "claude-desktop", servers: "mcpServers",
			user: func(h homes) string {
				return filepath.Join(h.application("Claude"), "claude_desktop_config.json")
			}},
		{name: "vscode", servers: "servers", typed: true, project: filepath.Join(".vscode", "mcp.json"),
			user: func(h homes) string { return filepath.Join(h.application("Code"), "User", "mcp.json") }},
		{name: "cursor", servers: "mcpServers", project: filepath.Join(".cursor", "mcp.json"),
			user: func(h homes) string { return filepath.Join(h.home, ".cursor", "mcp.json") }},
	}
}

func clientNames() []string {
	var names []string
	for _, c := range clients() {
		names = append(names, c.name)
	}
	return names
}

func clientNamed(name string) (assistant, error) {
	for _, c := range clients() {
		if c.name == name {
			return c, nil
		}
	}
	if name == "" {
		return assistant{}, usageError{swf.E(swf.CodeInvalidArgument, "say which client: --client is missing", "--client is one of "+strings.Join(clientNames(), ", "))}
	}
	return assistant{}, usageError{swf.E(swf.CodeInvalidArgument, fmt.Sprintf("there is no client %q here", name), didYouMean(name, clientNames(), "--client is one of"))}
}

// file is where the client looks for servers, in that scope.
func (c assistant) file(scope, project string, h homes) (string, error) {
	switch {
	case scope == "project" && c.project == "":
		return "", usageError{swf.E(swf.CodeInvalidArgument, c.name+" has no configuration of a project", "leave --scope out, or say --scope user")}
	case scope == "project" || scope == "" && c.project != "":
		return filepath.Join(project, c.project), nil
	case scope == "user" || scope == "":
		return c.user(h), nil
	}
	return "", usageError{swf.E(swf.CodeInvalidArgument, fmt.Sprintf("there is no scope %q", scope), "--scope is project or user")}
}

// homes are those of this process.
func (a *app) homes() homes {
	return homes{goos: runtime.GOOS, home: a.getenv("HOME"), config: a.configHome(), appData: a.getenv("APPDATA")}
}

// entry is what the client starts: our server over stdio, which finds the
// testbed by its folder.
type entry struct {
	Type    string   `json:"type,omitempty"`
	Command string   `json:"command"`
	Args    []string `json:"args"`
}

func (c assistant) entry(server, dir string) entry {
	e := entry{Command: server, Args: []string{"stdio", "--dir", dir}}
	if c.typed {
		e.Type = "stdio"
	}
	return e
}
