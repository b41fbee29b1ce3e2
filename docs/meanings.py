"""What each stored column means; the generated pages fail on a column that is missing here."""

from collections.abc import Mapping

#: By column of the table ``clicks``, and by derived source of an export column.
CLICKS: Mapping[str, str] = {
    "event_date": "UTC date of `event_time`; the partition.",
    "spool_id": "Row key, part 1: the spool that took the click.",
    "sequence": "Row key, part 2: the batch within the spool.",
    "position": "Row key, part 3: the click within the batch, from 0.",
    "event_time": (
        "When the click happened. UTC microseconds in the lake; in a file whole seconds with the "
        "offset of the program's zone."
    ),
    "received_time": "When the collector received it; today always the event time.",
    "click_id": "Names the journey; the landing page gets the same. 32 characters, case-sensitive.",
    "program_id": "Program whose link was followed.",
    "program_name": "Its name when the click was loaded.",
    "profile_id": "The visitor's profile on this device: a UUID, from the cookie or newly set.",
    "ip_address": "Keyed hash of the client address, 32 hex characters; never the address itself.",
    "media_id": "Partner whose link was followed.",
    "media_name": "Their name when the click was loaded.",
    "ad_id": "Ad that the link belongs to.",
    "ad_name": "Its name when the click was loaded.",
    "ad_type": "Its type, such as `BANNER` or `ONLINE_TRACKING_LINK`.",
    "product_sku": "From `prodsku` on the link.",
    "ad_campaign": "From `adcampaign` on the link.",
    "ad_group": "From `adgroup` on the link.",
    "keyword": "From `keyword` on the link.",
    "match_type": "From `matchtype` on the link.",
    "channel": "From `channel` on the link.",
    "customer_area": "Area of the visitor; `n/a` while places are not looked up.",
    "customer_city": "City of the visitor; `n/a` while places are not looked up.",
    "customer_region": "Region of the visitor; `n/a` while places are not looked up.",
    "customer_country": "Country of the visitor; `n/a` while places are not looked up.",
    "device_type": "Kind of device; `UNKNOWN` while devices are not recognised.",
    "device_family": "Family of device; `UNKNOWN` while devices are not recognised.",
    "browser": "Browser; `UNKNOWN` while devices are not recognised.",
    "os": "Operating system; `UNKNOWN` while devices are not recognised.",
    "referring_url": "The page the visitor came from, as far as the browser tells.",
    "referring_domain": "Its host; `NA` when there is none.",
    "landing_page_url": "Where the visitor was sent, click id included.",
    "shared_id": "From `sharedid` on the link: the partner's, visible to both sides.",
    "unique_click": (
        "Whether the click repeats no earlier one of the same visitor and program within 30 "
        "minutes. Computed for an open day, stored when the day is closed."
    ),
    "cpc_bid": "Kept for the wire; `0.0` in a file until costs per click exist.",
    "deal_name": "Kept for the wire; empty until deals exist.",
    "deal_type": "Kept for the wire; empty until deals exist.",
    "deal_scope": "Kept for the wire; empty until deals exist.",
    "sub_id1": "From `subId1` on the link; empty in a file when the program hides it.",
    "sub_id2": "From `subId2` on the link; empty in a file when the program hides it.",
    "sub_id3": "From `subId3` on the link; empty in a file when the program hides it.",
    "payout": "Kept for the wire; `0.0` in a file until payouts exist.",
    "traffic_category": "From `trafcat` on the link.",
    "traffic_source": "From `trafsrc` on the link.",
    "bid_keyword": "From `bidkw` on the link.",
    "search_text": "From `searchtxt` on the link.",
    "param1": "From `param1` on the link.",
    "param2": "From `param2` on the link.",
    "param3": "From `param3` on the link.",
    "param4": "From `param4` on the link.",
    "profile_carried": "Whether the request carried the profile in its cookie.",
    "visitor": "Keyed hash of client address and user agent, 16 bytes.",
    "reasons": "What was found about the click, such as `bad_deeplink`; nothing found is null.",
    "path": "Path as received.",
    "raw_query": "Query as received, percent-encoded, without the `?`.",
    "user_agent": "User-Agent header as received.",
    "referrer": "Referer header as received.",
    "client_address": "Client address: the peer's, or what a trusted proxy said. Personal data.",
    "sec_fetch_site": "Sec-Fetch-Site header as received.",
    "sec_fetch_mode": "Sec-Fetch-Mode header as received.",
    "sec_fetch_dest": "Sec-Fetch-Dest header as received.",
    "sec_fetch_user": "Sec-Fetch-User header as received.",
    "gpc": "Sec-GPC header as received.",
    "accept_language": "Accept-Language header as received.",
    "row_key": "The row key as one text; two rows never share it, a click id may.",
}

#: Types of export columns that the table does not hold as such.
DERIVED_TYPES: Mapping[str, str] = {"row_key": "text"}

#: By column of the table ``dead_letters``.
DEAD_LETTERS: Mapping[str, str] = {
    "spool_id": "Row key, part 1.",
    "sequence": "Row key, part 2.",
    "position": "Row key, part 3; -1 for a whole batch whose checksum failed.",
    "clicks": "1, or what the header of a whole batch says.",
    "received_time": "When it was received; of the batch when the click itself cannot tell.",
    "reason": "Why it could not be loaded, from a closed set.",
    "detail": "The same in words.",
    "raw": "The bytes as they lay in the spool.",
    "recorded_time": "When it was set aside.",
}

#: Why something is a dead letter; ``step_<name>`` comes from the names of the steps.
DEAD_LETTER_REASONS: Mapping[str, str] = {
    "bad_checksum": "The batch is not what was written.",
    "bad_header": "The header of the batch is not what was written.",
    "unreadable": "The segment, or a part of it, cannot be read.",
    "missing": "The batch was acknowledged and is not there.",
    "undecodable": "The bytes of the click are not those of a click.",
    "bad_time": "The received time is not between 1970 and 9999.",
    "bad_id": "An id is no id.",
    "bad_click_id": "The click id is empty or too long.",
}
