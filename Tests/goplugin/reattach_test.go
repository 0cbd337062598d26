package goplugin

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-plugin"
)

// Set for the copy of the test program that is the first agent.
const firstHostVariable = "EXEC2_FIRST_HOST"

// What an agent stores about a running plugin.
type reattachment struct {
	Pid     int
	Address string
}

// beFirstHost launches the plugin, prints its address, and waits to be killed.
func beFirstHost(path string) {
	h := launch(path)
	if _, err := h.client.Client(); err != nil {
		fmt.Fprintf(os.Stderr, "the first host cannot connect: %v\n%s", err, h.log)
		os.Exit(1)
	}
	to := h.client.ReattachConfig()
	if err := json.NewEncoder(os.Stdout).Encode(reattachment{to.Pid, to.Addr.String()}); err != nil {
		os.Exit(1)
	}
	select {}
}

// An agent is killed and the next one finds its plugin by pid and address, more than once.
func TestReattach(t *testing.T) {
	adoptOrphans(t)
	to := orphan(t)
	status := reap(to.Pid)

	// An agent that only connects does not change the plugin.
	second := reattach(config(to))
	checkPluginInfo(t, second.connect(t))
	third := reattach(config(to))
	checkPluginInfo(t, third.connect(t))

	third.end(t)
	select {
	case got, known := <-status:
		if !known || !got.Exited() || got.ExitStatus() != 0 {
			t.Errorf("the plugin ended with wait status %#x (known: %v), not with exit status 0", uint32(got), known)
		}
	case <-time.After(grace):
		t.Error("the plugin has not ended")
	}
}

// A second plugin starts while one of a killed agent still runs.
func TestLaunchBesideOrphan(t *testing.T) {
	adoptOrphans(t)
	to := orphan(t)
	status := reap(to.Pid)

	h := launched(t)
	checkPluginInfo(t, h.connect(t))
	h.end(t)

	old := reattach(config(to))
	checkPluginInfo(t, old.connect(t))
	old.end(t)
	if got, known := <-status; !known || got != 0 {
		t.Errorf("the older plugin ended with wait status %#x (known: %v)", uint32(got), known)
	}
}

func config(to reattachment) *plugin.ReattachConfig {
	return &plugin.ReattachConfig{
		Protocol: plugin.ProtocolGRPC,
		Addr:     &net.UnixAddr{Name: to.Address, Net: "unix"},
		Pid:      to.Pid,
	}
}

// orphan is a plugin whose agent has been killed with SIGKILL.
func orphan(t *testing.T) reattachment {
	t.Helper()
	first := exec.Command(os.Args[0])
	first.Env = append(os.Environ(), firstHostVariable+"=1")
	first.Stderr = os.Stderr
	output, err := first.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	var to reattachment
	decodeErr := json.NewDecoder(output).Decode(&to)
	killErr := first.Process.Kill()
	_ = first.Wait()
	if decodeErr != nil || killErr != nil {
		t.Fatalf("the first host has not launched the plugin: %v, %v", decodeErr, killErr)
	}
	t.Cleanup(func() {
		// If the test failed midway; a reaped pid does not exist any more.
		if connection, err := net.Dial("unix", to.Address); err == nil {
			connection.Close()
			_ = syscall.Kill(to.Pid, syscall.SIGKILL)
		}
	})
	return to
}

// adoptOrphans makes this process the parent of a plugin whose agent is gone, as init is on a host:
// go-plugin sees a plugin that nobody reaps as still running, and its exit status becomes known.
func adoptOrphans(t *testing.T) {
	t.Helper()
	const setChildSubreaper = 36 // PR_SET_CHILD_SUBREAPER, prctl(2)
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, setChildSubreaper, 1, 0); errno != 0 {
		t.Fatalf("prctl(PR_SET_CHILD_SUBREAPER): %v", errno)
	}
}

// reap waits for the end of an adopted process; the channel is closed empty where it was not adopted.
func reap(pid int) <-chan syscall.WaitStatus {
	ended := make(chan syscall.WaitStatus, 1)
	go func() {
		var status syscall.WaitStatus
		for {
			_, err := syscall.Wait4(pid, &status, 0, nil)
			if err == nil {
				ended <- status
				return
			}
			if err != syscall.EINTR {
				close(ended)
				return
			}
		}
	}()
	return ended
}
