package goplugin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
)

// Debian's hclog has no names for its levels.
var levels = map[hclog.Level]string{
	hclog.Trace: "TRACE", hclog.Debug: "DEBUG", hclog.Info: "INFO", hclog.Warn: "WARN", hclog.Error: "ERROR",
}

// An entry is one line that reached the agent's log.
type entry struct {
	module  string
	level   hclog.Level
	message string
}

// A recorder is in the place of the agent's log: it keeps the client's own lines, the lines that the client reads from the
// plugin's stderr and logs again, and the raw bytes of that stderr.
type recorder struct {
	logger hclog.InterceptLogger
	stderr buffer

	mutex   sync.Mutex
	entries []entry
}

func newRecorder() *recorder {
	r := &recorder{}
	r.logger = hclog.NewInterceptLogger(&hclog.LoggerOptions{
		Name: "agent", Level: hclog.Trace, Output: io.Discard,
	})
	r.logger.RegisterSink(r)
	return r
}

// Accept takes one line of the client's logger.
func (r *recorder) Accept(name string, level hclog.Level, message string, _ ...interface{}) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.entries = append(r.entries, entry{name, level, message})
}

func (r *recorder) has(level hclog.Level, message string) bool {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	for _, e := range r.entries {
		if e.level == level && e.message == message {
			return true
		}
	}
	return false
}

// from counts the lines that were logged in the name of a module.
func (r *recorder) from(module string) map[entry]int {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	count := map[entry]int{}
	for _, e := range r.entries {
		if e.module == module {
			count[e]++
		}
	}
	return count
}

// String is the whole log, for the message of a failure.
func (r *recorder) String() string {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	var text strings.Builder
	for _, e := range r.entries {
		fmt.Fprintf(&text, "    [%s] %s: %s\n", levels[e.level], e.module, e.message)
	}
	return text.String()
}

// A line is one line of the plugin's stderr in the protocol's format.
type line struct {
	Level     string `json:"@level"`
	Message   string `json:"@message"`
	Module    string `json:"@module"`
	Timestamp string `json:"@timestamp"`
}

// parseLine parses one line of the plugin's stderr strictly: the client itself accepts anything and logs invalid lines as
// debug, so that a plugin's errors could be missed.
func parseLine(t *testing.T, raw string) line {
	t.Helper()
	var l line
	if err := json.Unmarshal([]byte(raw), &l); err != nil {
		t.Fatalf("stderr has a line that is not a JSON object of strings: %q: %v", raw, err)
	}
	if l.Message == "" || l.Module == "" {
		t.Errorf("stderr has a line without @message or @module: %q", raw)
	}
	switch l.Level {
	case "trace", "debug", "info", "warn", "error":
	default:
		t.Errorf("stderr has a line of the unknown level %q: %q", l.Level, raw)
	}
	if _, err := time.Parse("2006-01-02T15:04:05.000000Z07:00", l.Timestamp); err != nil {
		t.Errorf("stderr has a line without a timestamp in microseconds: %q: %v", raw, err)
	}
	return l
}

// A buffer that one goroutine writes and another reads.
type buffer struct {
	mutex sync.Mutex
	bytes bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.bytes.Write(p)
}

func (b *buffer) lines() []string {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return strings.Split(strings.TrimSuffix(b.bytes.String(), "\n"), "\n")
}
