"""One click by its id (impact-api 2.1 to 2.3)."""

import re
from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from zoneinfo import ZoneInfo

from anyio import to_thread
from litestar import Response, get
from litestar.params import FromPath

from clickledger.api.handling import AccountRequest, call_of, respond, services, zoned
from clickledger.api.openapi import operation
from clickledger.api.render import Fields, Resource, Value
from clickledger.api.requests import require_id
from clickledger.errors import NotFoundError
from clickledger.programs.days import load_zone
from clickledger.programs.model import Program

#: Fields of a click in the order of impact-api 2.2, and the column of the lake each comes from.
_FIELDS: Mapping[str, str] = {
    "Id": "click_id",
    "CampaignId": "program_id",
    "CampaignName": "program_name",
    "ProfileId": "profile_id",
    "IpAddress": "ip_address",
    "EventDate": "event_time",
    "MediaId": "media_id",
    "MediaName": "media_name",
    "AdId": "ad_id",
    "AdName": "ad_name",
    "AdType": "ad_type",
    "ProductSku": "product_sku",
    "AdCampaign": "ad_campaign",
    "AdGroup": "ad_group",
    "Keyword": "keyword",
    "MatchType": "match_type",
    "Channel": "channel",
    "CustomerArea": "customer_area",
    "CustomerCity": "customer_city",
    "CustomerRegion": "customer_region",
    "CustomerCountry": "customer_country",
    "DeviceType": "device_type",
    "DeviceFamily": "device_family",
    "Browser": "browser",
    "Os": "os",
    "ReferringUrl": "referring_url",
    "ReferringDomain": "referring_domain",
    "LandingPageUrl": "landing_page_url",
    "SharedId": "shared_id",
    "UniqueClick": "unique_click",
    "CpcBid": "cpc_bid",
    "DealName": "deal_name",
    "DealType": "deal_type",
    "DealScope": "deal_scope",
    "SubId1": "sub_id1",
    "SubId2": "sub_id2",
    "SubId3": "sub_id3",
    "Payout": "payout",
    "TrafficCategory": "traffic_category",
    "TrafficSource": "traffic_source",
    "BidKeyword": "bid_keyword",
    "SearchText": "search_text",
}
_SUB_IDS = ("SubId1", "SubId2", "SubId3")
#: The documentation groups these; clients in the field read them flat. Both are served.
_GROUPS: Mapping[str, tuple[str, ...]] = {
    "BrandRelated": ("AdCampaign", "AdGroup", "Keyword", "MatchType", "Channel"),
    "PartnerRelated": _SUB_IDS,
}
#: Exports show names (``Chrome Mobile``), this resource enums (``CHROME_MOBILE``).
_ENUMS = frozenset({"DeviceType", "DeviceFamily", "Browser", "Os"})
_MONEY = frozenset({"CpcBid", "Payout"})
_NO_ENUM = re.compile(r"[^A-Za-z0-9]+")


@get(
    "/Campaigns/{campaign_id:str}/Clicks/{click_id:str}",
    operation_id="getClick",
    summary="Look at a click",
    operation_class=operation(
        answers={
            HTTPStatus.OK: "The first click of the journey that the id names.",
            HTTPStatus.NOT_FOUND: "The program has no such click, or it is not loaded yet.",
        }
    ),
)
async def get_click(
    request: AccountRequest, campaign_id: FromPath[str], click_id: FromPath[str]
) -> Response[bytes]:
    """Return one click.

    An id that was not made for this program is recognised by its check and costs no search.
    Searches take turns, apart from all other requests: each reads the lake.
    """
    work, call = services(request.app), call_of(request)
    number = require_id("CampaignId", campaign_id)
    program = await to_thread.run_sync(work.programs.get_program, request.user.sid, number)
    if not work.click_ids.genuine(click_id, program.id):
        raise NotFoundError("There is no such click in this program.")
    row = await to_thread.run_sync(
        work.clicks.find_click, program.id, click_id, limiter=work.searches
    )
    if row is None:
        raise NotFoundError("There is no such click in this program, or it is not loaded yet.")
    return respond(call, Resource("Click", fields(row, program)))


def fields(row: Mapping[str, object], program: Program) -> Fields:
    """Return the fields of a click; ``row`` has the columns of the lake."""
    zone = load_zone(program.time_zone)
    flat = {name: _shown(name, row[column], zone) for name, column in _FIELDS.items()}
    if program.hide_sub_ids:
        flat.update(dict.fromkeys(_SUB_IDS))
    grouped = {group: {name: flat[name] for name in names} for group, names in _GROUPS.items()}
    return {**flat, **grouped}


def _shown(name: str, value: object, zone: ZoneInfo) -> Value:
    """Show a value as exports do, but for the enums; an absent price is ``0.0`` there too."""
    match value:
        case None:
            return "0.0" if name in _MONEY else None
        case bool() | int():
            return value
        case datetime():
            return zoned(value, zone)
        case _:
            text = str(value)
            return _NO_ENUM.sub("_", text).upper() if name in _ENUMS else text
