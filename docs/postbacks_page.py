"""``docs/reference/postbacks.md``: kinds, events, macros, schedule and the keys of a file."""

from collections.abc import Iterable, Iterator
from datetime import timedelta

from clickledger.postbacks import files, rules, schedule
from clickledger.postbacks.macros import DIGEST, MACROS, Macro
from clickledger.postbacks.model import EVENTS, Kind
from docs.markdown import code, table

#: What a kind tells of, and since when it is told: the part that builds its events.
_TELLS = {
    Kind.JOB_COMPLETION: "an export is ready, or has failed; after a replay once more",
    Kind.CLICK: "a click is in the lake",
    Kind.ACTION_LIFECYCLE: "an action is tracked, changed or reversed",
    Kind.ACTION_CLEARING: "an action is cleared: its payout is due",
    Kind.ACTION_INQUIRY: "a partner asks about an action, or gets the answer",
    Kind.TRACKING_VALUE_REQUEST: "a partner asks for a promo code, a URL or a phone number",
    Kind.EVENT_TYPE: "an action of one event type is tracked",
}
#: Kinds that something fires today; the others can be configured, tested and wait for their part.
_FIRED = frozenset({Kind.JOB_COMPLETION, Kind.CLICK})

#: Keys of a file, in words.
_KEYS = {
    "name": "Names it within the account. A file finds what is there by it.",
    "kind": "One of the kinds above; cannot change.",
    "url": "Absolute, http or https; macros in the query only.",
    "method": "`GET` or `POST`. Default: `GET`.",
    "body": "Template of a POST. Default: every macro of the kind, by its name.",
    "body_format": "`JSON`, `XML` or `FORM`. Default: `JSON`.",
    "events": "Events of the kind. Default: all.",
    "program_ids": "Programs. Default: all.",
    "partner_ids": "Partners. Default: all.",
    "action_tracker_ids": "Event types, of `EVENT_TYPE` only. Default: all.",
    "minimum_delay_s": f"Seconds from the event to the first attempt, up to "
    f"{rules.MINIMUM_DELAY_S}. Default: 0.",
    "headers": 'Table of headers to send; a value is a text or `{ env = "NAME" }`.',
    "click_limit": f"Of `CLICK` only: calls per second, up to {rules.CLICK_LIMIT}, above which "
    "a digest per minute takes their place. Default: 50.",
}


def render() -> str:
    """Make the page."""
    return "\n".join(
        [
            _INTRODUCTION,
            table(
                ("Kind", "Fires when", "Events", "Today"),
                [
                    (
                        code(kind.value),
                        _TELLS[kind],
                        ", ".join(code(name) for name in EVENTS[kind]),
                        "fires" if kind in _FIRED else "can be configured and tested",
                    )
                    for kind in Kind
                ],
            ),
            _SCHEDULE,
            table(("Attempt", "Pause before it", "After the event"), _attempts()),
            _FILE,
            table(("Key", "Meaning"), [(code(key), _KEYS[key]) for key in files.KEYS]),
            _MACROS,
            *_macros_by_kind(),
            _DIGEST,
            _macros(DIGEST.values()),
        ]
    )


def _attempts() -> list[tuple[str, str, str]]:
    rows, after = [], timedelta()
    for number, pause_s in enumerate(schedule.SCHEDULE_S, 1):
        pause = timedelta(seconds=pause_s)
        after += pause
        rows.append((str(number), _words(pause), _words(after)))
    return rows


def _words(span: timedelta) -> str:
    """Write a span as people say it: 75 h 35 min."""
    minutes, seconds = divmod(int(span.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "min"), (seconds, "s"))
    return " ".join(f"{count} {unit}" for count, unit in parts if count) or "none"


def _macros_by_kind() -> Iterator[str]:
    """Yield a section for each set of macros; some kinds have the same."""
    kinds: dict[tuple[str, ...], list[Kind]] = {}
    for kind in Kind:
        kinds.setdefault(tuple(MACROS[kind]), []).append(kind)
    for same in kinds.values():
        yield f"### {', '.join(code(kind.value) for kind in same)}\n"
        yield _macros(MACROS[same[0]].values())


def _macros(macros: Iterable[Macro]) -> str:
    return table(
        ("Macro", "Type", "Sample"),
        [(code(f"{{{one.name}}}"), _type(one), code(one.sample)) for one in macros],
    )


def _type(macro: Macro) -> str:
    if macro.structured:
        return "JSON"
    return "number" if macro.numeric else "text"


_INTRODUCTION = """\
# Postbacks

What there is to configure; [how to](../how-to/postbacks.md) says how to go about it.

## Kinds and events
"""

_SCHEDULE = f"""\
## Schedule

The pauses are those of the example in Standard Webhooks 1.0.0.
Each is up to {schedule.JITTER:.0%} longer or shorter, so that calls do not come in step.
After a 429 or 503 with `Retry-After` the pause is at least that long, up to 24 hours.
"""

_FILE = f"""\
## Keys of a file

`clickledger notification apply` reads TOML with one `[[{files.TABLE}]]` for each notification.
"""

_MACROS = """\
## Macros

Names are compared exactly, case included.
A macro that an event has no value for is empty.
In a JSON body, outside quotes, a number is a number and JSON is inserted as it is.
Any other value becomes a text in quotes there, and an empty one `null`.
"""

_DIGEST = """\
## The digest of clicks

It takes the place of single calls when there are more than the limit allows.
A GET has these as parameters behind the URL, whose own macros are empty.
A POST has them as a document in the notification's format.
"""
