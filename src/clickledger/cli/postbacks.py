"""``clickledger postbacks``: what was sent, what came of it, and sending it again."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated

import msgspec
import typer

from clickledger.cli import output
from clickledger.cli.control import open_control
from clickledger.cli.options import AsJson, Data
from clickledger.clock import SteadyClock
from clickledger.errors import InvalidInputError
from clickledger.postbacks.log import Deliveries
from clickledger.postbacks.model import Attempt, Delivery, Fate

app = typer.Typer(no_args_is_help=True, help="Postbacks: the log of deliveries, and replays.")

_Account = Annotated[
    str | None, typer.Option("--account", metavar="SID", help="Only deliveries of this account.")
]
_NotificationId = Annotated[
    str | None,
    typer.Option("--notification", metavar="ID", help="Only deliveries of this notification."),
]
_From = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="TIME",
        help="Only events at or after this: a date, or a date and time; UTC if it names no zone.",
    ),
]
_To = Annotated[
    str | None,
    typer.Option(
        "--to", metavar="TIME", help="Only events before this; a date alone includes its day."
    ),
]
_Failed = Annotated[
    bool, typer.Option("--failed", help="Only what never arrived: given up, or skipped.")
]


@app.command("list")
def list_(
    *,
    data: Data,
    since: _From = None,
    until: _To = None,
    failed: _Failed = False,
    fate: Annotated[
        Fate | None, typer.Option("--fate", help="Only deliveries that this has become of.")
    ] = None,
    notification: _NotificationId = None,
    account: _Account = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Show at most so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List deliveries, newest first."""
    with open_control(data) as control:
        deliveries, total = Deliveries(control.engine, SteadyClock()).list(
            account,
            notification_id=notification,
            fate=fate,
            failed_only=failed,
            since=_start(since),
            until=_end(until),
            page_size=limit,
        )
    if as_json:
        output.print_json(deliveries)
        return
    output.print_table(
        ("Id", "Event", "Of", "Notification", "Fate", "Attempts", "Next attempt", "Finished"),
        (
            (
                one.id,
                one.event,
                output.instant(one.event_at),
                one.notification_id,
                one.fate.value,
                one.attempts,
                output.instant(one.next_at),
                output.instant(one.finished_at),
            )
            for one in deliveries
        ),
    )
    if total > len(deliveries):
        output.print_note(f"{len(deliveries)} of {total}; --limit shows more.")


@app.command()
def show(
    data: Data,
    delivery_id: Annotated[int, typer.Argument(metavar="ID", help="As `list` shows it.")],
    as_json: AsJson = False,
) -> None:
    """Show one delivery and each of its attempts: the request, secrets masked, and the answer."""
    with open_control(data) as control:
        log = Deliveries(control.engine, SteadyClock())
        delivery, attempts = log.get(None, delivery_id), log.attempts(delivery_id)
    if as_json:
        output.print_json({**msgspec.to_builtins(delivery), "log": attempts})
        return
    _print(delivery)
    for attempt in attempts:
        _print_attempt(attempt)


@app.command()
def replay(
    *,
    data: Data,
    delivery_id: Annotated[
        int | None, typer.Argument(metavar="ID", help="One delivery; or name a range by options.")
    ] = None,
    since: _From = None,
    until: _To = None,
    failed: _Failed = False,
    notification: _NotificationId = None,
    account: _Account = None,
    as_json: AsJson = False,
) -> None:
    """Send finished deliveries again: one, or those of a range; message ids stay the same."""
    ranged = failed or any(one is not None for one in (since, until, notification, account))
    if ranged == (delivery_id is not None):
        raise InvalidInputError(
            "name either a delivery, or a range by --from, --to, --failed, --notification or "
            "--account"
        )
    with open_control(data) as control:
        log = Deliveries(control.engine, SteadyClock())
        if delivery_id is not None:
            delivery = log.replay(None, delivery_id)
            if as_json:
                output.print_json(delivery)
            else:
                _print(delivery)
            return
        with output.progress("Replaying") as on_progress:
            count = log.replay_range(
                account,
                notification_id=notification,
                since=_start(since),
                until=_end(until),
                failed_only=failed,
                on_progress=on_progress,
            )
    if as_json:
        output.print_json({"replayed": count})
    else:
        output.print_note(f"{count} deliveries are queued again.")


def _print(delivery: Delivery) -> None:
    partner = delivery.partner_id
    output.print_fields(
        (
            ("Id", delivery.id),
            ("Message id", delivery.message_id),
            ("Notification", delivery.notification_id),
            ("Account", delivery.account_sid),
            ("Event", f"{delivery.kind.value} {delivery.event}"),
            ("Of", output.instant(delivery.event_at)),
            ("Program", delivery.program_id),
            *((("Partner", partner),) if partner is not None else ()),
            ("Fate", delivery.fate.value),
            ("Attempts", delivery.attempts),
            ("Next attempt", output.instant(delivery.next_at)),
            ("Finished", output.instant(delivery.finished_at)),
        )
    )


def _print_attempt(attempt: Attempt) -> None:
    output.print_note(
        f"\nAttempt {attempt.number} at {output.instant(attempt.started_at)}, "
        f"{attempt.duration_ms} ms. {attempt.outcome}\n"
    )
    output.print_message(
        f"{attempt.method.value} {attempt.url}", attempt.request_headers, attempt.request_body
    )
    if attempt.status is not None:
        output.print_message(str(attempt.status), attempt.response_headers, attempt.response_body)


def _start(text: str | None) -> datetime | None:
    """Read ``--from``: a date stands for its first instant."""
    return None if text is None else _moment("from", text, timedelta())


def _end(text: str | None) -> datetime | None:
    """Read ``--to``: a date stands for the first instant after it."""
    return None if text is None else _moment("to", text, timedelta(days=1))


def _moment(option: str, text: str, after_date: timedelta) -> datetime:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        pass
    else:
        return datetime.combine(day, time(), UTC) + after_date
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInputError.of(
            option, f"{text} is neither a date like 2026-11-23 nor a time like 2026-11-23T14:00:00Z"
        ) from None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
