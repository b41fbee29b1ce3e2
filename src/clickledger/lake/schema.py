"""Columns of the lake: what is stored for each click, and what an export shows of it."""

from dataclasses import dataclass

import pyarrow as pa

TIMESTAMP = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True, slots=True)
class ExportColumn:
    """One column of a click export."""

    #: Name on the wire.
    name: str
    #: Column of the lake it comes from.
    source: str


def _column(name: str, source: str) -> ExportColumn:
    return ExportColumn(name, source)


#: The 42 columns of a ClickExport, in the order of impact-api.md 2.5.
EXPORT_COLUMNS: tuple[ExportColumn, ...] = (
    _column("Id", "click_id"),
    _column("ProgramId", "program_id"),
    _column("ProgramName", "program_name"),
    _column("ProfileId", "profile_id"),
    _column("IpAddress", "ip_address"),
    _column("EventDate", "event_time"),
    _column("MediaId", "media_id"),
    _column("MediaName", "media_name"),
    _column("AdId", "ad_id"),
    _column("AdName", "ad_name"),
    _column("AdType", "ad_type"),
    _column("ProductSku", "product_sku"),
    _column("AdCampaign", "ad_campaign"),
    _column("AdGroup", "ad_group"),
    _column("Keyword", "keyword"),
    _column("MatchType", "match_type"),
    _column("Channel", "channel"),
    _column("CustomerArea", "customer_area"),
    _column("CustomerCity", "customer_city"),
    _column("CustomerRegion", "customer_region"),
    _column("CustomerCountry", "customer_country"),
    _column("DeviceType", "device_type"),
    _column("DeviceFamily", "device_family"),
    _column("Browser", "browser"),
    _column("Os", "os"),
    _column("ReferringUrl", "referring_url"),
    _column("ReferringDomain", "referring_domain"),
    _column("LandingPageUrl", "landing_page_url"),
    _column("SharedId", "shared_id"),
    _column("UniqueClick", "unique_click"),
    _column("CpcBid", "cpc_bid"),
    _column("DealName", "deal_name"),
    _column("DealType", "deal_type"),
    _column("DealScope", "deal_scope"),
    _column("SubId1", "sub_id1"),
    _column("SubId2", "sub_id2"),
    _column("SubId3", "sub_id3"),
    _column("Payout", "payout"),
    _column("TrafficCategory", "traffic_category"),
    _column("TrafficSource", "traffic_source"),
    _column("BidKeyword", "bid_keyword"),
    _column("SearchText", "search_text"),
)

#: Columns an export can add on request (``Columns=``); ours, never part of the 42.
EXTRA_COLUMNS: tuple[ExportColumn, ...] = (
    _column("RowKey", "row_key"),
    _column("Reasons", "reasons"),
    _column("ReceivedDate", "received_time"),
    _column("UserAgent", "user_agent"),
    _column("Param1", "param1"),
    _column("Param2", "param2"),
    _column("Param3", "param3"),
    _column("Param4", "param4"),
)

#: The table ``clicks``, partitioned by ``event_date`` (the UTC date of ``event_time``).
#: Text that a click did not bring is null, never an empty string.
CLICKS = pa.schema(
    [
        pa.field("event_date", pa.date32(), nullable=False),
        # The row key.
        pa.field("spool_id", pa.string(), nullable=False),
        pa.field("sequence", pa.int64(), nullable=False),
        pa.field("position", pa.int32(), nullable=False),
        pa.field("event_time", TIMESTAMP, nullable=False),
        pa.field("received_time", TIMESTAMP, nullable=False),
        # What the 42 columns come from.
        pa.field("click_id", pa.string(), nullable=False),
        pa.field("program_id", pa.int64(), nullable=False),
        pa.field("program_name", pa.string()),
        pa.field("profile_id", pa.string()),
        pa.field("ip_address", pa.string()),  # keyed hash, 32 hex characters
        pa.field("media_id", pa.int64(), nullable=False),
        pa.field("media_name", pa.string()),
        pa.field("ad_id", pa.int64(), nullable=False),
        pa.field("ad_name", pa.string()),
        pa.field("ad_type", pa.string()),
        pa.field("product_sku", pa.string()),
        pa.field("ad_campaign", pa.string()),
        pa.field("ad_group", pa.string()),
        pa.field("keyword", pa.string()),
        pa.field("match_type", pa.string()),
        pa.field("channel", pa.string()),
        pa.field("customer_area", pa.string()),
        pa.field("customer_city", pa.string()),
        pa.field("customer_region", pa.string()),
        pa.field("customer_country", pa.string()),
        pa.field("device_type", pa.string()),
        pa.field("device_family", pa.string()),
        pa.field("browser", pa.string()),
        pa.field("os", pa.string()),
        pa.field("referring_url", pa.string()),
        pa.field("referring_domain", pa.string()),
        pa.field("landing_page_url", pa.string()),
        pa.field("shared_id", pa.string()),
        pa.field("unique_click", pa.bool_()),  # null until the day is closed
        pa.field("cpc_bid", pa.decimal128(18, 6)),
        pa.field("deal_name", pa.string()),
        pa.field("deal_type", pa.string()),
        pa.field("deal_scope", pa.string()),
        pa.field("sub_id1", pa.string()),
        pa.field("sub_id2", pa.string()),
        pa.field("sub_id3", pa.string()),
        pa.field("payout", pa.decimal128(18, 6)),
        pa.field("traffic_category", pa.string()),
        pa.field("traffic_source", pa.string()),
        pa.field("bid_keyword", pa.string()),
        pa.field("search_text", pa.string()),
        # Beyond the wire.
        pa.field("param1", pa.string()),
        pa.field("param2", pa.string()),
        pa.field("param3", pa.string()),
        pa.field("param4", pa.string()),
        pa.field("profile_carried", pa.bool_(), nullable=False),
        pa.field("visitor", pa.binary()),  # keyed hash of address and user agent, 16 bytes
        pa.field("reasons", pa.list_(pa.string())),  # null: none
        # As received.
        pa.field("path", pa.binary()),
        pa.field("raw_query", pa.binary()),
        pa.field("user_agent", pa.binary()),
        pa.field("referrer", pa.binary()),
        pa.field("client_address", pa.string()),
        pa.field("sec_fetch_site", pa.binary()),
        pa.field("sec_fetch_mode", pa.binary()),
        pa.field("sec_fetch_dest", pa.binary()),
        pa.field("sec_fetch_user", pa.binary()),
        pa.field("gpc", pa.binary()),
        pa.field("accept_language", pa.binary()),
    ]
)

#: The table ``dead_letters``: clicks that could not be decoded or enriched, one a row, and
#: batches whose checksum failed, whole (``position`` -1).
DEAD_LETTERS = pa.schema(
    [
        pa.field("spool_id", pa.string(), nullable=False),
        pa.field("sequence", pa.int64(), nullable=False),
        pa.field("position", pa.int32(), nullable=False),
        pa.field("clicks", pa.int32(), nullable=False),  # 1, or what the batch's header says
        pa.field("received_time", TIMESTAMP),  # of the batch, when the click has none
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string()),
        pa.field("raw", pa.binary(), nullable=False),
        pa.field("recorded_time", TIMESTAMP, nullable=False),
    ]
)

#: Only these get minima and maxima in the table's log: no personal data is kept there.
STATISTICS_COLUMNS = (
    "event_time",
    "received_time",
    "program_id",
    "media_id",
    "ad_id",
    "sequence",
    "position",
)
