// Package goplugin launches the driver with HashiCorp's own go-plugin client, as a Nomad agent does.
//
// It runs on Debian's golang-github-hashicorp-go-plugin-dev, outside any Go module:
//
//	GO111MODULE=off GOPATH=/usr/share/gocode EXEC2_PLUGIN=…/nomad-driver-exec2 go test -count=1 -v
package goplugin

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
)

// The variable with the driver's executable; there is no default, so that no outdated one is tested.
const pluginVariable = "EXEC2_PLUGIN"

// Nomad's handshake.
var handshake = plugin.HandshakeConfig{
	ProtocolVersion:  2,
	MagicCookieKey:   "NOMAD_PLUGIN_MAGIC_COOKIE",
	MagicCookieValue: "e4327c2e01eabfd75a8a67adb114fb34a757d57eee7728d857a8cec6e91a7255",
}

// go-plugin waits this long for a plugin to end by itself before it kills it.
const grace = 2 * time.Second

// A host is one go-plugin client and its log.
type host struct {
	client  *plugin.Client
	command *exec.Cmd // nil where the plugin was reattached to
	log     *recorder
}

// pluginPath is the driver's executable, made absolute.
func pluginPath() (string, error) {
	return filepath.Abs(os.Getenv(pluginVariable))
}

// launch makes a host that will start the plugin as its child.
func launch(path string) *host {
	log := newRecorder()
	command := exec.Command(path)
	client := plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig:  handshake,
		Plugins:          plugins,
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		Cmd:              command,
		StartTimeout:     time.Minute,
		Logger:           log.logger,
		Stderr:           &log.stderr,
	})
	return &host{client: client, command: command, log: log}
}

// reattach makes a host that will connect to a plugin which another host has started.
func reattach(to *plugin.ReattachConfig) *host {
	log := newRecorder()
	client := plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig:  handshake,
		Plugins:          plugins,
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		Reattach:         to,
		Logger:           log.logger,
	})
	return &host{client: client, log: log}
}

// connect starts or finds the plugin, pings it and returns its gRPC connection.
func (h *host) connect(t *testing.T) *connection {
	t.Helper()
	protocol, err := h.client.Client()
	if err != nil {
		t.Fatalf("the client cannot connect to the plugin: %v\n%s", err, h.log)
	}
	if err := protocol.Ping(); err != nil {
		t.Fatalf("the plugin does not answer the health check: %v\n%s", err, h.log)
	}
	raw, err := protocol.Dispense("base")
	if err != nil {
		t.Fatal(err)
	}
	return raw.(*connection)
}

// end stops the plugin as an agent does and checks that Shutdown was enough.
func (h *host) end(t *testing.T) {
	t.Helper()
	began := time.Now()
	h.client.Kill()
	if took := time.Since(began); took >= grace {
		t.Errorf("the plugin took %v to end after Shutdown; it is killed after %v", took, grace)
	}
	if !h.client.Exited() {
		t.Error("the client does not notice the plugin's end")
	}
	if h.log.has(hclog.Warn, "plugin failed to exit gracefully") {
		t.Errorf("the client had to kill the plugin\n%s", h.log)
	}
	if h.command != nil && h.command.ProcessState.ExitCode() != 0 {
		t.Errorf("the plugin ended with %v, not with exit status 0\n%s", h.command.ProcessState, h.log)
	}
}
