"""Whatever a notification says comes back from its row, and an older row can still be read."""

import json

from hypothesis import given
from hypothesis import strategies as st

from clickledger.postbacks import rows
from clickledger.postbacks.model import BodyFormat, Draft, Kind, Method

IDS = st.lists(st.integers(-(2**70), 2**70), max_size=4).map(tuple)
WORDS = st.lists(st.text(max_size=9), max_size=4).map(tuple)
DRAFTS = st.builds(
    Draft,
    name=st.text(max_size=20),
    kind=st.sampled_from(Kind),
    url=st.text(max_size=20),
    method=st.sampled_from(Method),
    body=st.text(max_size=20),
    body_format=st.sampled_from(BodyFormat),
    events=WORDS,
    program_ids=IDS,
    partner_ids=IDS,
    action_tracker_ids=IDS,
    minimum_delay_s=st.integers(0, 2**31),
    headers=st.dictionaries(st.text(max_size=9), st.text(max_size=9), max_size=3),
    click_limit=st.integers(0, 2**31),
)


@given(DRAFTS)
def test_a_draft_comes_back_from_its_columns(draft: Draft) -> None:
    stored = json.loads(json.dumps(rows.draft_json(draft)))
    assert {"name", "kind"}.isdisjoint(stored)
    assert rows.draft("1", draft.name, draft.kind.value, stored) == draft


@given(DRAFTS)
def test_what_an_older_version_did_not_store_is_as_usual(draft: Draft) -> None:
    read = rows.draft("1", draft.name, draft.kind.value, {"url": draft.url})
    assert read == Draft(name=draft.name, kind=draft.kind, url=draft.url)
