"""Accounts in the control database: making them, and checking who calls."""

import hmac
import re
import secrets
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, Row, select, update

from clickledger import ids
from clickledger.accounts import rules
from clickledger.accounts.model import Account, Kind
from clickledger.clock import Micros, to_datetime, wall_clock
from clickledger.db import tables
from clickledger.errors import NotFoundError, UnauthenticatedError

#: Anything else cannot be a SID of ours and is not shown to the database.
_SID = re.compile(r"IR[A-Za-z0-9]{1,62}")
#: Well formed and never given out: it is looked up when the caller's text is not well formed.
_NOBODY = "IR0"


class Accounts:
    """The accounts of one installation.

    ``token_keys``: the ring ``token``, newest first. The first makes new hashes; all verify.
    """

    __slots__ = ("_clock", "_decoy", "_engine", "_keys")

    def __init__(
        self, engine: Engine, token_keys: Sequence[bytes], clock: Callable[[], Micros] = wall_clock
    ) -> None:
        self._engine = engine
        self._keys = tuple(token_keys)
        self._clock = clock
        self._decoy = secrets.token_bytes(32)

    def create(
        self, connection: Connection, kind: Kind, name: str, time_zone: str = "UTC"
    ) -> tuple[Account, str]:
        """Add an account; return it and its token, which is shown this once and not kept.

        Raises:
            InvalidInputError: the name or the zone is none.
        """
        account = Account(
            sid=ids.new_account_sid(),
            kind=kind,
            name=rules.name("name", name),
            time_zone=rules.time_zone("time_zone", time_zone),
        )
        token = ids.new_token()
        connection.execute(
            tables.accounts.insert().values(
                sid=account.sid,
                kind=account.kind,
                name=account.name,
                time_zone=account.time_zone,
                token_hash=_keyed(self._keys[0], token),
                created_at=to_datetime(self._clock()),
            )
        )
        return account, token

    def authenticate(self, sid: str, token: str) -> Account:
        """Return the account whose SID and token these are.

        The work is the same whether the SID exists or not, and the comparison takes constant
        time. No password hash: a token is 256 random bits, and this runs on every request.

        Raises:
            UnauthenticatedError: there is no such account, or the token is not its own.
        """
        row = self._find(sid)
        stored = self._decoy if row is None else row.token_hash
        good = False
        for key in self._keys:
            good |= hmac.compare_digest(_keyed(key, token), stored)
        if row is None or not good:
            raise UnauthenticatedError("the account SID or the token is wrong")
        return _account(row)

    def get(self, sid: str, connection: Connection | None = None) -> Account:
        """Return one account, as ``connection`` sees it; NotFoundError when there is none."""
        row = self._find(sid, connection)
        if row is None:
            raise NotFoundError(f"there is no account {sid!r}")
        return _account(row)

    def list(self, kind: Kind | None = None) -> list[Account]:
        """Return all accounts, or those of one kind; oldest first."""
        query = select(tables.accounts).order_by(
            tables.accounts.c.created_at, tables.accounts.c.sid
        )
        if kind is not None:
            query = query.where(tables.accounts.c.kind == kind)
        with self._engine.connect() as connection:
            return [_account(row) for row in connection.execute(query)]

    def rotate_token(self, sid: str) -> tuple[Account, str]:
        """Give an account a new token, shown this once; the old one stops working at once.

        Raises:
            NotFoundError: there is no such account.
        """
        account = self.get(sid)
        token = ids.new_token()
        with self._engine.begin() as connection:
            connection.execute(
                update(tables.accounts)
                .where(tables.accounts.c.sid == account.sid)
                .values(token_hash=_keyed(self._keys[0], token))
            )
        return account, token

    def _find(self, sid: str, connection: Connection | None = None) -> Row[Any] | None:
        if connection is None:
            with self._engine.connect() as own:
                return self._find(sid, own)
        asked = sid if _SID.fullmatch(sid) else _NOBODY
        query = select(tables.accounts).where(tables.accounts.c.sid == asked)
        return connection.execute(query).one_or_none()


def _keyed(key: bytes, token: str) -> bytes:
    return hmac.digest(key, token.encode("utf-8", "surrogatepass"), "sha256")


def _account(row: Row[Any]) -> Account:
    return Account(sid=row.sid, kind=row.kind, name=row.name, time_zone=row.time_zone)
