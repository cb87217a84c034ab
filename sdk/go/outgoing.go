package eventfabric

import (
	"encoding/json/v2"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Outgoing sends requests: the host in a component, a double in tests. A [Backend] of a reactor is one, too. Errors are
// [*SendError].
type Outgoing interface {
	SendRequest(cause int, request OutgoingRequest) (*Response, error)
}

// OutgoingRequest is a [Request] as an [Outgoing] gets it.
type OutgoingRequest struct {
	Method  string
	URL     string
	Headers []Header
	Body    []byte
	// Timeout is 0 where it is the host's own limit.
	Timeout time.Duration
}

// Header is a header of a request or a response. Names are compared without case.
type Header struct{ Name, Value string }

// Request is a request to another system.
type Request struct {
	// Method is GET, HEAD, POST, PUT, PATCH or DELETE. Empty, it is POST with a body, and GET without.
	Method string
	// URL has scheme and host.
	URL string
	// Headers are those beside the connection's and `Idempotency-Key`, which are the host's.
	Headers []Header
	// JSON becomes the body by encoding/json/v2, with its Content-Type; or Body is it.
	JSON any
	Body []byte
	// Timeout is the time for the whole of it, where it is less than the host's own limit.
	Timeout time.Duration
}

// SendErrorKind is what kind of error a request had.
type SendErrorKind uint8

const (
	// SendDenied is a server that the operator has not granted: poison.
	SendDenied SendErrorKind = iota
	// SendInvalid is a request that is wrong, a URL or a header: poison.
	SendInvalid
	// SendTimeout is no whole answer in time: a retry.
	SendTimeout
	// SendConnection is no connection, or a broken one: a retry.
	SendConnection
	// SendLimit is a limit of requests in a batch, or of bytes: poison.
	SendLimit
)

// SendError is why there is no answer.
type SendError struct {
	Kind    SendErrorKind
	Message string
}

func (e *SendError) Error() string { return e.Message }

// An event that names a server which is not granted must not stop the projection for all.
func (e *SendError) kind() FailureKind {
	switch e.Kind {
	case SendTimeout, SendConnection:
		return KindRetry
	}
	return KindPoison
}

// Send sends a request and waits for the answer, whatever its status; see [Response.Err]. `cause` is the event that it
// tells of. Redirects are not followed.
//
//	response, err := eventfabric.Send(tx, e, eventfabric.Request{URL: "https://mail.example.com/welcome", JSON: e.Data})
//	if err == nil {
//		err = response.Err()
//	}
//	return err
//
// A request is sent at least once: an event that fails after it is handled again, and sends it again, with the same
// `Idempotency-Key`. The host makes that header of the projection, the event and the place of the request among those of the
// event; so send them in the same order each time. Without an answer the error is a [*SendError]. A plugin that calls Send is
// a reactor, of the mode Async: its component imports the outgoing HTTP, and needs a grant of the operator,
// `https:HOST:PORT`.
func Send[C any](tx *Tx, cause Event[C], request Request) (*Response, error) {
	return tx.sendRequest(cause.Index, request)
}

func (tx *Tx) sendRequest(cause int, request Request) (*Response, error) {
	if tx.failed != nil {
		return nil, tx.failed
	}
	out := OutgoingRequest{request.Method, request.URL, request.Headers, request.Body, request.Timeout}
	if request.JSON != nil {
		body, err := json.Marshal(request.JSON, json.Deterministic(true))
		switch {
		case err != nil:
			return nil, at(Poisonf("the body is no JSON: %w", err), cause)
		case request.Body != nil:
			return nil, at(Fatalf("a request has JSON and Body; one of them is its body"), cause)
		}
		out.Body = body
		if _, ok := headerOf(out.Headers, "content-type"); !ok {
			out.Headers = append(out.Headers[:len(out.Headers):len(out.Headers)], Header{"content-type", "application/json"})
		}
	}
	if out.Method == "" {
		out.Method = "GET"
		if out.Body != nil {
			out.Method = "POST"
		}
	}
	response, err := outgoingOf(tx.backend).SendRequest(cause, out)
	if err != nil {
		return nil, at(err, cause)
	}
	return response, nil
}

// Response is what a server has answered.
type Response struct {
	Status  int
	Headers []Header
	Body    []byte
}

// Header is the first header of a name, or empty.
func (r *Response) Header(name string) string {
	value, _ := headerOf(r.Headers, name)
	return value
}

func headerOf(headers []Header, name string) (string, bool) {
	for _, header := range headers {
		if strings.EqualFold(header.Name, name) {
			return header.Value, true
		}
	}
	return "", false
}

// JSON reads the body into what `to` points to.
func (r *Response) JSON(to any) error {
	if err := json.Unmarshal(r.Body, to); err != nil {
		return Poisonf("the answer (%d) can't be read: %w", r.Status, err)
	}
	return nil
}

// Err is nil where the status is one of success. For 408, 425, 429 and from 500 on it is a retry, as the server may do
// better later; for all else poison, redirects included. It has the status, `Retry-After` or `Location`, and the beginning
// of the body.
func (r *Response) Err() error {
	if 200 <= r.Status && r.Status < 300 {
		return nil
	}
	var message strings.Builder
	fmt.Fprintf(&message, "the server answered %d", r.Status)
	for _, name := range []string{"retry-after", "location"} {
		if value := r.Header(name); value != "" {
			fmt.Fprintf(&message, ", %s: %s", name, value)
		}
	}
	if len(r.Body) > 0 {
		fmt.Fprintf(&message, ": %s", beginning(r.Body, 200))
	}
	switch {
	case r.Status == 408, r.Status == 425, r.Status == 429, r.Status >= 500:
		return Retryf("%s", &message)
	}
	return Poisonf("%s", &message)
}

// beginning is so many characters of a text.
func beginning(body []byte, characters int) string {
	end := 0
	for ; end < len(body) && characters > 0; characters-- {
		_, size := utf8.DecodeRune(body[end:])
		end += size
	}
	return strings.ToValidUTF8(string(body[:end]), "\uFFFD")
}
