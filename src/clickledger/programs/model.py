"""Records of the programme side: who takes part, and what a link means."""

from dataclasses import dataclass

#: Ad types of the wire (impact-api 2.3).
AD_TYPES = (
    "BANNER",
    "EMAIL",
    "FLASH",
    "TEXT",
    "TEXT_LINK",
    "LONG_SPONSORED_TEXT",
    "XML_SYNDICATION",
    "COUPON",
    "CONTENT",
    "VIDEO",
    "ONLINE_TRACKING_LINK",
    "MEDIA_SOURCE_TRACKING",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A brand's programme: where its links lead and whose day its reports use."""

    id: int
    advertiser_sid: str
    name: str
    #: IANA name; a day of this program is a day of this zone.
    time_zone: str
    #: Default landing page, absolute.
    landing_page: str
    #: Hosts a deep link may lead to: ``example.com`` exactly, ``*.example.com`` any below it.
    deep_link_domains: tuple[str, ...] = ()
    #: Query parameter that carries the click id to the landing page.
    click_id_param: str = "irclickid"
    #: Appended to the landing URL of partner links: ``name={token}&…``.
    partner_template: str = ""
    #: Appended to the landing URL of every link.
    program_template: str = ""
    #: Whether the brand's own exports leave SubId1 to SubId3 empty.
    hide_sub_ids: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Partner:
    """A media partner of one brand."""

    id: int
    sid: str
    advertiser_sid: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ad:
    """An ad of one program; "no ad" links use the program's ONLINE_TRACKING_LINK ad."""

    id: int
    program_id: int
    name: str
    type: str
    #: Absolute; empty: the program's.
    landing_page: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class VanityLink:
    """A short path that stands for a partner, an ad, a program and a deep link."""

    #: Starts with ``/``.
    path: str
    program_id: int
    partner_id: int
    ad_id: int
    deep_link: str = ""
