// Package host is what a projection has of its host beside the transaction. The exported component, or a test,
// sets it.
package host

// Log writes one line to the host's log, of a level of log/slog.
var Log func(level int, message string)

// Config returns one setting of the operator, and Settings all of them.
var (
	Config   = func(key string) (string, bool) { return "", false }
	Settings = func() map[string]string { return map[string]string{} }
)
