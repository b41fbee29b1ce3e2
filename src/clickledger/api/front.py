"""What happens to every request before the framework routes it, and to every answer after.

The wire lets a client say one thing in several ways: a format by suffix or header, a parameter
in the query, in a form body or in a JSON object, a method by ``_method``. Here each becomes one
way, so that handlers know only that one.
"""

import re
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import quote

import structlog
from anyio import to_thread

from clickledger.api.bodies import Pair, parse_object
from clickledger.api.errors import (
    ContentTooLargeError,
    Problem,
    UnsupportedMediaTypeError,
    UriTooLongError,
    describe,
)
from clickledger.api.render import Format, render
from clickledger.api.requests import JSON_TYPES, Call, Parameters, choose_format, parse_pairs
from clickledger.errors import InvalidInputError
from clickledger.metrics import Metrics

log = structlog.get_logger()

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Scope]]
Send = Callable[[Scope], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
#: Takes a body apart.
Language = Callable[[bytes], list[Pair]]

#: No resource has a longer path; the router remembers the paths it has seen.
MAX_PATH_CHARS = 2048

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
_FORM = "application/x-www-form-urlencoded"
_OVERRIDES = frozenset({"PUT", "DELETE"})
#: Whose body means something in any language; of the others only a form does.
_WRITES = frozenset({"POST", "PUT", "DELETE"})
#: A longer form or object is taken apart in a thread.
_INLINE_BYTES = 64 * 1024


class Front:
    """ASGI callable around the framework; one for the life of the process."""

    def __init__(self, app: App, *, body_bytes: int, metrics: Metrics) -> None:
        self._app = app
        self._body_bytes = body_bytes
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()
        headers = _headers(scope)
        path, form = choose_format(scope["path"], headers.get("accept", ""))
        given_id = headers.get("x-request-id", "")
        request_id = given_id if _REQUEST_ID.fullmatch(given_id) else uuid.uuid4().hex
        answer = _Answer(send, request_id=request_id, head=scope["method"] == "HEAD")
        try:
            body = await self._read_body(headers, receive)
            if body is None:
                return
            call = Call(
                request_id=request_id,
                form=form,
                parameters=await _parameters(scope, headers, body),
                head=answer.head,
            )
            _rewrite(scope, path, call)
        except Exception as error:  # noqa: BLE001 - the one place that answers what went wrong here
            await _refuse(answer, describe(error, request_id), form)
        else:
            await self._run(scope, receive, answer)
        finally:
            self._metrics.api_requests.labels(str(answer.status)).inc()
            self._metrics.api_seconds.observe(time.perf_counter() - begun)

    async def _run(self, scope: Scope, receive: Receive, answer: "_Answer") -> None:
        try:
            await self._app(scope, receive, answer.send)
        except Exception:
            # The framework answers what fails before an answer has begun. Now it has: it stays
            # incomplete, and the server closes the connection so that the caller notices.
            log.exception("api_answer_broken", request_id=answer.request_id)
            raise

    async def _read_body(self, headers: Mapping[str, str], receive: Receive) -> bytes | None:
        """Read the whole body; None when the caller went away."""
        announced = headers.get("content-length", "0")
        if announced.isdecimal() and int(announced) > self._body_bytes:
            raise ContentTooLargeError(self._too_large())
        body = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            if len(body) > self._body_bytes:
                raise ContentTooLargeError(self._too_large())
            more = message.get("more_body", False)
        return bytes(body)

    def _too_large(self) -> str:
        return f"A request body may have at most {self._body_bytes} bytes."


class _Answer:
    """The way back: adds what every answer carries and drops the body for HEAD."""

    def __init__(self, send: Send, *, request_id: str, head: bool) -> None:
        self._send = send
        self.request_id = request_id
        self.head = head
        self._ended = False
        #: 499 while nothing was sent: the caller went away first.
        self.status = 499

    async def send(self, message: Scope) -> None:
        """Pass one message on to the server."""
        if message["type"] == "http.response.start":
            self.status = message["status"] = int(message["status"])
            message["headers"] = [
                *message.get("headers", ()),
                (b"x-request-id", self.request_id.encode("ascii")),
                (b"cache-control", b"no-store"),  # all of it is some account's data
                (b"x-content-type-options", b"nosniff"),
            ]
        elif self.head and message["type"] == "http.response.body":
            if self._ended:
                return
            self._ended = True
            message = {"type": "http.response.body", "body": b"", "more_body": False}
        await self._send(message)


async def _parameters(scope: Scope, headers: Mapping[str, str], body: bytes) -> Parameters:
    query: bytes = scope["query_string"]
    language = _language(scope, headers, body)
    if len(query) + len(body) > _INLINE_BYTES:
        return await to_thread.run_sync(_parse, query, body, language)
    return _parse(query, body, language)


def _parse(query: bytes, body: bytes, language: Language) -> Parameters:
    return Parameters([*parse_pairs(query), *language(body)])


def _language(scope: Scope, headers: Mapping[str, str], body: bytes) -> Language:
    """Choose how the body is read.

    Raises:
        UnsupportedMediaTypeError: it is meant to say something, in a language unknown here.
    """
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == _FORM:
        return parse_pairs
    if scope["method"].upper() not in _WRITES or not body:
        return _nothing
    if kind not in JSON_TYPES:
        raise UnsupportedMediaTypeError(
            f"A body is read as {_FORM} or as application/json: name its type in Content-Type."
        )
    return parse_object


def _nothing(body: bytes) -> list[Pair]:
    """Take no parameter from a body: one of a GET that is no form means nothing."""
    del body
    return []


def _rewrite(scope: Scope, path: str, call: Call) -> None:
    if len(path) > MAX_PATH_CHARS:
        raise UriTooLongError(f"No path here is longer than {MAX_PATH_CHARS} characters.")
    scope["method"] = _method(scope, call.parameters)
    scope["path"] = path
    scope["raw_path"] = quote(path, errors="replace").encode("ascii")
    scope["state"] = {**scope.get("state", {}), "call": call}


def _method(scope: Scope, parameters: Parameters) -> str:
    """Return the method that is meant: HEAD is a GET, a POST may stand for another."""
    method = str(scope["method"]).upper()
    if method == "HEAD":
        return "GET"
    override = parameters.first("_method")
    if method != "POST" or override is None:
        return method
    if override.upper() not in _OVERRIDES:
        raise InvalidInputError.of("_method", "Expected PUT or DELETE")
    return override.upper()


def _headers(scope: Scope) -> dict[str, str]:
    """Read the headers, names in lower case; of a repeated one the first counts."""
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.decode("latin-1").lower(), value.decode("latin-1"))
    return headers


async def _refuse(answer: _Answer, problem: Problem, form: Format) -> None:
    body = render(problem.document(), form)
    headers = {
        **problem.headers,
        "Content-Type": form.content_type,
        "Content-Length": str(len(body)),
    }
    encoded = [(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()]
    status = int(problem.status)
    await answer.send({"type": "http.response.start", "status": status, "headers": encoded})
    await answer.send({"type": "http.response.body", "body": body, "more_body": False})
