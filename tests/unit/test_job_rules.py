"""Transitions, retries, adoption, what is kept, and the messages of jobs."""

from datetime import UTC, datetime, timedelta

import pytest

from clickledger.errors import ConflictError, ForbiddenError
from clickledger.jobs import rules
from clickledger.jobs.model import Attempt, State, Unfinished

NOW = datetime(2026, 3, 1, 12, 0, 0, 900_000, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


@pytest.mark.parametrize("state", [State.COMPLETED, State.FAILED, State.CANCELLED])
def test_a_finished_job_can_be_replayed(state: State) -> None:
    rules.check_replay(state)
    assert State.QUEUED in rules.TRANSITIONS[state]


@pytest.mark.parametrize("state", [State.QUEUED, State.RUNNING, State.ERROR])
def test_an_unfinished_job_cannot_be_replayed(state: State) -> None:
    with pytest.raises(ForbiddenError, match=state.value):
        rules.check_replay(state)
    assert State.QUEUED not in rules.TRANSITIONS[state]


def test_a_refused_replay_of_an_error_says_that_it_is_tried_again() -> None:
    with pytest.raises(ForbiddenError, match="tried again by itself"):
        rules.check_replay(State.ERROR)


@pytest.mark.parametrize("state", [State.QUEUED, State.RUNNING, State.ERROR])
def test_an_unfinished_job_can_be_cancelled(state: State) -> None:
    rules.check_cancel(state)
    assert State.CANCELLED in rules.TRANSITIONS[state]


@pytest.mark.parametrize("state", [State.COMPLETED, State.FAILED, State.CANCELLED])
def test_a_finished_job_cannot_be_cancelled(state: State) -> None:
    with pytest.raises(ConflictError, match=state.value):
        rules.check_cancel(state)
    assert State.CANCELLED not in rules.TRANSITIONS[state]


@pytest.mark.parametrize("attempt", [1, 2, 3, 4])
def test_a_failed_try_is_followed_by_another_after_the_pause(attempt: int) -> None:
    failure = rules.after_failure("no disk", attempt=attempt, tries=5, now=NOW, retry_s=900)
    assert failure.path == (State.ERROR,)
    assert failure.retry_at == NOW + 15 * MINUTE
    assert failure.message == (
        f"Try {attempt} of 5 failed, the next is due 2026-03-01T12:15:00Z: no disk"
    )


@pytest.mark.parametrize("attempt", [5, 6])
def test_the_last_failed_try_passes_through_error_to_failed(attempt: int) -> None:
    failure = rules.after_failure("no disk", attempt=attempt, tries=5, now=NOW, retry_s=900)
    assert failure.path == (State.ERROR, State.FAILED)
    assert failure.retry_at is None
    assert failure.message == f"Gave up after {attempt} tries: no disk"


def test_one_try_is_said_in_the_singular() -> None:
    failure = rules.after_failure("no disk", attempt=1, tries=1, now=NOW, retry_s=900)
    assert failure.message == "Gave up after 1 try: no disk"


@pytest.mark.parametrize(
    ("state", "retry_at", "expected"),
    [
        pytest.param(State.QUEUED, None, True, id="queued"),
        pytest.param(State.ERROR, NOW - MINUTE, True, id="retry is overdue"),
        pytest.param(State.ERROR, NOW, True, id="retry is due this instant"),
        pytest.param(State.ERROR, NOW + MINUTE, False, id="retry is not due"),
        pytest.param(State.ERROR, None, False, id="error without a retry"),
        pytest.param(State.RUNNING, None, False, id="running"),
        pytest.param(State.COMPLETED, None, False, id="completed"),
        pytest.param(State.FAILED, None, False, id="failed"),
        pytest.param(State.CANCELLED, None, False, id="cancelled"),
    ],
)
def test_a_try_begins_when_it_is_due(
    state: State, retry_at: datetime | None, expected: bool
) -> None:
    assert rules.due(state, retry_at, NOW) is expected


@pytest.mark.parametrize(
    ("workflow", "attempt", "expected"),
    [
        pytest.param(rules.Workflow.UNKNOWN, 1, rules.Adoption.LAUNCH, id="killed after the claim"),
        pytest.param(rules.Workflow.UNKNOWN, 5, rules.Adoption.LAUNCH, id="the same, last try"),
        pytest.param(rules.Workflow.PENDING, 1, rules.Adoption.LEAVE, id="the engine has it"),
        pytest.param(rules.Workflow.PENDING, 5, rules.Adoption.LEAVE, id="the same, last try"),
        pytest.param(rules.Workflow.ENDED, 4, rules.Adoption.REPLACE, id="ended without a word"),
        pytest.param(rules.Workflow.ENDED, 5, rules.Adoption.GIVE_UP, id="the last one did"),
    ],
)
def test_a_running_job_without_a_thread_is_adopted(
    workflow: rules.Workflow, attempt: int, expected: rules.Adoption
) -> None:
    assert rules.adoption(workflow, attempt=attempt, tries=5) is expected


@pytest.mark.parametrize(
    ("rows", "expected_rows", "slices", "expected_slices", "expected"),
    [
        pytest.param(0, 200, 0, 4, 0, id="nothing yet"),
        pytest.param(50, 200, 1, 4, 25, id="by rows"),
        pytest.param(199, 200, 4, 4, 99, id="cut, not rounded"),
        pytest.param(200, 200, 4, 4, 99, id="100 only with the file"),
        pytest.param(900, 200, 4, 4, 99, id="more rows than expected"),
        pytest.param(0, 0, 1, 4, 25, id="by slices when no rows are expected"),
        pytest.param(0, 0, 4, 4, 99, id="all slices, still no file"),
        pytest.param(0, 0, 0, 0, 0, id="a plan without slices"),
    ],
)
def test_percent(
    rows: int, expected_rows: int, slices: int, expected_slices: int, expected: int
) -> None:
    assert expected == rules.percent(
        rows=rows, expected_rows=expected_rows, slices=slices, expected_slices=expected_slices
    )


@pytest.mark.parametrize(
    ("rows", "through", "replaced", "expected"),
    [
        pytest.param(
            5, NOW, None, "5 clicks, complete through 2026-03-01T12:00:00Z.", id="a closed day"
        ),
        pytest.param(
            1, NOW - DAY, None, "1 click, complete through 2026-02-28T12:00:00Z.", id="just closed"
        ),
        pytest.param(
            0,
            NOW - DAY - MINUTE,
            None,
            "0 clicks, complete through 2026-02-28T11:59:00Z. "
            "The day was still open then; Replay brings the rest.",
            id="an open day",
        ),
        pytest.param(
            0,
            NOW - 2 * DAY,
            None,
            "0 clicks, complete through 2026-02-27T12:00:00Z. "
            "The day had not begun then; Replay brings its clicks.",
            id="a future day",
        ),
        pytest.param(
            5,
            NOW,
            7,
            "5 clicks, complete through 2026-03-01T12:00:00Z. "
            "Lake version 7, pinned at first, could no longer be read; "
            "all of the file is from a newer one.",
            id="a replaced pin",
        ),
    ],
)
def test_success_is_honest_about_the_day(
    rows: int, through: datetime, replaced: int | None, expected: str
) -> None:
    assert expected == rules.success_message(
        rows=rows,
        complete_through=through,
        day_start=NOW - 2 * DAY,
        day_end=NOW - DAY,
        replaced=replaced,
    )


def test_a_skipped_date_is_complete_as_soon_as_its_instant_is_past() -> None:
    """Apia had no 30 December 2011: the day begins and ends at one instant."""
    message = rules.success_message(rows=0, complete_through=NOW, day_start=NOW, day_end=NOW)
    assert message == "0 clicks, complete through 2026-03-01T12:00:00Z."


def held(
    *, run: int = 3, unfinished: bool = False, result_run: int | None = 3, age: timedelta = DAY
) -> rules.Holder:
    result_at = None if result_run is None else NOW - age
    return rules.Holder(run=run, unfinished=unfinished, result_run=result_run, result_at=result_at)


@pytest.mark.parametrize(
    ("run", "age", "holder", "expected"),
    [
        pytest.param(3, 80 * DAY, held(), True, id="the result that can be downloaded"),
        pytest.param(2, 80 * DAY, held(age=DAY), False, id="superseded for the grace"),
        pytest.param(2, 80 * DAY, held(age=DAY - MINUTE), True, id="superseded a moment ago"),
        pytest.param(
            4, 80 * DAY, held(run=4, unfinished=True), True, id="being written, however old"
        ),
        pytest.param(4, DAY, held(run=4), False, id="left by a failed replay"),
        pytest.param(4, MINUTE, held(run=4), True, id="left a moment ago"),
        pytest.param(3, 80 * DAY, held(result_run=None), False, id="expired"),
        pytest.param(2, MINUTE, held(result_run=None, run=3), True, id="expired, not yet old"),
        pytest.param(1, DAY, None, False, id="no such job"),
        pytest.param(1, MINUTE, None, True, id="no such job, not yet old"),
    ],
)
def test_which_files_stay(
    run: int, age: timedelta, holder: rules.Holder | None, expected: bool
) -> None:
    kept = rules.keep_result(run=run, written_at=NOW - age, holder=holder, now=NOW, grace=DAY)
    assert kept is expected


def test_every_try_has_a_workflow_id_of_its_own() -> None:
    ids = {
        Attempt(job_id="j", run=run, number=number).workflow_id
        for run in (1, 2, 12)
        for number in (1, 2, 12)
    }
    assert len(ids) == 9
    assert {"j:1", "j:1:2", "j:12:12"} <= ids


@pytest.mark.parametrize(("retry_at", "expected"), [(None, NOW), (NOW + MINUTE, NOW + MINUTE)])
def test_a_job_is_due_since_it_was_asked_for_or_its_retry_came(
    retry_at: datetime | None, expected: datetime
) -> None:
    job = Unfinished(
        id="j", run=1, attempt=0, state=State.QUEUED, requested_at=NOW, retry_at=retry_at
    )
    assert job.due_since == expected
