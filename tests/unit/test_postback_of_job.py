"""What is said of a job's end."""

from datetime import UTC, datetime
from typing import Any

import pytest

from clickledger.jobs.events import completion
from clickledger.jobs.model import State
from clickledger.postbacks import rules
from clickledger.postbacks.macros import MACROS
from clickledger.postbacks.model import EVENTS, Draft, Event, Kind

AT = datetime(2026, 3, 1, 12, 30, 59, 999_999, UTC)


def ended(**said: Any) -> Event:  # noqa: ANN401 - the arguments, by name
    usual: dict[str, Any] = {
        "job_id": "j-1",
        "account_sid": "IR1",
        "job_type": "ClickExport",
        "program_id": 7,
        "day": "2026-02-28",
        "state": State.COMPLETED,
        "message": "Done.",
        "run": 1,
        "rows": 3,
        "sha256": "ab",
        "origin": "",
        "at": AT,
    }
    return completion(**{**usual, **said})


@pytest.mark.parametrize(
    ("job_type", "state", "name"),
    [
        ("ClickExport", State.COMPLETED, "CLICK_EXPORT_COMPLETED"),
        ("ClickExport", State.FAILED, "CLICK_EXPORT_FAILED"),
        ("ReportExport", State.COMPLETED, "REPORT_EXPORT_COMPLETED"),
        ("ReportExport", State.FAILED, "REPORT_EXPORT_FAILED"),
    ],
)
def test_the_event_is_named_after_type_and_state(job_type: str, state: State, name: str) -> None:
    event = ended(job_type=job_type, state=state)
    assert event.name == name
    assert event.name in EVENTS[Kind.JOB_COMPLETION]
    assert (event.values["JobType"], event.values["Status"]) == (job_type, state.value)


def test_there_is_a_value_for_every_macro_of_the_kind() -> None:
    filled_when_sent = {"EventType", "MessageId"}
    assert set(ended().values) == set(MACROS[Kind.JOB_COMPLETION]) - filled_when_sent


@pytest.mark.parametrize(
    ("run", "replayed"), [(1, "false"), (2, "true"), (9, "true")], ids=["first", "second", "ninth"]
)
def test_a_replay_says_so(run: int, replayed: str) -> None:
    values = ended(run=run).values
    assert (values["Run"], values["Replayed"]) == (str(run), replayed)


@pytest.mark.parametrize("origin", ["", "https://clicks.example"], ids=["unknown", "known"])
def test_the_links_are_those_of_the_api(origin: str) -> None:
    values = ended(origin=origin).values
    assert values["QueuedUri"] == f"{origin}/Advertisers/IR1/Jobs/j-1"
    assert values["ResultUri"] == f"{origin}/Advertisers/IR1/Jobs/j-1/Download"


def test_events_of_a_job_stay_in_order_and_are_its_accounts() -> None:
    event = ended()
    assert (event.order_key, event.account_sids, event.at) == ("j-1", ("IR1",), AT)
    assert event.values["EventDate"] == "2026-03-01T12:30:59Z"


def test_a_notification_can_ask_for_failures_of_one_program() -> None:
    draft = Draft(
        name="failures",
        kind=Kind.JOB_COMPLETION,
        url="https://hooks.example/",
        events=("CLICK_EXPORT_FAILED",),
        program_ids=(7,),
    )
    assert rules.matches(draft, ended(state=State.FAILED))
    assert not rules.matches(draft, ended(state=State.COMPLETED))
    assert not rules.matches(draft, ended(state=State.FAILED, program_id=8))
