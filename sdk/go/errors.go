package eventfabric

import (
	"errors"
	"fmt"
	"strings"
)

// FailureKind says what the host shall do about a failure.
type FailureKind uint8

const (
	// KindRetry: the same event can succeed later; the host tries it again, with a growing delay.
	KindRetry FailureKind = iota
	// KindPoison: this event can never succeed; the host sets it aside, and goes on with the others.
	KindPoison
	// KindFatal: the plugin itself is wrong, for every event; the host stops the projection.
	KindFatal
)

func (k FailureKind) String() string {
	return [...]string{"retry", "poison", "fatal"}[k]
}

// NoEvent is the [Failure.Event] of a failure that blames no event.
const NoEvent = -1

// Failure is an error with what the host shall do about it and, where it is known, the event to blame.
// It wraps the error it is about.
type Failure struct {
	Kind FailureKind
	// Event is the index in the batch of the event to blame, or NoEvent.
	Event int
	Err   error
}

func (f *Failure) Error() string { return f.Err.Error() }

func (f *Failure) Unwrap() error { return f.Err }

// Retry marks an error as one that passes: the host tries the event again, with a growing delay.
func Retry(err error) error { return mark(KindRetry, err) }

// Poison marks an error as the event's own: the host sets the event aside, and goes on with the others. An
// error without a mark counts as poison, too, unless it is an [SQLError], an [AppendError] or a [SendError].
func Poison(err error) error { return mark(KindPoison, err) }

// Fatal marks an error as the plugin's own: the host stops the projection.
func Fatal(err error) error { return mark(KindFatal, err) }

// Retryf is [Retry] of [fmt.Errorf].
func Retryf(format string, args ...any) error { return Retry(fmt.Errorf(format, args...)) }

// Poisonf is [Poison] of [fmt.Errorf].
func Poisonf(format string, args ...any) error { return Poison(fmt.Errorf(format, args...)) }

// Fatalf is [Fatal] of [fmt.Errorf].
func Fatalf(format string, args ...any) error { return Fatal(fmt.Errorf(format, args...)) }

func mark(kind FailureKind, err error) error {
	if err == nil {
		return nil
	}
	return &Failure{Kind: kind, Event: failureOf(err).Event, Err: err}
}

// ErrNoRows is what [Row.Scan] and [Get] return where there is no row. To the host it is fatal: where a row may be
// missing, look for it with [errors.Is].
var ErrNoRows = errors.New("no row where one is expected")

// SQLErrorKind is what kind of error a statement had.
type SQLErrorKind uint8

const (
	// SQLRetryable is a serialization failure, a deadlock, a time-out: a retry.
	SQLRetryable SQLErrorKind = iota
	// SQLConstraint is a constraint or the data (SQLSTATE classes 22 and 23): poison.
	SQLConstraint
	// SQLDenied is a statement that the sandbox or PostgreSQL's rights do not allow: fatal.
	SQLDenied
	// SQLInvalid is a wrong statement, or a parameter that does not fit it: fatal.
	SQLInvalid
	// SQLLimit is a limit of the sandbox that was reached: fatal.
	SQLLimit
	// SQLAborted is a statement after another one that failed: fatal.
	SQLAborted
	// SQLConnection is a lost connection: a retry.
	SQLConnection
)

// SQLError is why a statement failed. Whatever it was, the transaction is lost: the batch fails with it, even if
// the projection goes on.
type SQLError struct {
	Kind SQLErrorKind
	// SQLState has five characters; it is empty where the error is the host's own.
	SQLState   string
	Message    string
	Detail     string
	Hint       string
	Constraint string
	Table      string
	Column     string
	// Position is the place in the statement, in characters from 1, or 0.
	Position int
	// Statement is the text of the statement.
	Statement string
}

// Error holds all that an author needs: the server's message with SQLSTATE, detail and hint, and the statement with
// the place in it.
func (e *SQLError) Error() string {
	var text strings.Builder
	text.WriteString(e.Message)
	if e.SQLState != "" {
		fmt.Fprintf(&text, " (SQLSTATE %s)", e.SQLState)
	}
	for _, part := range [][2]string{{"detail", e.Detail}, {"hint", e.Hint}, {"statement", e.Statement}} {
		if part[1] != "" {
			fmt.Fprintf(&text, "\n%s: %s", part[0], part[1])
		}
	}
	if rest := []rune(e.Statement); 0 < e.Position && e.Position <= len(rest) {
		rest = rest[e.Position-1:]
		fmt.Fprintf(&text, "\nat character %d: %s", e.Position, string(rest[:min(40, len(rest))]))
	}
	return text.String()
}

func (e *SQLError) kind() FailureKind {
	switch e.Kind {
	case SQLRetryable, SQLConnection:
		return KindRetry
	case SQLConstraint:
		return KindPoison
	default:
		return KindFatal
	}
}

// knownError is an error of SQL, of the log or of a request.
type knownError interface {
	error
	kind() FailureKind
}

// failureOf makes a failure of any error. What is marked says it; of what is not, a known error has a kind of its own,
// and everything else came from the event.
func failureOf(err error) *Failure {
	failure := &Failure{Kind: KindPoison, Event: NoEvent, Err: err}
	if marked, ok := errors.AsType[*Failure](err); ok {
		failure.Kind, failure.Event = marked.Kind, marked.Event
	} else if known, ok := errors.AsType[knownError](err); ok {
		failure.Kind = known.kind()
	} else if errors.Is(err, ErrNoRows) {
		failure.Kind = KindFatal
	}
	return failure
}

// at blames an event, where the error blames none yet.
func at(err error, event int) error {
	failure := failureOf(err)
	if failure.Event == NoEvent {
		failure.Event = event
	}
	return failure
}
