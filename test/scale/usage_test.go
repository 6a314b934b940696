package scale

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// usage is what processes have taken of their machine.
type usage struct {
	memory float64 // resident, in bytes
	worked float64 // processor time so far, in seconds
	files  int     // descriptors that are open
}

// since is what was taken in between; memory may have shrunk.
func (u usage) since(before usage) usage {
	return usage{u.memory - before.memory, u.worked - before.worked, u.files - before.files}
}

// usageOf reads what a process has taken.
func usageOf(t testing.TB, pid int) (u usage) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if kb, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, _ := strconv.ParseFloat(strings.Fields(kb)[0], 64)
			u.memory = n * 1024
		}
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	for _, ticks := range strings.Fields(rest)[11:13] { // user and system time
		n, _ := strconv.ParseFloat(ticks, 64)
		u.worked += n / 100 // USER_HZ is the same on all of Linux
	}
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	u.files = len(files)
	return u
}
