"""Step ``visitor``: who came, recognisable but not readable."""

import hashlib
from collections.abc import Sequence

import pyarrow as pa

from clickledger.enrich.model import Columns, Context
from clickledger.enrich.text import cleaned_column
from clickledger.spool.model import Click

#: 16 bytes: 32 hex characters on the wire (impact-api 0.2).
_HASH_BYTES = 16


def visitor(clicks: Sequence[Click], context: Context) -> Columns:
    """Return keyed hashes of the address, and of address and user agent, and the profile.

    A click without address and user agent resembles nobody: its hash is null.
    """
    addresses = [click.address for click in clicks]
    agents = [click.user_agent for click in clicks]
    ips = _Ips(context.visitor_key)
    visitors = _Visitors(context.visitor_key)
    return {
        "ip_address": pa.array(map(ips.__getitem__, addresses), pa.string()),
        "visitor": pa.array(
            map(visitors.__getitem__, zip(addresses, agents, strict=True)), pa.binary()
        ),
        "profile_id": cleaned_column(click.profile_id for click in clicks),
        "profile_carried": pa.array(
            [bool(click.profile_carried and click.profile_id) for click in clicks], pa.bool_()
        ),
    }


class _Ips(dict[str, str | None]):
    """Address → hash in hex; each is computed once."""

    def __init__(self, key: bytes) -> None:
        super().__init__({"": None})
        self._keyed = hashlib.blake2b(key=key, digest_size=_HASH_BYTES, person=b"clickledger-ip")

    def __missing__(self, address: str) -> str:
        state = self._keyed.copy()
        state.update(address.encode("utf-8", "replace"))
        found = self[address] = state.hexdigest()
        return found


class _Visitors(dict[tuple[str, bytes], bytes | None]):
    """Address and user agent → hash; each is computed once."""

    def __init__(self, key: bytes) -> None:
        super().__init__({("", b""): None})
        self._keyed = hashlib.blake2b(key=key, digest_size=_HASH_BYTES, person=b"clickledger-vis")

    def __missing__(self, who: tuple[str, bytes]) -> bytes:
        address, agent = who
        state = self._keyed.copy()
        # An address has no NUL: no two pairs give the same bytes.
        state.update(address.encode("utf-8", "replace") + b"\0" + agent)
        found = self[who] = state.digest()
        return found
