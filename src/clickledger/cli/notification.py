"""``clickledger notification``: whom to call, when, and with what."""

import dataclasses
import os
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from clickledger.cli import deferred, drafts, output
from clickledger.cli.control import Control, open_control
from clickledger.cli.options import AnyAccount, AsJson, Data
from clickledger.clock import SteadyClock
from clickledger.errors import InvalidInputError
from clickledger.postbacks import files, masking
from clickledger.postbacks.model import Draft, Kind, Method, Notification
from clickledger.postbacks.network import Guard
from clickledger.postbacks.store import InvalidDraftsError, Notifications

app = typer.Typer(
    cls=deferred.group({"test": "clickledger.cli.sample_call:sample_call"}),
    no_args_is_help=True,
    help="Notifications: whom to call when something has happened.",
)

#: A notification's id.
Id = Annotated[str, typer.Argument(metavar="ID", help="Notification id, as `list` shows it.")]


@app.command()
def add(
    *,
    data: Data,
    name: Annotated[str, typer.Option("--name", help="Name, one of a kind in the account.")],
    kind: Annotated[Kind, typer.Option("--kind", help="What it tells of.")],
    url: Annotated[
        str, typer.Option("--url", help="What to call; {Macros} may stand in its query.")
    ],
    method: drafts.MethodOption = None,
    body: drafts.BodyOption = None,
    body_format: drafts.BodyFormatOption = None,
    events: drafts.EventsOption = None,
    programs: drafts.ProgramsOption = None,
    partners: drafts.PartnersOption = None,
    action_trackers: drafts.ActionTrackersOption = None,
    minimum_delay: drafts.MinimumDelayOption = None,
    headers: drafts.HeadersOption = None,
    click_limit: drafts.ClickLimitOption = None,
    secret: drafts.SecretOption = None,
    account: AnyAccount = None,
    as_json: AsJson = False,
) -> None:
    """Add a notification; its signing secret is shown this once."""
    said = drafts.said(
        method=method,
        body=body,
        body_format=body_format,
        events=events,
        program_ids=programs,
        partner_ids=partners,
        action_tracker_ids=action_trackers,
        minimum_delay_s=minimum_delay,
        headers=headers,
        click_limit=click_limit,
    )
    draft = Draft(**drafts.unmasked({"name": name, "kind": kind, "url": url, **said}))
    with open_control(data) as control:
        made = open_store(control).create(
            control.account(account), draft, drafts.read_secret(secret)
        )
    _print(made, as_json=as_json, with_secret=True)


@app.command("list")
def list_(
    data: Data,
    account: Annotated[
        str | None, typer.Option("--account", metavar="SID", help="Only those of this account.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List notifications, oldest first."""
    with open_control(data) as control:
        found = _all(open_store(control), account)
    if as_json:
        output.print_json([_as_data(one) for one in found])
        return
    output.print_table(
        ("Id", "Account", "Name", "Kind", "Calls", "State"),
        (
            (
                one.id,
                one.account_sid,
                one.draft.name,
                one.draft.kind.value,
                f"{one.draft.method.value} {masking.url(one.draft.url)}",
                _state(one),
            )
            for one in found
        ),
    )


@app.command()
def show(data: Data, notification_id: Id, as_json: AsJson = False) -> None:
    """Show one notification; secrets and values of headers are masked."""
    with open_control(data) as control:
        found = open_store(control).find(notification_id)
    _print(found, as_json=as_json)


@app.command()
def change(
    *,
    data: Data,
    notification_id: Id,
    name: Annotated[str | None, typer.Option("--name", help="New name.")] = None,
    url: Annotated[str | None, typer.Option("--url", help="New URL.")] = None,
    method: drafts.MethodOption = None,
    body: drafts.BodyOption = None,
    body_format: drafts.BodyFormatOption = None,
    events: drafts.EventsOption = None,
    programs: drafts.ProgramsOption = None,
    partners: drafts.PartnersOption = None,
    action_trackers: drafts.ActionTrackersOption = None,
    minimum_delay: drafts.MinimumDelayOption = None,
    headers: drafts.HeadersOption = None,
    click_limit: drafts.ClickLimitOption = None,
    empty: Annotated[
        list[drafts.Emptied] | None,
        typer.Option("--empty", help="Take everything out of this, before what else is said."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Change what is named and leave the rest; a list that is named replaces the old one."""
    said = drafts.said(
        name=name,
        url=url,
        method=method,
        body=body,
        body_format=body_format,
        events=events,
        program_ids=programs,
        partner_ids=partners,
        action_tracker_ids=action_trackers,
        minimum_delay_s=minimum_delay,
        headers=headers,
        click_limit=click_limit,
    )
    for one in empty or ():
        said = {**drafts.EMPTY[one], **said}
    if not said:
        raise InvalidInputError("nothing to change: name what is to be different")
    with open_control(data) as control:
        store = open_store(control)
        found = store.find(notification_id)
        draft = dataclasses.replace(found.draft, **drafts.unmasked(said, found.draft))
        changed = store.change(found.account_sid, found.id, draft, made_of=found.draft)
    _print(changed, as_json=as_json)


@app.command()
def remove(data: Data, notification_id: Id) -> None:
    """Remove a notification; what waits for it is not sent, its log stays for its time."""
    with open_control(data) as control:
        store = open_store(control)
        found = store.find(notification_id)
        store.remove(found.account_sid, found.id)
    output.print_note(f"{found.draft.name} is removed.")


@app.command()
def enable(data: Data, notification_id: Id, as_json: AsJson = False) -> None:
    """Switch a notification on again; what was skipped meanwhile can be replayed."""
    with open_control(data) as control:
        store = open_store(control)
        enabled = store.enable(store.find(notification_id).account_sid, notification_id)
    _print(enabled, as_json=as_json)


@app.command()
def disable(
    data: Data,
    notification_id: Id,
    reason: Annotated[
        str, typer.Option("--reason", help="Why; shown with it.")
    ] = "Disabled by the operator.",
    as_json: AsJson = False,
) -> None:
    """Switch a notification off; its deliveries are skipped until it is on again."""
    with open_control(data) as control:
        store = open_store(control)
        disabled = store.disable(store.find(notification_id).account_sid, notification_id, reason)
    _print(disabled, as_json=as_json)


@app.command("rotate-secret")
def rotate_secret(
    data: Data, notification_id: Id, secret: drafts.SecretOption = None, as_json: AsJson = False
) -> None:
    """Give a notification a new secret, shown this once; the old one signs too for a while."""
    with open_control(data) as control:
        store = open_store(control)
        account_sid = store.find(notification_id).account_sid
        rotated = store.rotate_secret(account_sid, notification_id, drafts.read_secret(secret))
        overlap_s = control.settings.postback_secret_overlap_s
    _print(rotated, as_json=as_json, with_secret=True)
    if not as_json:
        output.print_note(f"The earlier secret signs too for {overlap_s:g} seconds.")


@app.command()
def apply(
    data: Data,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="TOML; see the how-to.")],
    account: AnyAccount = None,
    as_json: AsJson = False,
) -> None:
    """Make the notifications that a file names as it says, all of them or none.

    What the file does not name is left alone. A new one's signing secret is shown this once.
    """
    try:
        entries = files.read(file.read_text(encoding="utf-8-sig"), os.environ)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{file} cannot be read: {error}") from error
    except InvalidInputError as error:
        raise InvalidInputError(f"{file}: {error}", *error.fields) from error
    with open_control(data) as control:
        try:
            applied = open_store(control).apply(
                control.account(account), [entry.draft for entry in entries]
            )
        except InvalidDraftsError as error:
            wrong = files.wrong_file(
                entries[position].locate(fault)
                for position, faults in error.of_draft.items()
                for fault in faults
            )
            raise InvalidInputError(f"{file}: {wrong}", *wrong.fields) from error
    if as_json:
        output.print_json(
            {
                "created": [_as_data(one, with_secret=True) for one in applied.created],
                "changed": [_as_data(one) for one in applied.changed],
                "unchanged": [_as_data(one) for one in applied.unchanged],
            }
        )
        return
    output.print_table(
        ("Id", "Name", "What came of it", "Secret (shown this once)"),
        (
            *((one.id, one.draft.name, "created", one.secrets[0]) for one in applied.created),
            *((one.id, one.draft.name, "changed", "") for one in applied.changed),
            *((one.id, one.draft.name, "as it was", "") for one in applied.unchanged),
        ),
    )


@app.command()
def export(
    data: Data,
    header_values: Annotated[
        bool,
        typer.Option(
            "--header-values", help="Write the values of headers too: they may be secrets."
        ),
    ] = False,
    account: AnyAccount = None,
) -> None:
    """Write an account's notifications as a file for `apply`; URLs are written in full."""
    with open_control(data) as control:
        found = _all(open_store(control), control.account(account))
    text = files.write((one.draft for one in found), header_values=header_values)
    sys.stdout.write(text)


def open_store(control: Control) -> Notifications:
    """Open the notifications of an installation."""
    overlap = timedelta(seconds=control.settings.postback_secret_overlap_s)
    return Notifications(control.engine, SteadyClock(), guard(control), overlap)


def guard(control: Control) -> Guard:
    """Make what decides which addresses may be called."""
    return Guard(control.settings.postback_networks, control.settings.postback_ports)


def _all(store: Notifications, account: str | None) -> Sequence[Notification]:
    found: list[Notification] = []
    page, total = 0, 1
    while len(found) < total:
        page += 1
        more, total = store.list(account, page)
        if not more:  # some were removed meanwhile
            break
        found += more
    return found


def _print(notification: Notification, *, as_json: bool, with_secret: bool = False) -> None:
    if as_json:
        output.print_json(_as_data(notification, with_secret=with_secret))
        return
    draft = masking.masked(notification.draft)
    output.print_fields(
        (
            ("Id", notification.id),
            ("Account", notification.account_sid),
            ("Name", draft.name),
            ("Kind", draft.kind.value),
            ("Calls", f"{draft.method.value} {draft.url}"),
            ("Body", _body(draft)),
            ("Events", draft.events or "all"),
            ("Programs", draft.program_ids or "all"),
            ("Partners", draft.partner_ids or "all"),
            ("Event types", draft.action_tracker_ids or "all"),
            ("Minimum delay", f"{draft.minimum_delay_s} s"),
            ("Headers", tuple(draft.headers) or "none"),
            ("Click limit", f"{draft.click_limit} a second"),
            ("State", _state(notification)),
            ("Created", output.instant(notification.created_at)),
            ("Changed", output.instant(notification.changed_at)),
            *(
                [("Secret (shown this once)", notification.secrets[0])]
                if with_secret
                else [("Secrets that sign", len(notification.secrets))]
            ),
        )
    )


def _as_data(notification: Notification, *, with_secret: bool = False) -> dict[str, object]:
    """Show a notification to programs; keys are those of a file, and nothing in it is secret."""
    shown = {
        "id": notification.id,
        "account_sid": notification.account_sid,
        **msgspec.to_builtins(masking.masked(notification.draft)),
        "created_at": notification.created_at,
        "changed_at": notification.changed_at,
        "failing_since": notification.failing_since,
        "disabled_at": notification.disabled_at,
        "disabled_reason": notification.disabled_reason,
        "clicks_since": notification.clicks_since,
    }
    return {**shown, "secret": notification.secrets[0]} if with_secret else shown


def _body(draft: Draft) -> str:
    if draft.method is Method.GET:
        return "none"
    return draft.body or f"every macro, as {draft.body_format.value}"


def _state(notification: Notification) -> str:
    if notification.disabled_at is not None:
        return (
            f"off since {output.instant(notification.disabled_at)}: {notification.disabled_reason}"
        )
    if notification.failing_since is not None:
        return f"on, failing since {output.instant(notification.failing_since)}"
    if notification.clicks_since is not None:
        return f"on, told of clicks since {output.instant(notification.clicks_since)}"
    return "on"
