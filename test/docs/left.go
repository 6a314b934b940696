package docs

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// left ends what still runs of a session, and tells what that was. The mark is
// what tells our processes from everybody else's.
func left(dir string) []string {
	var list []string
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err != nil || !bytes.Contains(env, []byte(mark+"="+dir+"\x00")) {
			continue
		}
		command, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		list = append(list, fmt.Sprintf("%d %s", pid, strings.ReplaceAll(string(command), "\x00", " ")))
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	return list
}
