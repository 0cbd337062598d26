// The limits of this process's cgroup, found as Go's runtime does from 1.25 on: the mount point that mountinfo names last for
// cgroup v2, and beneath it the path of /proc/self/cgroup, whatever part of the hierarchy is mounted there.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

func main() {
	directory := filepath.Join(mountPoint(), ownPath())
	for _, name := range []string{"cgroup.procs", "memory.max", "cpu.max"} {
		content, err := os.ReadFile(filepath.Join(directory, name))
		if err != nil {
			fmt.Println(name, err)
			continue
		}
		fmt.Println(name, strings.Join(strings.Fields(string(content)), " "))
	}
	fmt.Println("GOMAXPROCS", runtime.GOMAXPROCS(0))
}

func lines(path string) []string {
	content, err := os.ReadFile(path)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return strings.Split(string(content), "\n")
}

func mountPoint() string {
	last := ""
	for _, line := range lines("/proc/self/mountinfo") {
		before, after, _ := strings.Cut(line, " - ")
		if strings.HasPrefix(after, "cgroup2 ") {
			last = strings.Fields(before)[4]
		}
	}
	if last == "" {
		fmt.Fprintln(os.Stderr, "no cgroup v2 mount")
		os.Exit(1)
	}
	return last
}

func ownPath() string {
	for _, line := range lines("/proc/self/cgroup") {
		if strings.HasPrefix(line, "0::") {
			return strings.TrimPrefix(line, "0::")
		}
	}
	fmt.Fprintln(os.Stderr, "in no cgroup of version 2")
	os.Exit(1)
	return ""
}
