package eventfabric

import (
	"context"
	"log/slog"
	"strings"

	"eventfabric.dev/eventfabric/internal/host"
)

// LevelTrace is the host's level below [slog.LevelDebug]. What a projection writes with log/slog, or log, goes to the
// host's log.
const LevelTrace slog.Level = -8

// Config returns a setting that the operator gave the plugin. Settings are the same for the whole of a batch.
func Config(key string) (string, bool) { return host.Config(key) }

// Settings returns all settings.
func Settings() map[string]string { return host.Settings() }

// logHandler writes the lines of log/slog to the host's log, which knows time and plugin.
type logHandler struct {
	attributes string // written already
	groups     string
}

func (logHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h logHandler) Handle(_ context.Context, record slog.Record) error {
	var line strings.Builder
	line.WriteString(record.Message)
	line.WriteString(h.attributes)
	record.Attrs(func(attribute slog.Attr) bool {
		writeAttribute(&line, h.groups, attribute)
		return true
	})
	host.Log(int(record.Level), line.String())
	return nil
}

func (h logHandler) WithAttrs(attributes []slog.Attr) slog.Handler {
	var line strings.Builder
	line.WriteString(h.attributes)
	for _, attribute := range attributes {
		writeAttribute(&line, h.groups, attribute)
	}
	h.attributes = line.String()
	return h
}

func (h logHandler) WithGroup(name string) slog.Handler {
	h.groups += name + "."
	return h
}

func writeAttribute(line *strings.Builder, groups string, attribute slog.Attr) {
	value := attribute.Value.Resolve()
	if value.Kind() == slog.KindGroup {
		for _, inner := range value.Group() {
			writeAttribute(line, groups+attribute.Key+".", inner)
		}
		return
	}
	line.WriteString(" " + groups + attribute.Key + "=" + value.String())
}
