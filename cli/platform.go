package cli

import (
	"runtime"

	"github.com/epic-swf/testbed/swf"
)

// needLinux refuses, before anything is touched, to start, stop or hold
// processes where the kernel cannot hold one for certain (pidfds, /proc).
// What only asks or tells runs anywhere.
func needLinux(command string) error {
	if runtime.GOOS == "linux" {
		return nil
	}
	return swf.E(swf.CodeUnsupported, command+" needs Linux; this is "+runtime.GOOS,
		"run it on the host of your testbed; from here, control the manager on that host by swf-mcp")
}
