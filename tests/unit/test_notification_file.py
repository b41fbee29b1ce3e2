"""A file of notifications is read as a whole, and each fault is told with its line."""

import pytest

from clickledger.errors import FieldError, InvalidInputError
from clickledger.postbacks import files
from clickledger.postbacks.model import BodyFormat, Draft, Kind, Method

READY = """\
# Whom we tell.

[[notification]]
name = "Ready"
kind = "JOB_COMPLETION"
url = "https://hooks.example/ready?job={JobId}"

[[notification]]
name = "Clicks"
kind = "CLICK"
url = "https://hooks.example/clicks"
method = "POST"
body_format = "XML"
body = \"\"\"
<click>
  <id>{ClickId}</id>
</click>\"\"\"
events = [
  "CLICK",
]
program_ids = [1, 2]
partner_ids = [3]
minimum_delay_s = 60
click_limit = 10

[notification.headers]
Authorization = { env = "HOOKS" }
X-Team = "growth"
"""


def read(text: str, **environment: str) -> tuple[files.Entry, ...]:
    return files.read(text, environment)


def faults(text: str, **environment: str) -> list[str]:
    """Read a wrong file; return ``field: message`` of each fault."""
    with pytest.raises(InvalidInputError) as raised:
        read(text, **environment)
    told = [f"{fault.field}: {fault.message}" for fault in raised.value.fields]
    assert "; ".join(told) == str(raised.value)
    return told


def table(*lines: str, name: str = "x", kind: str = "JOB_COMPLETION") -> str:
    head = (
        "[[notification]]",
        f'name = "{name}"',
        f'kind = "{kind}"',
        'url = "https://a.example/"',
    )
    return "\n".join((*head, *lines, ""))


def test_a_file_says_all_that_may_be_said_of_a_notification() -> None:
    ready, clicks = read(READY, HOOKS="Bearer secret")
    assert ready.draft == Draft(
        name="Ready", kind=Kind.JOB_COMPLETION, url="https://hooks.example/ready?job={JobId}"
    )
    assert clicks.draft == Draft(
        name="Clicks",
        kind=Kind.CLICK,
        url="https://hooks.example/clicks",
        method=Method.POST,
        body="<click>\n  <id>{ClickId}</id>\n</click>",
        body_format=BodyFormat.XML,
        events=("CLICK",),
        program_ids=(1, 2),
        partner_ids=(3,),
        minimum_delay_s=60,
        headers={"Authorization": "Bearer secret", "X-Team": "growth"},
        click_limit=10,
    )


def test_a_file_may_ask_for_nothing() -> None:
    assert read("# Nobody is told.\n") == ()


def test_what_a_store_finds_wrong_is_told_with_its_line() -> None:
    ready, clicks = read(READY, HOOKS="x")
    for entry, field, place in (
        (ready, "Url", "line 6, url"),
        (ready, "ProgramIds", "line 3, program_ids"),  # not said: the line of the table
        (clicks, "Name", "line 9, name"),
        (clicks, "BodyFormat", "line 13, body_format"),
        (clicks, "Body", "line 14, body"),
        (clicks, "Events", "line 18, events"),
        (clicks, "PartnerIds", "line 22, partner_ids"),
        (clicks, "MinimumDelay", "line 23, minimum_delay_s"),
        (clicks, "Headers", "line 26, headers"),
    ):
        found = entry.locate(FieldError(field=field, message="is wrong"))
        assert found == FieldError(field=place, message="is wrong")


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_lines_are_counted_as_an_editor_counts_them(ends: str) -> None:
    text = READY.replace("minimum_delay_s = 60", "minimum_delay_s = -1").replace("\n", ends)
    (fault,) = faults(text, HOOKS="x")
    assert fault.startswith("line 23, minimum_delay_s: must be 0 to ")


def test_a_text_that_looks_like_a_table_is_none() -> None:
    text = table(
        'method = "POST"', 'body = """', "[[notification]]", 'name = 1"""', "click_limi = 1"
    )
    assert faults(text) == ["line 9, click_limi: unknown key; did you mean click_limit?"]


def test_everything_that_is_wrong_is_told_at_once() -> None:
    text = table('events = ["NOSUCH"]', "method = 3") + table(
        "program_ids = [true]", 'url = "ftp://a.example/"', name="y", kind="CLICKS"
    ).replace('url = "https://a.example/"\n', "")
    assert [fault.partition(":")[0] for fault in faults("owner = 1\n" + text)] == [
        "line 1, owner",
        "line 7, method",
        "line 10, kind",
        "line 11, program_ids",
    ]


def test_what_rules_find_is_told_as_well() -> None:
    text = table('events = ["NOSUCH"]', 'body = "{JobId}"') + table(name="y", kind="CLICK")
    told = faults(text.replace("https://a.example/", "https://a.example/?a={Foo}"))
    assert [fault.partition(":")[0] for fault in told] == [
        "line 4, url",
        "line 6, body",
        "line 5, events",
        "line 10, url",
    ]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("click_limt = 1", "click_limt: unknown key; did you mean click_limit?"),
        ("zzz = 1", "zzz: unknown key"),
        ("body = 7", "body: 7 is not a text in quotes"),
        ("minimum_delay_s = 1.5", "minimum_delay_s: 1.5 is not a whole number"),
        ("minimum_delay_s = true", "minimum_delay_s: true is not a whole number"),
        ("minimum_delay_s = 1979-05-27", 'minimum_delay_s: "1979-05-27" is not a whole number'),
        ('events = "CLICK"', 'events: "CLICK" is not a list in square brackets'),
        ("events = [1]", "events: 1 is not a text in quotes"),
        ('program_ids = ["1"]', 'program_ids: "1" is not a whole number'),
        ("method = 1", "method: 1 is not a text in quotes"),
        ('method = "post"', "method: 'post' is unknown; did you mean POST? All: GET, POST"),
        ('headers = "X: y"', "headers: write a table, [notification.headers]"),
        ('headers = { A = "***" }', 'headers: A is masked; write its value, or { env = "NAME" }'),
        ('headers = { A = { env = "GONE" } }', "headers: A: the environment has no GONE"),
        ("headers = { A = 17 }", 'headers: A is neither a text in quotes nor { env = "NAME" }'),
        (
            'headers = { A = { env = "HOME", more = 1 } }',
            'headers: A is neither a text in quotes nor { env = "NAME" }',
        ),
    ],
)
def test_a_wrong_value_is_told_with_its_line(line: str, sentence: str) -> None:
    assert faults(table(line), HOME="/") == [f"line 5, {sentence}"]


def test_a_url_as_it_is_shown_is_refused() -> None:
    text = '[[notification]]\nname = "a"\nkind = "CLICK"\nurl = "http://example.com/?key=***"\n'
    assert faults(text) == [
        "line 4, url: *** stands for a secret that is not shown; write the secret itself"
    ]


def test_the_value_of_a_header_is_not_repeated() -> None:
    (fault,) = faults(table("headers = { A = 123456789 }"))
    assert "123456789" not in fault


@pytest.mark.parametrize("key", ["name", "kind", "url"])
def test_what_is_needed_is_missed_at_the_table(key: str) -> None:
    text = "\n\n" + "\n".join(line for line in table().split("\n") if not line.startswith(key))
    assert faults(text) == [f"line 3, {key}: missing"]


def test_two_tables_of_one_name_are_told() -> None:
    told = faults(table() + table())
    assert told == ["line 6, name: the table in line 1 has this name already"]


def test_tables_may_be_written_as_one_list() -> None:
    one = '{ name = "x", kind = "CLICK", url = "https://a.example/" }'
    (entry,) = read(f"notification = [{one}]")
    assert (entry.draft.name, entry.line) == ("x", 1)
    assert faults(f"notification = [{one},\n{one}]") == [
        "line 1, name: the table in line 1 has this name already"
    ]


@pytest.mark.parametrize(
    "text", ['[notification]\nname = "x"', "notification = 1", "notification = [1]"]
)
def test_single_brackets_are_told(text: str) -> None:
    assert faults(f"\n{text}") == [
        "line 2, notification: write [[notification]], in double brackets"
    ]


def test_another_table_is_told() -> None:
    assert faults("[other]\na = 1\n[notification.headers]\n")[0] == (
        "line 1, other: a file has [[notification]] tables only"
    )


def test_what_is_not_toml_is_told_with_its_line() -> None:
    with pytest.raises(InvalidInputError, match=r"^not TOML: .*line 2"):
        read("\nname = \n")


def test_the_mask_takes_the_place_of_a_headers_value() -> None:
    draft = Draft(
        name="x", kind=Kind.CLICK, url="https://a.example/", headers={"Authorization": "secret"}
    )
    masked = files.write([draft], header_values=False)
    assert "secret" not in masked
    assert faults(masked) == [
        'line 5, headers: Authorization is masked; write its value, or { env = "NAME" }'
    ]
    assert [entry.draft for entry in read(files.write([draft], header_values=True))] == [draft]


def test_what_is_as_by_default_is_not_written() -> None:
    draft = Draft(name="x", kind=Kind.CLICK, url="https://a.example/")
    assert files.write([draft], header_values=False) == (
        '[[notification]]\nname = "x"\nkind = "CLICK"\nurl = "https://a.example/"\n'
    )
