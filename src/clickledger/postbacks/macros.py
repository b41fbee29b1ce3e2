"""Macros: what a template may ask for, by kind of notification (impact-api 4.3).

Names are compared exactly, case included. A macro whose event has no value for it is empty.
"""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from clickledger.postbacks.model import CLICK_DIGEST, EVENTS, Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Macro:
    """One name that a template may ask for."""

    name: str
    #: What validation and a test send fill in.
    sample: str
    #: Unquoted in a JSON body it is a number.
    numeric: bool = False
    #: Its value is JSON text: unquoted in a JSON body it stands as it is.
    structured: bool = False


def _mapping(*macros: Macro) -> dict[str, Macro]:
    return {macro.name: macro for macro in macros}


def _text(name: str, sample: str) -> Macro:
    return Macro(name=name, sample=sample)


def _number(name: str, sample: str) -> Macro:
    return Macro(name=name, sample=sample, numeric=True)


def _structured(name: str, sample: str) -> Macro:
    return Macro(name=name, sample=sample, structured=True)


_MESSAGE_ID = _text("MessageId", "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W")
_SUB_IDS = (
    _text("SubId1", "newsletter"),
    _text("SubId2", "summer sale"),
    _text("SubId3", "3"),
    _text("SharedId", "spring"),
)
_PROGRAM = (_number("CampaignId", "1000"), _text("CampaignName", "Example Shop"))
_PARTNER = (_number("MediaPartnerId", "10001"), _text("MediaPartnerName", "Example & Partners"))

_IDENTITY = (
    *_PROGRAM,
    _number("ActionTrackerId", "2000"),
    _text("ActionTrackerName", "Online Sale"),
    *_PARTNER,
    _number("AdId", "3000"),
    _text("ActionId", "1000.2000.300000"),
    _text("ActionType", "SALE"),
)

_ACTION = (
    *_IDENTITY,
    _text("Status", "PENDING"),
    _text("StatusDetail", ""),
    _text("ReferringType", "CLICK_COOKIE"),
    _number("Payout", "4.95"),
    _number("DeltaPayout", "4.95"),
    _number("IntendedPayout", "4.95"),
    _number("Amount", "99.00"),
    _number("DeltaAmount", "99.00"),
    _number("IntendedAmount", "99.00"),
    _text("Currency", "EUR"),
    _text("OriginalCurrency", "USD"),
    _number("OriginalAmount", "107.31"),
    _text("CreationDate", "2026-03-01T12:05:00Z"),
    _text("ReferringDate", "2026-02-27T08:30:00Z"),
    _text("LockingDate", "2026-04-15T00:00:00Z"),
    _text("ClearedDate", ""),
    *_SUB_IDS,
    _text("RefClickId", "Zk3x9QpLm2vT7aYb1Rw0Hc5Jd8Se4Gf6"),
    _text("LandingPageUrl", "https://shop.example/sale?size=38&colour=blue"),
    _structured("Items", '[{"sku":"TEE-1","qty":"2","amt":"49.50"}]'),
)

_INQUIRY = (
    _text("InquiryId", "I-500000"),
    _text("InquiryType", "UNTRACKED"),
    _text("ResolutionStatus", "UNRESOLVED"),
    _text("OrderId", "ORD-1001"),
    _text("CustomerId", "C-42"),
    _text("Comment", "The order <ORD-1001> is missing"),
    _text("ResolutionDate", ""),
    *_ACTION,
)

_TRACKING_VALUE = (
    _text("RequestId", "T-600000"),
    _text("RequestType", "PROMO_CODE"),
    _text("TrackingValue", "SUMMER10"),
    _text("Status", "PENDING"),
    _text("Comment", "For our summer campaign"),
    _text("CreationDate", "2026-03-01T12:05:00Z"),
    *_PROGRAM,
    *_PARTNER,
)

_JOB = (
    _text("JobId", "0f6b1c7e-4a53-4f0e-9d57-6a0f3c1b2d4e"),
    _text("JobType", "ClickExport"),
    _text("Status", "COMPLETED"),
    _text("StatusMessage", ""),
    _number("ProgramId", "1000"),
    _text("Date", "2026-03-01"),
    _number("RecordsProcessed", "12345"),
    _text("QueuedUri", "/Advertisers/IRexample/Jobs/0f6b1c7e-4a53-4f0e-9d57-6a0f3c1b2d4e"),
    _text("ResultUri", "/Advertisers/IRexample/Jobs/0f6b1c7e-4a53-4f0e-9d57-6a0f3c1b2d4e/Download"),
    _text("Sha256", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"),
    _number("Run", "1"),
    _structured("Replayed", "false"),
)

#: Macro of a click → the lake's column it is filled from. Only what is known when a click is
#: loaded: whether it is unique, and what it costs, is decided later.
CLICK_COLUMNS: Mapping[str, str] = {
    "ClickId": "click_id",
    "CampaignId": "program_id",
    "CampaignName": "program_name",
    "MediaPartnerId": "media_id",
    "MediaPartnerName": "media_name",
    "AdId": "ad_id",
    "AdName": "ad_name",
    "AdType": "ad_type",
    "EventDate": "event_time",
    "ReceivedDate": "received_time",
    "SubId1": "sub_id1",
    "SubId2": "sub_id2",
    "SubId3": "sub_id3",
    "SharedId": "shared_id",
    "LandingPageUrl": "landing_page_url",
    "ReferringUrl": "referring_url",
    "ReferringDomain": "referring_domain",
    "ProfileId": "profile_id",
    "IpAddress": "ip_address",
    "ProductSku": "product_sku",
    "AdCampaign": "ad_campaign",
    "AdGroup": "ad_group",
    "Keyword": "keyword",
    "MatchType": "match_type",
    "Channel": "channel",
    "TrafficCategory": "traffic_category",
    "TrafficSource": "traffic_source",
    "BidKeyword": "bid_keyword",
    "SearchText": "search_text",
    "Param1": "param1",
    "Param2": "param2",
    "Param3": "param3",
    "Param4": "param4",
    "CustomerArea": "customer_area",
    "CustomerCity": "customer_city",
    "CustomerRegion": "customer_region",
    "CustomerCountry": "customer_country",
    "DeviceType": "device_type",
    "DeviceFamily": "device_family",
    "Browser": "browser",
    "Os": "os",
}

_CLICK = (
    _text("ClickId", "Zk3x9QpLm2vT7aYb1Rw0Hc5Jd8Se4Gf6"),
    *_PROGRAM,
    *_PARTNER,
    _number("AdId", "3000"),
    _text("AdName", "Summer banner"),
    _text("AdType", "BANNER"),
    _text("ReceivedDate", "2026-03-01T12:00:00Z"),
    *_SUB_IDS,
    _text("LandingPageUrl", "https://shop.example/sale?size=38&colour=blue"),
    _text("ReferringUrl", "https://blog.example/post?id=7"),
    _text("ReferringDomain", "blog.example"),
    _text("ProfileId", "7c9e6679-7425-40de-944b-e07fc1f90ae7"),
    _text("IpAddress", "5f4dcc3b5aa765d61d8327deb882cf99"),
    _text("ProductSku", "TEE-1"),
    _text("AdCampaign", "summer"),
    _text("AdGroup", "shirts"),
    _text("Keyword", "blue shirt"),
    _text("MatchType", "exact"),
    _text("Channel", "search"),
    _text("TrafficCategory", "content"),
    _text("TrafficSource", "blog"),
    _text("BidKeyword", "shirt"),
    _text("SearchText", "blue shirts & more"),
    _text("Param1", "a"),
    _text("Param2", "b"),
    _text("Param3", "c"),
    _text("Param4", "d"),
    _text("CustomerArea", "n/a"),
    _text("CustomerCity", "n/a"),
    _text("CustomerRegion", "n/a"),
    _text("CustomerCountry", "n/a"),
    _text("DeviceType", "UNKNOWN"),
    _text("DeviceFamily", "UNKNOWN"),
    _text("Browser", "UNKNOWN"),
    _text("Os", "UNKNOWN"),
)

_OF_KIND: Mapping[Kind, tuple[Macro, ...]] = {
    Kind.JOB_COMPLETION: _JOB,
    Kind.CLICK: _CLICK,
    Kind.ACTION_LIFECYCLE: _ACTION,
    Kind.ACTION_CLEARING: _ACTION,
    Kind.ACTION_INQUIRY: _INQUIRY,
    Kind.TRACKING_VALUE_REQUEST: _TRACKING_VALUE,
    Kind.EVENT_TYPE: _ACTION,
}


def _of(kind: Kind) -> Mapping[str, Macro]:
    common = (
        _text("EventType", EVENTS[kind][0]),
        _MESSAGE_ID,
        _text("EventDate", "2026-03-01T12:00:00Z"),
    )
    return _mapping(*common, *_OF_KIND[kind])


#: What each kind offers, by name, in the order in which a body without template lists it.
MACROS: Mapping[Kind, Mapping[str, Macro]] = {kind: _of(kind) for kind in Kind}

#: What a digest of clicks says: the only thing that is sent in its place.
DIGEST: Mapping[str, Macro] = _mapping(
    _text("EventType", CLICK_DIGEST),
    _MESSAGE_ID,
    _number("Clicks", "4200"),
    _text("From", "2026-03-01T12:00:07Z"),
    _text("To", "2026-03-01T12:01:00Z"),
    _number("Limit", "50"),
    _text(
        "Message",
        "More than 50 clicks in one second: this digest takes the place of 4200 single calls.",
    ),
)


def samples(macros: Iterable[Macro]) -> dict[str, str]:
    """Return a value for each macro: what a test send fills in."""
    return {macro.name: macro.sample for macro in macros}


def nearest(name: str, macros: Mapping[str, Macro]) -> str:
    """Return the name that comes closest to one that is unknown."""
    lower = {known.lower(): known for known in macros}
    return lower[difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.0)[0]]
