"""The one error tree: every failure a caller can act on, and nothing else.

ClickledgerError
├── InvalidInputError      what was asked is wrong; names the field and the fix         → 400
├── UnauthenticatedError   no credentials, or wrong ones                               → 401
├── ForbiddenError         good credentials, but not for this                          → 403
├── NotFoundError          no such thing, or not the caller's                          → 404
├── ConflictError          the thing exists already, or is in the wrong state          → 409
├── GoneError              it was here and its time is over                            → 410
├── UnavailableError       cannot now, may later: disk, database, lake                 → 503
│   ├── SpoolUnavailableError    a click could not be made durable
│   └── NotCompleteError         the lake does not yet hold everything that was asked for
└── CorruptedError         stored bytes are not what was written                       → 500
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldError:
    """One wrong field of one request."""

    #: Name of the field as the caller wrote it.
    field: str
    #: What is wrong and what would be right.
    message: str


class ClickledgerError(Exception):
    """Base of everything this package raises on purpose."""

    #: HTTP status that the API answers with.
    http_status = 500


class InvalidInputError(ClickledgerError):
    """What was asked is wrong; ``fields`` names each wrong field and its fix."""

    http_status = 400

    def __init__(self, message: str, *fields: FieldError) -> None:
        super().__init__(message)
        self.fields: tuple[FieldError, ...] = fields

    @classmethod
    def of(cls, field: str, message: str) -> "InvalidInputError":
        """Build the common case: one wrong field."""
        return cls(f"{field}: {message}", FieldError(field=field, message=message))


class UnauthenticatedError(ClickledgerError):
    """No credentials, or wrong ones."""

    http_status = 401


class ForbiddenError(ClickledgerError):
    """The credentials are good, but not for this."""

    http_status = 403


class NotFoundError(ClickledgerError):
    """There is no such thing, or it is not the caller's."""

    http_status = 404


class ConflictError(ClickledgerError):
    """The thing exists already, or is in a state that does not allow this."""

    http_status = 409


class GoneError(ClickledgerError):
    """It was here and its time is over."""

    http_status = 410


class UnavailableError(ClickledgerError):
    """It cannot be done now and may be possible later."""

    http_status = 503


class SpoolUnavailableError(UnavailableError):
    """A click could not be made durable."""


class NotCompleteError(UnavailableError):
    """The lake does not yet hold everything that was asked for."""


class CorruptedError(ClickledgerError):
    """Stored bytes are not what was written."""
