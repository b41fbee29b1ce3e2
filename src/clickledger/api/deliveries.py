"""The log of a notification: each event, each attempt to tell of it, and sending it once more."""

from datetime import datetime
from http import HTTPStatus
from zoneinfo import ZoneInfo

from litestar import Response, get, put
from litestar.openapi.spec import OpenAPIType
from litestar.params import FromPath

from clickledger.accounts.model import Account
from clickledger.api import paging
from clickledger.api.handling import AccountRequest, Services, call_of, respond, services, zoned
from clickledger.api.notifications import header_fields, notification_path
from clickledger.api.openapi import PAGE, Query, operation, operation_id
from clickledger.api.render import Answer, Fields, Listing, Members, Resource
from clickledger.api.requests import Reader, parse_id
from clickledger.errors import NotFoundError
from clickledger.postbacks.model import Attempt, Delivery, Fate
from clickledger.programs.days import load_zone

_FATES = {fate.value: fate.value for fate in Fate}
_START = Query(
    name="StartDate",
    description="A date, or a date and time: events then or later. Without an offset it is meant "
    "in the account's time zone.",
)
_END = Query(
    name="EndDate",
    description="A date: events on that day or earlier; a date and time: before it.",
)
_NO_NOTIFICATION = {HTTPStatus.NOT_FOUND: "The account has no such notification."}
_NO_DELIVERY = {HTTPStatus.NOT_FOUND: "The notification has no such delivery."}
_BAD = {HTTPStatus.BAD_REQUEST: "A parameter is wrong; Errors names each."}


@get(
    "/EventNotifications/{notification_id:str}/Deliveries",
    sync_to_thread=True,
    operation_id=operation_id("listDeliveries"),
    summary="List the deliveries of a notification, newest first",
    operation_class=operation(
        Query(name="Status", choices=tuple(_FATES), description="Only these. Default all."),
        _START,
        _END,
        *PAGE,
        answers={HTTPStatus.OK: "One page of deliveries.", **_BAD, **_NO_NOTIFICATION},
    ),
)
def list_deliveries(request: AccountRequest, notification_id: FromPath[str]) -> Response[bytes]:
    """List what was told, is waiting to be told, or could not be."""
    work, call, caller = services(request.app), call_of(request), request.user
    reader = Reader(call.parameters)
    page = paging.read_page(reader)
    status = reader.choice("Status", _FATES)
    since, until = _range(reader, caller)
    reader.finish()
    notification = work.notifications.get(caller.sid, notification_id)
    found, total = work.deliveries.list(
        caller.sid,
        notification_id=notification.id,
        fate=None if status is None else Fate(status),
        since=since,
        until=until,
        page=page.number,
        page_size=page.size,
    )
    filters = [
        (name, text)
        for name in ("Status", _START.name, _END.name)
        if (text := call.parameters.first(name)) is not None
    ]
    path = f"{notification_path(caller, notification.id)}/Deliveries"
    return respond(
        call,
        Listing(
            "Deliveries",
            "Delivery",
            [fields(one, caller) for one in found],
            paging.attributes(path, filters, page, total),
        ),
    )


@get(
    "/EventNotifications/{notification_id:str}/Deliveries/{delivery_id:str}",
    sync_to_thread=True,
    operation_id=operation_id("getDelivery"),
    summary="Look at a delivery and its attempts",
    operation_class=operation(
        answers={
            HTTPStatus.OK: "The delivery: Id, MessageId, Kind, Event, ProgramId, PartnerId, "
            "EventDate, Status, NextAttemptDate, FinishedDate, AttemptCount, Uri, ReplayUri; and "
            "of each of its Attempts: Number, StartedDate, DurationMs, Outcome, Request, Response.",
            **_NO_DELIVERY,
        }
    ),
)
def get_delivery(
    request: AccountRequest, notification_id: FromPath[str], delivery_id: FromPath[str]
) -> Response[bytes]:
    """Return one delivery with every attempt: request, answer, timing and what came of it.

    Secrets are masked. Of an answer the head and the first bytes of the body are kept.
    """
    work, caller = services(request.app), request.user
    found = _find(work, caller, notification_id, delivery_id)
    zone = load_zone(caller.time_zone)
    attempts = [_attempt_fields(one, zone) for one in work.deliveries.attempts(found.id)]
    shown = {**fields(found, caller), "Attempts": Members("Attempt", attempts)}
    return respond(call_of(request), Resource("Delivery", shown))


@put(
    "/EventNotifications/{notification_id:str}/Deliveries/{delivery_id:str}/Replay",
    sync_to_thread=True,
    operation_id=operation_id("replayDelivery"),
    summary="Send a finished delivery once more",
    operation_class=operation(
        answers={
            HTTPStatus.OK: "Status and QueuedUri.",
            HTTPStatus.CONFLICT: "It waits to be sent already, or the notification is disabled.",
            **_NO_DELIVERY,
        }
    ),
)
def replay_delivery(
    request: AccountRequest, notification_id: FromPath[str], delivery_id: FromPath[str]
) -> Response[bytes]:
    """Queue a delivery again, due now, with the same message id and a schedule of its own."""
    work, caller = services(request.app), request.user
    found = _find(work, caller, notification_id, delivery_id)
    replayed = work.deliveries.replay(caller.sid, found.id)
    return respond(
        call_of(request), Answer({"Status": "QUEUED", "QueuedUri": _path(replayed, caller)})
    )


@put(
    "/EventNotifications/{notification_id:str}/Replay",
    sync_to_thread=True,
    operation_id=operation_id("replayDeliveries"),
    summary="Send the deliveries of a time once more",
    operation_class=operation(
        body=(
            Query(name=_START.name, description=f"Must be given. {_START.description}"),
            Query(name=_END.name, description=f"{_END.description} Default now."),
            Query(
                name="FailedOnly",
                type=OpenAPIType.BOOLEAN,
                description="true: only what never arrived (FAILED and SKIPPED). Default false.",
            ),
        ),
        answers={
            HTTPStatus.OK: "Status, Replayed (how many) and QueuedUri.",
            HTTPStatus.CONFLICT: "The notification is disabled.",
            **_BAD,
            **_NO_NOTIFICATION,
        },
    ),
)
def replay_deliveries(request: AccountRequest, notification_id: FromPath[str]) -> Response[bytes]:
    """Queue every finished delivery of a time again, oldest first."""
    work, call, caller = services(request.app), call_of(request), request.user
    reader = Reader(call.parameters)
    since, until = _range(reader, caller)
    if not reader.text(_START.name):
        reader.refuse(_START.name, "must be given: the day or the moment to begin with")
    failed_only = reader.flag("FailedOnly") or False
    reader.finish()
    notification = work.notifications.get(caller.sid, notification_id)
    replayed = work.deliveries.replay_range(
        caller.sid,
        notification_id=notification.id,
        since=since,
        until=until,
        failed_only=failed_only,
    )
    uri = f"{notification_path(caller, notification.id)}/Deliveries"
    return respond(call, Answer({"Status": "QUEUED", "Replayed": replayed, "QueuedUri": uri}))


def fields(delivery: Delivery, caller: Account) -> Fields:
    """Return the fields of a delivery, but for its attempts."""
    zone = load_zone(caller.time_zone)
    path = _path(delivery, caller)
    return {
        "Id": delivery.id,
        "MessageId": delivery.message_id,
        "Kind": delivery.kind.value,
        "Event": delivery.event,
        "ProgramId": delivery.program_id,
        "PartnerId": delivery.partner_id,
        "EventDate": zoned(delivery.event_at, zone),
        "Status": delivery.fate.value,
        "NextAttemptDate": zoned(delivery.next_at, zone),
        "FinishedDate": zoned(delivery.finished_at, zone),
        "AttemptCount": delivery.attempts,
        "Uri": path,
        "ReplayUri": f"{path}/Replay",
    }


def _attempt_fields(attempt: Attempt, zone: ZoneInfo) -> Fields:
    answer: Fields = {
        "Status": attempt.status,
        "Headers": header_fields(attempt.response_headers),
        "Body": attempt.response_body,
    }
    return {
        "Number": attempt.number,
        "StartedDate": zoned(attempt.started_at, zone),
        "DurationMs": attempt.duration_ms,
        "Outcome": attempt.outcome,
        "Request": {
            "Method": attempt.method.value,
            "Url": attempt.url,
            "Headers": header_fields(attempt.request_headers),
            "Body": attempt.request_body,
        },
        "Response": answer if attempt.status is not None else None,
    }


def _find(work: Services, caller: Account, notification_id: str, delivery_id: str) -> Delivery:
    """Return a delivery of a notification of the caller's.

    Raises:
        NotFoundError: there is none, or it is another notification's or another account's.
    """
    notification = work.notifications.get(caller.sid, notification_id)
    number = parse_id(delivery_id)
    found = None if number is None else work.deliveries.get(caller.sid, number)
    if found is None or found.notification_id != notification.id:
        raise NotFoundError("There is no such delivery of this notification.")
    return found


def _range(reader: Reader, caller: Account) -> tuple[datetime | None, datetime | None]:
    zone = load_zone(caller.time_zone)
    return (
        reader.moment(_START.name, zone, end_of_day=False),
        reader.moment(_END.name, zone, end_of_day=True),
    )


def _path(delivery: Delivery, caller: Account) -> str:
    return f"{notification_path(caller, delivery.notification_id)}/Deliveries/{delivery.id}"
