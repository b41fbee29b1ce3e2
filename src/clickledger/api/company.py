"""``CompanyInformation``: whose credentials these are; clients ask it first to check them."""

from datetime import datetime
from http import HTTPStatus
from zoneinfo import ZoneInfo

from litestar import Response, get

from clickledger.api.handling import AccountRequest, call_of, home, respond, services
from clickledger.api.openapi import operation, operation_id
from clickledger.api.render import Resource
from clickledger.clock import to_datetime
from clickledger.programs.days import load_zone, offset_text


@get(
    "/CompanyInformation",
    sync_to_thread=False,  # touches nothing: the caller is known already
    operation_id=operation_id("getCompanyInformation"),
    summary="Check credentials",
    operation_class=operation(answers={HTTPStatus.OK: "The account."}),
)
def company_information(request: AccountRequest) -> Response[bytes]:
    """Return the account that the credentials stand for; what is not kept here is empty."""
    caller = request.user
    moment = to_datetime(services(request.app).now())
    return respond(
        call_of(request),
        Resource(
            "CompanyInformation",
            {
                "CompanyName": caller.name,
                "Website": None,
                "Timezone": zone_text(load_zone(caller.time_zone), moment),
                "Currency": None,
                "Uri": f"{home(caller)}/CompanyInformation",
            },
        ),
    )


def zone_text(zone: ZoneInfo, moment: datetime) -> str:
    """Write a zone as the wire does: ``(GMT -08:00) America/Los_Angeles``, standard time."""
    local = moment.astimezone(zone)
    offset, saving = local.utcoffset(), local.dst()
    assert offset is not None  # noqa: S101 - an aware datetime always has one
    standard = offset - saving if saving else offset
    return f"(GMT {offset_text(int(standard.total_seconds()))}) {zone.key}"
