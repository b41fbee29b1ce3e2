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
    of_address = hashlib.blake2b(
        key=context.visitor_key, digest_size=_HASH_BYTES, person=b"clickledger-ip"
    )
    of_visitor = hashlib.blake2b(
        key=context.visitor_key, digest_size=_HASH_BYTES, person=b"clickledger-vis"
    )
    addresses: dict[str, str | None] = {"": None}
    visitors: dict[tuple[str, bytes], bytes | None] = {("", b""): None}
    ips, hashes = [], []
    for click in clicks:
        address = click.address
        who = address, click.user_agent
        if address not in addresses:
            state = of_address.copy()
            state.update(address.encode("utf-8", "replace"))
            addresses[address] = state.hexdigest()
        if who not in visitors:
            state = of_visitor.copy()
            # An address has no NUL: no two pairs give the same bytes.
            state.update(address.encode("utf-8", "replace") + b"\0" + click.user_agent)
            visitors[who] = state.digest()
        ips.append(addresses[address])
        hashes.append(visitors[who])
    return {
        "ip_address": pa.array(ips, pa.string()),
        "visitor": pa.array(hashes, pa.binary()),
        "profile_id": cleaned_column(click.profile_id for click in clicks),
        "profile_carried": pa.array(
            [bool(click.profile_carried and click.profile_id) for click in clicks], pa.bool_()
        ),
    }
