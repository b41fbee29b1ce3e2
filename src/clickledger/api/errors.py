"""One table from errors to HTTP: status, headers and the body that every known client reads.

The body is the superset of the shapes on the wire (impact-api 1.9 and 10): ``Status``,
``Message`` and ``Errors`` for those that follow the documentation; an integer ``status``,
``error`` and ``message`` for those that expect the other shape.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

import structlog
from litestar.exceptions import HTTPException

from clickledger.api.render import Answer, Members
from clickledger.errors import ClickledgerError, FieldError, InvalidInputError

log = structlog.get_logger()

#: What the framework's own refusals mean here; its sentences are about frameworks.
_SENTENCES = {
    HTTPStatus.NOT_FOUND: "There is no such resource.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This resource does not know that method; Allow names those.",
}
_INTERNAL = (
    "Something went wrong here, not in your request. Quote request id {} when you report it."
)
_UNAVAILABLE = "This cannot be answered right now; try again soon. Request id {}."
#: Headers that belong to a status, whatever the reason.
_HEADERS: Mapping[HTTPStatus, Mapping[str, str]] = {
    HTTPStatus.UNAUTHORIZED: {
        "WWW-Authenticate": 'Basic realm="clickledger", charset="UTF-8"',
    },
    HTTPStatus.TOO_MANY_REQUESTS: {"Retry-After": "5"},
    HTTPStatus.SERVICE_UNAVAILABLE: {"Retry-After": "5"},
}


class ContentTooLargeError(ClickledgerError):
    """The request is longer than this server reads."""

    http_status = 413


class UriTooLongError(ClickledgerError):
    """The path is longer than any resource's."""

    http_status = 414


class UnsupportedMediaTypeError(ClickledgerError):
    """The body is written in something this server does not read."""

    http_status = 415


class RangeError(ClickledgerError):
    """The range lies outside the file."""

    http_status = 416

    def __init__(self, size: int) -> None:
        super().__init__(f"The range lies outside the file, which has {size} bytes.")
        self.size = size


class TooManyRequestsError(ClickledgerError):
    """More at a time than this server does; it may be asked again soon."""

    http_status = 429


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """An error as the caller sees it."""

    status: HTTPStatus
    message: str
    fields: tuple[FieldError, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    def document(self) -> Answer:
        """Return the superset body."""
        return Answer(
            {
                "Status": "ERROR",
                "Message": self.message,
                "Errors": Members(
                    "Error",
                    [{"Field": one.field, "Message": one.message} for one in self.fields],
                ),
                "status": int(self.status),
                "error": self.status.phrase,
                "message": self.message,
            }
        )


def describe(error: Exception, request_id: str) -> Problem:
    """Turn any error into what its caller may know; what is our fault goes to the log."""
    status = HTTPStatus(_status(error))
    headers = {**_HEADERS.get(status, {}), **_headers(error)}
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("api_request_failed", request_id=request_id, status=int(status), exc_info=error)
        sentence = _UNAVAILABLE if status == HTTPStatus.SERVICE_UNAVAILABLE else _INTERNAL
        return Problem(status=status, message=sentence.format(request_id), headers=headers)
    fields = error.fields if isinstance(error, InvalidInputError) else ()
    message = str(error)
    if isinstance(error, HTTPException):
        message = _SENTENCES.get(status, error.detail)
    return Problem(
        status=status, message=message[:1].upper() + message[1:], fields=fields, headers=headers
    )


def _status(error: Exception) -> int:
    match error:
        case ClickledgerError():
            return error.http_status
        case HTTPException():
            return error.status_code
        case _:
            return HTTPStatus.INTERNAL_SERVER_ERROR


def _headers(error: Exception) -> Mapping[str, str]:
    match error:
        case RangeError(size=size):
            return {"Content-Range": f"bytes */{size}"}
        case HTTPException(headers={"allow": allowed}):
            methods = {method.strip() for method in allowed.split(",")}
            if "GET" in methods:
                methods.add("HEAD")  # answered by every GET
            return {"Allow": ", ".join(sorted(methods))}
        case _:
            return {}
