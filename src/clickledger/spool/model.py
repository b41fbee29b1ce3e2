"""Records of the spool: a click as it was received, and a batch of them."""

from dataclasses import dataclass

import msgspec

from clickledger.clock import Micros

#: Longest stored form of each raw field, in bytes. A longer one is cut in the record only:
#: the visitor is still sent on with all of it. So no request can make a huge record.
PATH_CAP = 1024
QUERY_CAP = 16 * 1024
USER_AGENT_CAP = 2048
REFERRER_CAP = 2048
HEADER_CAP = 256
URL_CAP = 16 * 1024


class Click(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One click as received at a tracking link.

    Stored as a MessagePack array in this order; new fields are added at the end with a default,
    so that an older payload still decodes.
    """

    #: Collector clock, UTC microseconds.
    received: Micros
    #: Names the journey; 32 characters (see ids.py).
    click_id: str
    program_id: int
    media_id: int
    ad_id: int
    #: Path and query exactly as on the wire (percent-encoded), without the ``?``.
    path: bytes
    query: bytes
    user_agent: bytes
    referrer: bytes
    #: Client address in canonical text form; empty when the peer has none (a Unix socket).
    address: str
    #: The profile this click belongs to: carried by the cookie, or newly set.
    profile_id: str
    #: Whether the request carried ``profile_id`` in its cookie.
    profile_carried: bool
    #: Where the visitor was sent, click id included.
    landing_url: str
    #: What the collector itself found, e.g. ``bad_deeplink``.
    reasons: tuple[str, ...] = ()
    sec_fetch_site: bytes = b""
    sec_fetch_mode: bytes = b""
    sec_fetch_dest: bytes = b""
    sec_fetch_user: bytes = b""
    gpc: bytes = b""
    accept_language: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One group commit as it lies in the spool: the unit that a visitor's answer waits for."""

    spool_id: str
    #: 1, 2, 3 … over the life of the spool; a number is never used twice, gaps may occur.
    sequence: int
    #: Clicks in the payload.
    clicks: int
    first_received: Micros
    last_received: Micros
    #: Nothing received before this instant will follow in a later batch of this spool.
    low_water: Micros
    #: Over the header fields and the payload (format.py).
    checksum: bytes
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAside:
    """A batch that cannot be believed: reported with what is left of it, never skipped in silence.

    Reading the same place again gives the same answer, so its row key is stable.
    """

    spool_id: str
    #: Of the batch. For ``missing``, and ``unreadable`` as a whole segment, the last acknowledged
    #: batch that is lost; 0 when not even that is known.
    sequence: int
    #: As its header says; 0 when the header cannot be read either.
    clicks: int
    #: ``bad_header``, ``bad_checksum``, ``unreadable`` or ``missing``.
    reason: str
    #: A sentence for people.
    detail: str
    #: Of the batch's first click, when its header can be read.
    first_received: Micros | None
    #: Header and payload as they were found; empty when the file gives nothing back.
    raw: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """What one read of a spool found: batches in order, and what was set aside among them."""

    #: Checksums verified, sequence numbers ascending.
    batches: tuple[Batch, ...]
    corrupted: tuple[SetAside, ...]
    #: Everything through this number is in this chunk or was before it.
    last_sequence: int
    #: Once this chunk is loaded, nothing received before this instant can follow from this spool.
    #: ``NOTHING_FOLLOWS`` when the spool's process has ended and this chunk is its last.
    low_water: Micros
    #: Whether there was nothing more to read.
    exhausted: bool


#: The low-water mark of a spool that holds nothing back any more.
NOTHING_FOLLOWS: Micros = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """What one release took out of a spool."""

    segments: int
    batches: int
    clicks: int
    #: Whether the spool itself is gone: its process had ended and all of it was loaded.
    spool_removed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What remains of a batch when its payload is removed; kept 90 days by default."""

    spool_id: str
    sequence: int
    clicks: int
    checksum: bytes
    first_received: Micros
    last_received: Micros
    #: When the payload was removed, UTC microseconds.
    released: Micros
