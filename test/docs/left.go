package docs

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// left waits a little for what runs of a session to end, then ends it and tells
// what that was. The mark is what tells our processes from everybody else's.
func left(dir string) []string {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	late := time.After(10 * time.Second)
	for {
		pids := processes(dir)
		if len(pids) == 0 {
			return nil
		}
		select {
		case <-tick.C:
			continue
		case <-late:
		}
		var list []string
		for _, pid := range pids {
			command, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
			list = append(list, fmt.Sprintf("%d %s", pid, strings.ReplaceAll(string(command), "\x00", " ")))
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		return list
	}
}

// processes are the live ones with that mark.
func processes(dir string) []int {
	var pids []int
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err == nil && bytes.Contains(env, []byte(mark+"="+dir+"\x00")) {
			pids = append(pids, pid)
		}
	}
	return pids
}
