"""Outgoing HTTP, for a projection that tells other systems: a reactor.

Its mode is `async`, and the operator grants it `https:HOST:PORT` for each server. Only a plugin
that imports this module has it.

>>> @projection.on(OrderPlaced)
... def placed(event: Event[OrderPlaced], tx: Tx) -> None:
...     http.post(event, config.get("url", ""), json=event.data, timeout=5).raise_for_status()

Requests are sent at least once: an event whose handling fails afterwards is handled again, and
sends them again with the same `Idempotency-Key`. So send them in the same order each time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar, get_args, overload

from . import _contract as c
from ._decode import Misfit, decoder, needs_decimals
from ._errors import Failure, Poison, Retry
from ._event import Event
from ._event_types import _loads, _loads_decimals
from ._values import Json

__all__ = ["HttpError", "Response", "delete", "get", "head", "patch", "post", "put", "request"]

T = TypeVar("T")
Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]

#: Statuses below 500 after which the server may do better later.
_PASSING = {408, 425, 429}
#: As much of a body is in a message.
_SHOWN = 200


def _missing(cause: int, request: c.Outgoing) -> c.Incoming:
    raise RuntimeError("outgoing HTTP is not there: a test has eventfabric.testing.Server")


# A component puts the host's into its place.
_send: Callable[[int, c.Outgoing], c.Incoming] = _missing


class HttpError(Failure):
    """A request had no answer. `reason` is timeout or connection, which are a retry, or denied,
    invalid or limit, which are poison.
    """

    def __init__(self, error: c.SendError, event: Event[Any]) -> None:
        super().__init__(f"{error.reason}: {error.what}", event=event)
        # An event may name the server: what is wrong with one must not stop all.
        self.kind = "retry" if error.reason in ("timeout", "connection") else "poison"
        self.reason = error.reason


class Response:
    """What a server has answered, whatever its status. Redirects are not followed."""

    def __init__(self, raw: c.Incoming) -> None:
        self.status = raw.status
        #: By names in lower case; what came several times is joined by commas.
        self.headers: dict[str, str] = {}
        for name, value in raw.headers:
            before = self.headers.get(name)
            self.headers[name] = value if before is None else f"{before}, {value}"
        self.content = raw.body

    @property
    def ok(self) -> bool:
        """Whether the status is one of success: 200 to 299."""
        return 200 <= self.status < 300

    @property
    def text(self) -> str:
        """The body as text; what is no UTF-8 is replaced."""
        return self.content.decode(errors="replace")

    @overload
    def json(self) -> Any: ...

    @overload
    def json(self, into: type[T]) -> T: ...

    def json(self, into: Any = None) -> Any:
        """The body, read from JSON, in a type where one is named: `into=Receipt`. Poison where it
        does not fit.
        """
        parse = _loads_decimals if needs_decimals(into) else _loads
        try:
            value = parse(self.text)
            return value if into is None else decoder(into)(value)
        except (Misfit, ValueError, RecursionError) as error:
            raise Poison(f"the answer ({self.status}) can't be read: {error}") from error

    def raise_for_status(self) -> Response:
        """The answer itself, where its status is one of success. Otherwise raises: for 408, 425,
        429 and from 500 on a retry, as the server may do better later, and for all else poison.
        """
        if self.ok:
            return self
        message = f"the server answered {self.status}"
        for name in ("retry-after", "location"):
            if name in self.headers:
                message += f", {name}: {self.headers[name]}"
        if self.content:
            message += f": {self.text[:_SHOWN]}"
        raise (Retry if self.status >= 500 or self.status in _PASSING else Poison)(message)

    def __repr__(self) -> str:
        return f"<Response {self.status}>"


def request(
    cause: Event[Any],
    method: Method,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    json: Any = None,
    body: bytes | str | None = None,
    timeout: float | None = None,
) -> Response:
    """Sends a request and waits for the answer; without one raises :class:`HttpError`.

    :param cause: the event that it tells of
    :param url: with scheme and host
    :param headers: `Idempotency-Key` and those of the connection are the host's
    :param json: a value that is sent as JSON, with its content type: dataclasses, decimals and
        times, too
    :param timeout: seconds for the whole of it; the host's own limit where it is less
    """
    if method not in get_args(Method):
        raise ValueError(f"the method {method!r} is not one of {', '.join(get_args(Method))}")
    if timeout is not None and not timeout > 0:
        raise ValueError(f"a timeout is a number of seconds, and not {timeout}")
    sent = [(name, value) for name, value in (headers or {}).items()]
    if json is not None:
        if body is not None:
            raise TypeError("a request has json or body, and not both")
        body = Json(json).text
        if not any(name.lower() == "content-type" for name, _ in sent):
            sent.append(("content-type", "application/json"))
    content = body.encode() if isinstance(body, str) else body or b""
    millis = None if timeout is None else min(math.ceil(timeout * 1000), 2**32 - 1)
    try:
        return Response(_send(cause.index, c.Outgoing(method, url, sent, content, millis)))
    except c.SendError as error:
        raise HttpError(error, cause) from None


def get(cause: Event[Any], url: str, **options: Any) -> Response:
    """A GET, with what :func:`request` takes."""
    return request(cause, "GET", url, **options)


def head(cause: Event[Any], url: str, **options: Any) -> Response:
    """A HEAD, with what :func:`request` takes."""
    return request(cause, "HEAD", url, **options)


def post(cause: Event[Any], url: str, **options: Any) -> Response:
    """A POST, with what :func:`request` takes."""
    return request(cause, "POST", url, **options)


def put(cause: Event[Any], url: str, **options: Any) -> Response:
    """A PUT, with what :func:`request` takes."""
    return request(cause, "PUT", url, **options)


def patch(cause: Event[Any], url: str, **options: Any) -> Response:
    """A PATCH, with what :func:`request` takes."""
    return request(cause, "PATCH", url, **options)


def delete(cause: Event[Any], url: str, **options: Any) -> Response:
    """A DELETE, with what :func:`request` takes."""
    return request(cause, "DELETE", url, **options)
