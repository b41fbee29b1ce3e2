"""Equal requests are one job, whatever the order and repetition; different ones never are."""

import dataclasses
import json
from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from clickledger.jobs.identity import from_parameters, identity, normalise, to_parameters
from clickledger.jobs.model import CLICK_EXPORT, ClickExportRequest, ResultFormat

IDS = st.lists(st.integers(1, 30), max_size=8).map(tuple)
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "Pacific/Apia"])
COLUMNS = st.lists(st.sampled_from(["RowKey", "Reasons", "UserAgent"]), unique=True).map(tuple)

REQUESTS = st.builds(
    ClickExportRequest,
    account_sid=st.sampled_from(["IRa", "IRb", "IR\u00e4", "IR\ud800"]),
    program_id=st.integers(1, 3),
    date=st.dates(date(2026, 1, 1), date(2026, 1, 3)),
    time_zone=ZONES,
    ad_ids=IDS,
    media_ids=IDS,
    unique_click=st.sampled_from([None, True, False]),
    result_format=st.sampled_from(ResultFormat),
    columns=COLUMNS,
)


def shuffled(request: ClickExportRequest, data: st.DataObject) -> ClickExportRequest:
    """Say the same in other words: other order, more repetition."""

    def say(ids: tuple[int, ...]) -> tuple[int, ...]:
        again = data.draw(st.lists(st.sampled_from(ids), max_size=5)) if ids else []
        return tuple(data.draw(st.permutations([*ids, *again])))

    return dataclasses.replace(
        request, ad_ids=say(request.ad_ids), media_ids=say(request.media_ids)
    )


@given(request=REQUESTS, data=st.data())
def test_order_and_repetition_do_not_matter(
    request: ClickExportRequest, data: st.DataObject
) -> None:
    same = shuffled(request, data)
    assert identity(same) == identity(request)
    assert normalise(same) == normalise(request)


def meaning(request: ClickExportRequest) -> tuple[object, ...]:
    """List what makes requests differ, written down independently of the code under test."""
    return (
        request.account_sid,
        request.program_id,
        request.date,
        request.time_zone,
        frozenset(request.ad_ids),
        frozenset(request.media_ids),
        request.unique_click,
        request.result_format,
        request.columns,
    )


@given(one=REQUESTS, other=REQUESTS)
def test_one_identity_is_one_meaning(one: ClickExportRequest, other: ClickExportRequest) -> None:
    assert (identity(one) == identity(other)) == (meaning(one) == meaning(other))


@given(request=REQUESTS, data=st.data())
def test_a_change_of_any_one_field_is_another_job(
    request: ClickExportRequest, data: st.DataObject
) -> None:
    changed = data.draw(
        st.sampled_from(
            [
                dataclasses.replace(request, account_sid=request.account_sid + "x"),
                dataclasses.replace(request, program_id=request.program_id + 1),
                dataclasses.replace(request, date=date(2027, 1, 1)),
                dataclasses.replace(request, time_zone="Asia/Tokyo"),
                dataclasses.replace(request, ad_ids=(*request.ad_ids, 99)),
                dataclasses.replace(request, media_ids=(*request.media_ids, 99)),
                dataclasses.replace(request, unique_click=not request.unique_click),
                dataclasses.replace(request, columns=(*request.columns, "ReceivedDate")),
            ]
        )
    )
    assert identity(changed) != identity(request)
    assert identity(request, "OtherType") != identity(request, CLICK_EXPORT)


@given(request=REQUESTS)
def test_parameters_survive_the_database(request: ClickExportRequest) -> None:
    stored = json.loads(json.dumps(to_parameters(request)))
    assert from_parameters(request.account_sid, stored) == normalise(request)


def test_the_normal_form_does_not_change_by_accident() -> None:
    """A changed hash would make a second job of every request made before an upgrade."""
    request = ClickExportRequest(
        account_sid="IR1", program_id=3, date=date(2026, 1, 2), time_zone="UTC", ad_ids=(3, 1, 3)
    )
    assert identity(request) == "c8a1a99d30f2558c9d6286967d79f62383177a3f47c7c48598305d2b2240590b"
