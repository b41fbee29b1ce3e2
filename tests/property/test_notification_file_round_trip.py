"""Whatever notifications there are, a file of them asks for exactly these."""

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from clickledger.postbacks import files
from clickledger.postbacks.model import BodyFormat, Draft, Kind, Method

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
IDS = st.lists(st.integers(1, 10**9), max_size=3).map(tuple)
DRAFTS = st.builds(
    Draft,
    name=TEXTS,
    kind=st.sampled_from(Kind),
    url=TEXTS,
    method=st.sampled_from(Method),
    body=TEXTS,
    body_format=st.sampled_from(BodyFormat),
    events=st.lists(TEXTS, max_size=2).map(tuple),
    program_ids=IDS,
    partner_ids=IDS,
    action_tracker_ids=IDS,
    minimum_delay_s=st.integers(0, 10**6),
    headers=st.dictionaries(TEXTS, TEXTS, max_size=2),
    click_limit=st.integers(1, 1000),
)


@given(drafts=st.lists(DRAFTS, max_size=3))
def test_each_value_comes_back(drafts: list[Draft]) -> None:
    document = tomllib.loads(files.write(drafts, header_values=True))
    tables = document.get(files.TABLE, [])
    assert len(tables) == len(drafts)
    for table, draft in zip(tables, drafts, strict=True):
        for key in files.KEYS:
            value = getattr(draft, key)
            written = table.get(key, getattr(Draft(name="", kind=Kind.CLICK, url=""), key))
            assert (tuple(written) if isinstance(written, list) else written) == value


@given(values=st.lists(TEXTS.filter(bool), min_size=1, max_size=4))
def test_each_table_is_found_at_its_line(values: list[str]) -> None:
    """Bodies that hold anything at all, written over several lines, shift nothing."""
    texts = [value.replace("\\", "").replace('"', "").replace("\r", "") for value in values]
    texts = ["".join(one for one in text if one.isprintable() or one == "\n") for text in texts]
    lines: list[str] = []
    starts: list[int] = []
    for number, text in enumerate(texts):
        starts.append(len(lines) + 1)
        lines += f'[[notification]]\nname = "{number}"\nkind = "CLICK"'.split("\n")
        lines += f'url = "https://a.example/"\nmethod = "POST"\nbody = """{text}"""'.split("\n")
        lines += ["wrong = 1"]
    _, places = files._places("\n".join(lines))
    assert [place.line for place in places] == starts
    ends = [start - 1 for start in starts[1:]] + [len(lines)]
    assert [place.lines["wrong"] for place in places] == ends
