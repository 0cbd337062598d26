package goplugin

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"syscall"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestMain(m *testing.M) {
	path, err := pluginPath()
	if err == nil {
		err = syscall.Access(path, 1)
	}
	if os.Getenv(pluginVariable) == "" || err != nil {
		os.Stderr.WriteString(pluginVariable + " must name the driver's executable\n")
		os.Exit(2)
	}
	if os.Getenv(firstHostVariable) != "" {
		beFirstHost(path)
	}
	os.Exit(m.Run())
}

func launched(t *testing.T) *host {
	t.Helper()
	path, err := pluginPath()
	if err != nil {
		t.Fatal(err)
	}
	h := launch(path)
	t.Cleanup(h.client.Kill)
	return h
}

// An agent launches the plugin, asks what it is, and ends it.
func TestLife(t *testing.T) {
	h := launched(t)
	c := h.connect(t)

	if got := h.client.Protocol(); got != plugin.ProtocolGRPC {
		t.Errorf("the protocol is %q, not %q", got, plugin.ProtocolGRPC)
	}
	if got := h.client.NegotiatedVersion(); got != 2 {
		t.Errorf("the protocol version is %d, not 2", got)
	}
	address := h.client.ReattachConfig().Addr
	if address.Network() != "unix" || !filepath.IsAbs(address.String()) {
		t.Errorf("the address is %s %s, not an absolute path of a unix socket", address.Network(), address)
	}
	info, err := os.Stat(address.String())
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode()&os.ModeSocket == 0 {
		t.Errorf("%s is no socket but %v", address, info.Mode())
	}
	if info.Mode().Perm()&0o022 != 0 {
		t.Errorf("every user can command the driver, which is root: %s has mode %v", address, info.Mode())
	}
	checkPluginInfo(t, c)

	h.end(t)
	if _, err := os.Stat(address.String()); !os.IsNotExist(err) {
		t.Errorf("the ended plugin has left its socket %s behind", address)
	}
}

func checkPluginInfo(t *testing.T, c *connection) {
	t.Helper()
	reply, err := c.call(basePlugin+"PluginInfo", nil)
	if err != nil {
		t.Fatalf("PluginInfo: %v", err)
	}
	info, err := decode(reply)
	if err != nil {
		t.Fatalf("PluginInfo answered %q: %v", reply, err)
	}
	if info.numbers[1] != 2 {
		t.Errorf("the plugin's type is %d, not DRIVER (2)", info.numbers[1])
	}
	if got := info.strings[2]; !reflect.DeepEqual(got, []string{"0.1.0"}) {
		t.Errorf("the plugin's API versions are %q, not 0.1.0", got)
	}
	if got := info.strings[4]; !reflect.DeepEqual(got, []string{"exec2"}) {
		t.Errorf("the plugin's name is %q, not exec2", got)
	}
	semantic := regexp.MustCompile(`^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$`)
	if got := info.strings[3]; len(got) != 1 || !semantic.MatchString(got[0]) {
		t.Errorf("the plugin's version is %q, which is no semantic version", got)
	}
}

// A starting agent launches the plugin twice: to ask for its schema, then for real.
func TestTwoLaunches(t *testing.T) {
	for i := 0; i < 2; i++ {
		h := launched(t)
		c := h.connect(t)
		checkPluginInfo(t, c)
		if schema, err := c.call(basePlugin+"ConfigSchema", nil); err != nil || len(schema) == 0 {
			t.Errorf("ConfigSchema answered %q, %v", schema, err)
		}
		h.end(t)
	}
}

// Two agents on one host: neither plugin is in the other's way.
func TestTwoPluginsAtOnce(t *testing.T) {
	first, second := launched(t), launched(t)
	first.connect(t)
	c := second.connect(t)
	first.end(t)
	checkPluginInfo(t, c)
	second.end(t)
}

// A newer agent calls what this plugin lacks: it must learn so from the status.
func TestUnknownMethod(t *testing.T) {
	h := launched(t)
	c := h.connect(t)
	for _, method := range []string{basePlugin + "NoSuchMethod", "/no.such.Service/Method"} {
		if _, err := c.call(method, nil); status.Code(err) != codes.Unimplemented {
			t.Errorf("%s: %v, not UNIMPLEMENTED", method, err)
		}
	}
	h.end(t)
}

// Every line of the plugin's stderr reaches the agent's log at the level that the plugin gave it.
func TestLog(t *testing.T) {
	h := launched(t)
	c := h.connect(t)
	checkPluginInfo(t, c)
	h.end(t)

	module := "agent." + filepath.Base(h.command.Path)
	want := map[entry]int{}
	for _, raw := range h.log.stderr.lines() {
		if raw == "" {
			continue
		}
		l := parseLine(t, raw)
		want[entry{module, hclog.LevelFromString(l.Level), l.Message}]++
	}
	if len(want) == 0 {
		t.Error("the plugin has logged nothing in its whole life, not even its start or its end")
	}
	if got := h.log.from(module); !reflect.DeepEqual(got, want) {
		t.Errorf("the plugin logged\n%v\nand the client read\n%v", want, got)
	}
}
