"""The directory: what every link means, in the collector's memory, and its snapshot file.

The snapshot is bytes in, bytes out here::

    offset  bytes  what
    0       7      b"CLICKDY"
    7       1      version of the format, now 1
    8       32     SHA-256 of everything before and after these 32 bytes
    40      …      MessagePack: {version, programs, partners, ads, links}
"""

import hashlib
from dataclasses import dataclass

import msgspec

from clickledger.errors import CorruptedError
from clickledger.programs.model import Ad, Partner, Program, VanityLink

_MAGIC = b"CLICKDY"
_FORMAT = b"\x01"
_HEADER = len(_MAGIC) + len(_FORMAT)
_DIGEST = hashlib.sha256().digest_size

#: Tracking links whose meaning is kept ready. Beyond, the cache starts anew: it holds only
#: links that exist, but a brand may have more of them than anybody follows.
_ROUTES_CACHED = 65_536


@dataclass(frozen=True, slots=True)
class Route:
    """What one link means."""

    program: Program
    partner: Partner
    ad: Ad
    #: Where a vanity link leads; empty: the ad's landing page, else the program's.
    deep_link: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """Everything a directory is made of, as the control database had it at one instant."""

    #: Counts the changes; another version means another content.
    version: int = 0
    programs: tuple[Program, ...] = ()
    partners: tuple[Partner, ...] = ()
    ads: tuple[Ad, ...] = ()
    links: tuple[VanityLink, ...] = ()


class Directory:
    """What every link means, immutable; look-ups are safe from any thread and never wait."""

    __slots__ = ("_ads", "_links", "_partners", "_programs", "_routes", "records")

    def __init__(self, records: Records) -> None:
        self.records = records
        self._programs = {program.id: program for program in records.programs}
        self._partners = {partner.id: partner for partner in records.partners}
        self._ads = {ad.id: ad for ad in records.ads}
        self._links = {link.path: link for link in records.links}
        self._routes: dict[tuple[int, int, int], Route] = {}

    @property
    def version(self) -> int:
        """Version of the records."""
        return self.records.version

    def route(self, media_id: int, ad_id: int, program_id: int) -> Route | str:
        """Return what ``/c/{media_id}/{ad_id}/{program_id}`` means, or why it means nothing.

        The reason is ``unknown_program``, ``unknown_partner`` or ``unknown_ad``. A partner of
        another brand and an ad of another program are unknown.
        """
        key = (media_id, ad_id, program_id)
        found = self._routes.get(key)
        if found is not None:
            return found
        program = self._programs.get(program_id)
        if program is None:
            return "unknown_program"
        partner = self._partners.get(media_id)
        if partner is None or partner.advertiser_sid != program.advertiser_sid:
            return "unknown_partner"
        ad = self._ads.get(ad_id)
        if ad is None or ad.program_id != program_id:
            return "unknown_ad"
        if len(self._routes) >= _ROUTES_CACHED:
            self._routes.clear()
        route = self._routes[key] = Route(program, partner, ad)
        return route

    def vanity(self, path: str) -> Route | None:
        """Return what a vanity path means; None when there is no such link."""
        link = self._links.get(path)
        if link is None:
            return None
        route = self.route(link.partner_id, link.ad_id, link.program_id)
        if isinstance(route, str):  # the store does not make such a link
            return None
        return Route(route.program, route.partner, route.ad, link.deep_link)

    def program(self, program_id: int) -> Program | None:
        """Return a program by its id."""
        return self._programs.get(program_id)

    def partner(self, partner_id: int) -> Partner | None:
        """Return a partner by its id, which is the MediaId of the wire."""
        return self._partners.get(partner_id)

    def ad(self, ad_id: int) -> Ad | None:
        """Return an ad by its id."""
        return self._ads.get(ad_id)

    def to_bytes(self) -> bytes:
        """Write the snapshot."""
        payload = msgspec.msgpack.encode(self.records)
        return _MAGIC + _FORMAT + _digest(payload) + payload

    @classmethod
    def from_bytes(cls, content: bytes) -> "Directory":
        """Read a snapshot.

        Raises:
            CorruptedError: it is not the bytes that were written, or of another format.
        """
        if content[: len(_MAGIC)] != _MAGIC:
            raise CorruptedError("this is not a snapshot of the directory")
        if content[len(_MAGIC) : _HEADER] != _FORMAT:
            raise CorruptedError("the snapshot of the directory has an unknown format")
        digest, payload = content[_HEADER : _HEADER + _DIGEST], content[_HEADER + _DIGEST :]
        if digest != _digest(payload):
            raise CorruptedError("the snapshot of the directory fails its checksum")
        try:
            return cls(msgspec.msgpack.decode(payload, type=Records))
        except msgspec.MsgspecError as error:
            raise CorruptedError(f"the snapshot of the directory is malformed: {error}") from error


def _digest(payload: bytes) -> bytes:
    return hashlib.sha256(_MAGIC + _FORMAT + payload).digest()
