"""Who is calling: HTTP Basic with account SID and token, and whether the path is theirs."""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from anyio import to_thread
from litestar.connection import ASGIConnection
from litestar.middleware import AbstractAuthenticationMiddleware, AuthenticationResult
from litestar.types import ASGIApp

from clickledger.accounts.model import Account, Kind
from clickledger.api.handling import services
from clickledger.errors import ForbiddenError, UnauthenticatedError

#: What a SID or a token can look like at all; anything else never reaches the database.
_PRINTABLE = re.compile(r"[!-~]{1,512}")
_NAMES: Mapping[Kind, str] = {"advertiser": "brand", "partner": "partner"}
_HOW = "send HTTP Basic credentials: account SID as user name, token as password."


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a caller says it is; its text never shows the token."""

    sid: str
    token: str

    def __repr__(self) -> str:
        return f"Credentials(sid={self.sid!r})"


def parse_basic(headers: Sequence[bytes]) -> Credentials:
    """Read the ``Authorization`` headers of one request.

    Raises:
        UnauthenticatedError: there is not exactly one, or it is not well-formed Basic.
    """
    if len(headers) != 1:
        found = "No credentials" if not headers else "Several Authorization headers"
        raise UnauthenticatedError(f"{found}: {_HOW}")
    scheme, _, encoded = headers[0].strip().partition(b" ")
    if scheme.lower() != b"basic":
        raise UnauthenticatedError(f"Unknown authentication scheme: {_HOW}")
    try:
        sid, colon, token = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise UnauthenticatedError(
            "The Authorization header is not Base64 of 'AccountSID:AuthToken'."
        ) from None
    if not colon:
        raise UnauthenticatedError(
            "The Authorization header has no ':' between account SID and token."
        )
    if not (_PRINTABLE.fullmatch(sid) and _PRINTABLE.fullmatch(token)):
        raise UnauthenticatedError("The account SID or the token has characters that none has.")
    return Credentials(sid, token)


def authorize(caller: Account, path_sid: str, kind: Kind) -> None:
    """Let an account into its own paths, below those of its kind, and nobody else.

    Raises:
        ForbiddenError: the path is another account's, or for accounts of the other kind.
    """
    if path_sid != caller.sid:
        raise ForbiddenError("The account SID in the path is not the one you signed in with.")
    if caller.kind != kind:
        raise ForbiddenError(
            f"This path is for {_NAMES[kind]}s; you signed in as a {_NAMES[caller.kind]}."
        )


class Authentication(AbstractAuthenticationMiddleware):
    """Runs before every handler below the paths of one kind of accounts; none can forget it."""

    def __init__(self, app: ASGIApp, kind: Kind) -> None:
        super().__init__(app)
        self._kind = kind

    async def authenticate_request(
        self, connection: ASGIConnection[Any, Any, Any, Any]
    ) -> AuthenticationResult:
        """Find the caller and check that the path is theirs."""
        headers = [value for name, value in connection.scope["headers"] if name == b"authorization"]
        credentials = parse_basic(headers)
        accounts = services(connection.app).accounts
        caller = await to_thread.run_sync(accounts.authenticate, credentials.sid, credentials.token)
        authorize(caller, connection.path_params["account_sid"], self._kind)
        return AuthenticationResult(user=caller, auth=None)
