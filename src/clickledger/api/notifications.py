"""``EventNotifications``: what an account asks to be told, whom to call, and trying it out.

Ours: the wire has postbacks (impact-api 4), and no resource to set them up. Answers to writes
follow it all the same: ``Status`` and ``Uri``. A signing secret is shown by the answer that
makes it, and by no other.
"""

from datetime import timedelta
from functools import partial
from http import HTTPStatus

from anyio import to_thread
from litestar import Response, delete, get, post, put
from litestar.params import FromPath

from clickledger.accounts.model import Account
from clickledger.api import drafts, paging
from clickledger.api.handling import AccountRequest, call_of, home, respond, services, zoned
from clickledger.api.openapi import PAGE, operation, operation_id
from clickledger.api.render import Answer, Fields, Listing, Members, Resource
from clickledger.api.requests import Reader
from clickledger.clock import to_datetime
from clickledger.errors import ConflictError
from clickledger.postbacks import masking, schedule
from clickledger.postbacks.model import Draft, Notification, Outcome
from clickledger.postbacks.trial import Trial
from clickledger.programs.days import load_zone

_BAD = {HTTPStatus.BAD_REQUEST: "A field is wrong; Errors names each."}
_NOT_FOUND = {HTTPStatus.NOT_FOUND: "The account has no such notification."}
#: Statuses of an endpoint that has taken what it was sent.
_ACKNOWLEDGED = range(200, 300)
#: How often a change is made again of what another request has made meanwhile.
_CHANGE_TRIES = 5
_DONE = {HTTPStatus.OK: "Status and Uri."}


@get(
    "/EventNotifications",
    sync_to_thread=True,
    operation_id=operation_id("listEventNotifications"),
    summary="List notifications, oldest first",
    operation_class=operation(
        *PAGE,
        answers={
            HTTPStatus.OK: "One page of notifications.",
            HTTPStatus.BAD_REQUEST: "A parameter is wrong; Errors names each.",
        },
    ),
)
def list_notifications(request: AccountRequest) -> Response[bytes]:
    """List the account's notifications; secrets are not shown, and masked where they stand."""
    work, call, caller = services(request.app), call_of(request), request.user
    reader = Reader(call.parameters)
    page = paging.read_page(reader)
    reader.finish()
    found, total = work.notifications.list(caller.sid, page.number, page.size)
    return respond(
        call,
        Listing(
            "EventNotifications",
            "EventNotification",
            [fields(one, caller) for one in found],
            paging.attributes(f"{home(caller)}/EventNotifications", [], page, total),
        ),
    )


@post(
    "/EventNotifications",
    operation_id=operation_id("createEventNotification"),
    summary="Set up a notification",
    operation_class=operation(
        body=(*drafts.FIELDS, drafts.SECRET),
        answers={HTTPStatus.CREATED: "Status, Uri, Id, and Secret this once.", **_BAD},
    ),
)
async def create_notification(request: AccountRequest) -> Response[bytes]:
    """Set up a notification, switched on.

    The address is looked up: it must be public, and its port one that may be called.
    """
    work, call, caller = services(request.app), call_of(request), request.user
    said = drafts.read(call.parameters)
    secret = call.parameters.first(drafts.SECRET.name)
    create = partial(work.notifications.create, caller.sid, said.draft, secret, known=said.errors)
    made = await to_thread.run_sync(create, limiter=work.look_ups)
    uri = notification_path(caller, made.id)
    return respond(
        call,
        Answer({"Status": "OK", "Uri": uri, "Id": made.id, "Secret": made.secrets[0]}),
        HTTPStatus.CREATED,
        {"Location": uri},
    )


@get(
    "/EventNotifications/{notification_id:str}",
    sync_to_thread=True,
    operation_id=operation_id("getEventNotification"),
    summary="Look at a notification",
    operation_class=operation(
        answers={
            HTTPStatus.OK: "The notification: Id, what it was set up with, Enabled, DisabledDate, "
            "DisabledReason, FailingSince, ClicksSince, CreatedDate, ChangedDate, Uri, "
            "DeliveriesUri.",
            **_NOT_FOUND,
        }
    ),
)
def get_notification(request: AccountRequest, notification_id: FromPath[str]) -> Response[bytes]:
    """Return a notification; secrets are not shown, and masked where they stand."""
    work, caller = services(request.app), request.user
    found = work.notifications.get(caller.sid, notification_id)
    return respond(call_of(request), Resource("EventNotification", fields(found, caller)))


@put(
    "/EventNotifications/{notification_id:str}",
    operation_id=operation_id("changeEventNotification"),
    summary="Change a notification",
    operation_class=operation(
        body=drafts.FIELDS,
        answers={
            **_DONE,
            HTTPStatus.CONFLICT: "Others keep changing it at the same time; try again.",
            **_BAD,
            **_NOT_FOUND,
        },
    ),
)
async def change_notification(
    request: AccountRequest, notification_id: FromPath[str]
) -> Response[bytes]:
    """Change what is named; what is named and empty goes back to its default.

    What waits to be sent is sent as the notification then says.
    """
    work, call, caller = services(request.app), call_of(request), request.user

    def change() -> Notification:
        present = work.notifications.get(caller.sid, notification_id).draft
        said = drafts.read(call.parameters, present)
        return work.notifications.change(
            caller.sid, notification_id, said.draft, made_of=present, known=said.errors
        )

    left = _CHANGE_TRIES
    while True:
        left -= 1
        try:
            return _done(request, await to_thread.run_sync(change, limiter=work.look_ups))
        except ConflictError:  # another request changed it meanwhile: what that one said stays
            if not left:
                raise


@delete(
    "/EventNotifications/{notification_id:str}",
    sync_to_thread=True,
    status_code=HTTPStatus.OK,
    operation_id=operation_id("removeEventNotification"),
    summary="Remove a notification",
    operation_class=operation(answers={HTTPStatus.OK: "Status: DELETED.", **_NOT_FOUND}),
)
def remove_notification(request: AccountRequest, notification_id: FromPath[str]) -> Response[bytes]:
    """Remove a notification; what waits for it is not sent."""
    services(request.app).notifications.remove(request.user.sid, notification_id)
    return respond(call_of(request), Answer({"Status": "DELETED"}))


@put(
    "/EventNotifications/{notification_id:str}/Enable",
    sync_to_thread=True,
    operation_id=operation_id("enableEventNotification"),
    summary="Switch a notification on",
    operation_class=operation(answers={**_DONE, **_NOT_FOUND}),
)
def enable_notification(request: AccountRequest, notification_id: FromPath[str]) -> Response[bytes]:
    """Switch a notification on; what was skipped while it was off can be replayed."""
    store = services(request.app).notifications
    return _done(request, store.enable(request.user.sid, notification_id))


@put(
    "/EventNotifications/{notification_id:str}/Disable",
    sync_to_thread=True,
    operation_id=operation_id("disableEventNotification"),
    summary="Switch a notification off",
    operation_class=operation(answers={**_DONE, **_NOT_FOUND}),
)
def disable_notification(
    request: AccountRequest, notification_id: FromPath[str]
) -> Response[bytes]:
    """Switch a notification off; its events are skipped until it is on again."""
    store = services(request.app).notifications
    return _done(request, store.disable(request.user.sid, notification_id))


@put(
    "/EventNotifications/{notification_id:str}/RotateSecret",
    sync_to_thread=True,
    operation_id=operation_id("rotateEventNotificationSecret"),
    summary="Give a notification another secret",
    operation_class=operation(
        body=(drafts.SECRET,),
        answers={
            HTTPStatus.OK: "Status, Uri, Secret this once, and EarlierSecretUntil.",
            HTTPStatus.BAD_REQUEST: "The secret is none, or is the present one.",
            **_NOT_FOUND,
        },
    ),
)
def rotate_secret(request: AccountRequest, notification_id: FromPath[str]) -> Response[bytes]:
    """Give a notification another secret; until EarlierSecretUntil the earlier one signs too."""
    work, call, caller = services(request.app), call_of(request), request.user
    secret = call.parameters.first(drafts.SECRET.name)
    rotated = work.notifications.rotate_secret(caller.sid, notification_id, secret)
    until = to_datetime(work.now()) + timedelta(seconds=work.settings.postback_secret_overlap_s)
    return respond(
        call,
        Answer(
            {
                "Status": "OK",
                "Uri": notification_path(caller, rotated.id),
                "Secret": rotated.secrets[0],
                "EarlierSecretUntil": zoned(until, load_zone(caller.time_zone)),
            }
        ),
    )


@post(
    "/EventNotifications/{notification_id:str}/Test",
    status_code=HTTPStatus.OK,
    operation_id=operation_id("testEventNotification"),
    summary="Call the endpoint of a notification now",
    operation_class=operation(
        answers={
            HTTPStatus.OK: "Request as it was sent, Response if there was one, DurationMs, "
            "Outcome in a sentence, and Acknowledged: whether the answer was a 2xx.",
            HTTPStatus.TOO_MANY_REQUESTS: "Another test of the account is under way, or too many "
            "of others.",
            **_NOT_FOUND,
        }
    ),
)
async def test_notification(
    request: AccountRequest, notification_id: FromPath[str]
) -> Response[bytes]:
    """Call the endpoint once, with a sample in the place of every macro.

    It is signed and limited as every call is, enters no log and changes nothing; a notification
    that is off can be tested too.
    """
    work, call, caller = services(request.app), call_of(request), request.user
    found = await to_thread.run_sync(work.notifications.get, caller.sid, notification_id)
    tried = await work.trials.send(found)
    return respond(call, Resource("Test", _test_fields(tried, found.draft)))


def fields(notification: Notification, caller: Account) -> Fields:
    """Return the fields of a notification as its owner sees it."""
    zone, draft = load_zone(caller.time_zone), masking.masked(notification.draft)
    path = notification_path(caller, notification.id)
    return {
        "Id": notification.id,
        "Name": draft.name,
        "Kind": draft.kind.value,
        "Url": draft.url,
        "Method": draft.method.value,
        "Body": draft.body,
        "BodyFormat": draft.body_format.value,
        "Events": Members("Event", list(draft.events)),
        "ProgramIds": Members("ProgramId", list(draft.program_ids)),
        "PartnerIds": Members("PartnerId", list(draft.partner_ids)),
        "ActionTrackerIds": Members("ActionTrackerId", list(draft.action_tracker_ids)),
        "MinimumDelay": draft.minimum_delay_s,
        "Headers": Members("Header", [f"{name}: {value}" for name, value in draft.headers.items()]),
        "ClickLimit": draft.click_limit,
        "Enabled": notification.disabled_at is None,
        "DisabledDate": zoned(notification.disabled_at, zone),
        "DisabledReason": notification.disabled_reason,
        "FailingSince": zoned(notification.failing_since, zone),
        "ClicksSince": zoned(notification.clicks_since, zone),
        "CreatedDate": zoned(notification.created_at, zone),
        "ChangedDate": zoned(notification.changed_at, zone),
        "Uri": path,
        "DeliveriesUri": f"{path}/Deliveries",
    }


def header_fields(headers: tuple[tuple[str, str], ...]) -> Members:
    """Return the head of a request or an answer."""
    return Members("Header", [{"Name": name, "Value": value} for name, value in headers])


def notification_path(caller: Account, notification_id: str) -> str:
    """Return the path of a notification, without a host."""
    return f"{home(caller)}/EventNotifications/{notification_id}"


def _done(request: AccountRequest, notification: Notification) -> Response[bytes]:
    uri = notification_path(request.user, notification.id)
    return respond(call_of(request), Answer({"Status": "OK", "Uri": uri}))


def _test_fields(tried: Trial, draft: Draft) -> Fields:
    """Return a test send as its owner sees it."""
    request, outcome = tried.request, tried.outcome
    answer: Fields = {
        "Status": outcome.status,
        "Headers": header_fields(masking.response_headers(outcome.headers, draft)),
        "Body": masking.text(outcome.body.decode("utf-8", "replace"), draft),
    }
    return {
        "Acknowledged": outcome.status in _ACKNOWLEDGED,
        "Outcome": _sentence(outcome),
        "DurationMs": outcome.duration_ms,
        "Request": {
            "Method": request.method.value,
            "Url": masking.url(request.url, draft.url),
            "Headers": header_fields(masking.sample_headers(request.headers, draft)),
            "Body": masking.text(request.body.decode(), draft),
        },
        "Response": answer if outcome.status is not None else None,
    }


def _sentence(outcome: Outcome) -> str:
    """Say what came of a test; the whole answer is shown besides."""
    text = schedule.failure(outcome)
    if outcome.status is not None and outcome.problem:
        text += f"; {outcome.problem}"
    return f"{text[:1].upper()}{text[1:]}."
