// Command bundle makes what MCP clients and their registry install from:
//
//	bundle pack BINARY OS ARCH VERSION FOLDER   an MCP bundle (.mcpb) of the server
//	bundle server VERSION FOLDER                server.json for the registry, of the bundles there, to standard output
//
// Both start from the files in deploy/mcp. The same inputs give the same bytes.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	switch {
	case len(args) == 6 && args[0] == "pack":
		return pack("deploy/mcp/manifest.json", target{binary: args[1], os: args[2], arch: args[3], version: args[4]}, args[5])
	case len(args) == 3 && args[0] == "server":
		return server("deploy/mcp/server.json", args[1], args[2], out)
	}
	return errors.New("usage: bundle pack BINARY OS ARCH VERSION FOLDER, or bundle server VERSION FOLDER")
}
