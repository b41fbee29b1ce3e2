"""``clickledger notification …`` and ``clickledger postbacks …`` on a real control database."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Update
from standardwebhooks import Webhook
from structlog.testing import capture_logs
from typer.testing import CliRunner, Result

from clickledger.cli import app
from clickledger.clock import SteadyClock
from clickledger.config import DataFolder, Settings
from clickledger.db import engine as db
from clickledger.db.tables import deliveries, notifications
from clickledger.errors import ClickledgerError, ConflictError, InvalidInputError, NotFoundError
from clickledger.postbacks import files, outbox
from clickledger.postbacks.log import Deliveries
from clickledger.postbacks.model import Event, Fate, Kind
from clickledger.testing.receiver import Receiver, receiver

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
SECRET = re.compile(r"whsec_[A-Za-z0-9+/]{43}=")
#: A loopback network may be called on any port of the tests.
ALLOWED = {
    "CLICKLEDGER_POSTBACK_NETWORKS": '["127.0.0.0/8"]',
    "CLICKLEDGER_POSTBACK_PORTS": "[80]",
}
ADD = ("notification", "add", "--name=jobs", "--kind=JOB_COMPLETION")
URL = "--url=http://127.0.0.1/in?job={JobId}&token=verysecret"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    run(tmp_path / "data", "init", "--demo")
    return tmp_path / "data"


def invoke(
    data: Path, *words: str, stdin: str = "", settings: Mapping[str, str] = ALLOWED
) -> Result:
    with capture_logs():  # events belong to the log, not to what a command prints
        return CliRunner().invoke(app, [*words, "--data", str(data)], input=stdin, env=settings)


def run(data: Path, *words: str, stdin: str = "", settings: Mapping[str, str] = ALLOWED) -> str:
    """Run a command that must succeed; return its standard output."""
    result = invoke(data, *words, stdin=stdin, settings=settings)
    assert result.exception is None, (result.stderr, result.exception)
    return result.stdout


def read(data: Path, *words: str, **more: Any) -> Any:  # noqa: ANN401 - JSON of any shape
    """Run a command for programs; its output is one JSON document."""
    return json.loads(run(data, *words, "--json", **more))


def refused(data: Path, *words: str, **more: Any) -> ClickledgerError:  # noqa: ANN401 - as invoke
    """Run a command that must fail with an error of ours."""
    result = invoke(data, *words, **more)
    assert isinstance(result.exception, ClickledgerError), result.output
    assert result.stdout == ""
    return result.exception


def add(data: Path, *more: str, name: str = "jobs") -> Any:  # noqa: ANN401 - JSON
    return read(data, "notification", "add", f"--name={name}", "--kind=JOB_COMPLETION", URL, *more)


def put(data: Path, *fates: Fate, at: datetime = AT) -> list[int]:
    """Put events a minute apart, and let this have become of each delivery; return their ids."""
    engine = db.open_engine(db.control_url(Settings(), DataFolder(data)))
    log = Deliveries(engine, SteadyClock())
    (brand, *_) = read(data, "account", "list")
    for number, fate in enumerate(fates):
        event = Event(
            kind=Kind.JOB_COMPLETION,
            name="CLICK_EXPORT_COMPLETED",
            account_sids=(brand["sid"],),
            program_id=1,
            at=at + timedelta(minutes=number),
            values={"JobId": str(number)},
        )
        with engine.begin() as connection:
            assert outbox.put(connection, event, at) == 1
        newest = log.list(None)[0][0].id
        with engine.begin() as connection:
            connection.execute(
                deliveries.update()
                .where(deliveries.c.id == newest)
                .values(fate=fate.value, finished_at=None if fate is Fate.WAITING else at)
            )
    ids = [one.id for one in log.list(None)[0]]
    engine.dispose()
    return ids[::-1]


def change(data: Path, *statements: Update) -> None:
    """Change the control database behind the back of the commands."""
    engine = db.open_engine(db.control_url(Settings(), DataFolder(data)))
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(statement)
    engine.dispose()


# One notification


def test_a_notification_is_added_shown_and_listed(data: Path) -> None:
    added = add(data)
    secret = added.pop("secret")
    assert SECRET.fullmatch(secret)
    assert added == {
        "id": added["id"],
        "account_sid": added["account_sid"],
        "name": "jobs",
        "kind": "JOB_COMPLETION",
        "url": "http://127.0.0.1/in?job={JobId}&token=***",
        "method": "GET",
        "body": "",
        "body_format": "JSON",
        "events": [],
        "program_ids": [],
        "partner_ids": [],
        "action_tracker_ids": [],
        "minimum_delay_s": 0,
        "headers": {},
        "click_limit": 50,
        "created_at": added["created_at"],
        "changed_at": added["changed_at"],
        "failing_since": None,
        "disabled_at": None,
        "disabled_reason": "",
        "clicks_since": None,
    }
    assert read(data, "notification", "show", added["id"]) == added
    assert read(data, "notification", "list") == [added]
    assert read(data, "notification", "list", "--account", added["account_sid"]) == [added]
    for words in (("list",), ("show", added["id"])):
        shown = run(data, "notification", *words)
        assert added["id"] in shown
        assert "verysecret" not in shown
        assert secret not in shown


def test_people_are_shown_the_secret_once(data: Path) -> None:
    shown = run(data, *ADD, URL)
    (secret,) = SECRET.findall(shown)
    assert "Secret (shown this once)" in shown
    (added,) = read(data, "notification", "list")
    assert secret not in run(data, "notification", "show", added["id"])


def test_all_that_may_be_said_is_stored(data: Path) -> None:
    added = read(
        data,
        *("notification", "add", "--name=x", "--kind=EVENT_TYPE", "--url=http://127.0.0.1/"),
        *("--method=POST", "--body=<a>{ActionId}</a>", "--body-format=XML", "--event=TRACKED"),
        *("--program=1", "--partner=1", "--partner=2", "--action-tracker=7"),
        *("--minimum-delay=60", "--header=X-Token: secret: 1", "--click-limit=9"),
    )
    said = {
        "method": "POST",
        "body": "<a>{ActionId}</a>",
        "body_format": "XML",
        "events": ["TRACKED"],
        "program_ids": [1],
        "partner_ids": [1, 2],
        "action_tracker_ids": [7],
        "minimum_delay_s": 60,
        "headers": {"X-Token": "***"},
        "click_limit": 9,
    }
    assert said.items() <= added.items()
    exported = run(data, "notification", "export", "--header-values")
    (entry,) = files.read(exported, {})
    assert entry.draft.headers == {"X-Token": "secret: 1"}


def test_only_what_is_named_is_changed(data: Path) -> None:
    first = add(data, "--event=CLICK_EXPORT_FAILED", "--header=A: b", "--minimum-delay=5")
    words = ("notification", "change", first["id"])
    assert read(data, *words, "--name=new", "--minimum-delay=0")["minimum_delay_s"] == 0
    emptied = read(data, *words, "--empty=events", "--empty=headers", "--header=C: d")
    assert (emptied["name"], emptied["events"]) == ("new", [])
    assert emptied["headers"] == {"C": "***"}
    assert emptied["url"] == first["url"]
    assert "nothing to change" in str(refused(data, *words))


def test_what_is_wrong_is_told_all_at_once(data: Path) -> None:
    error = refused(data, *ADD, "--url=https://127.0.0.1/?a={JobIdd}", "--event=X", "--program=9")
    assert isinstance(error, InvalidInputError)
    assert [fault.field for fault in error.fields] == ["Url", "Events", "ProgramIds"]
    assert "did you mean {JobId}" in str(error)


def test_an_address_that_may_not_be_called_is_refused(data: Path) -> None:
    private = refused(data, *ADD, "--url=http://127.0.0.1/", settings={})
    assert "127.0.0.1 may not be called" in str(private)
    assert "port 8080 may not be called" in str(refused(data, *ADD, "--url=http://127.0.0.1:8080/"))


def test_a_header_without_a_colon_is_refused_and_not_repeated(data: Path) -> None:
    error = refused(data, *ADD, URL, "--header=A: b", "--header=topsecret")
    assert str(error) == "header: the 2. is not NAME: VALUE"


@pytest.mark.parametrize("words", [("add", "--name=n", "--kind=CLICK", URL), ("change", "jobs")])
def test_a_header_that_is_given_twice_is_refused(data: Path, words: tuple[str, ...]) -> None:
    jobs = add(data, "--header=X-One: 1")["id"]
    error = refused(
        data,
        "notification",
        *(jobs if word == "jobs" else word for word in words),
        "--header=Authorization: first",
        "--header=Authorization: second",
    )
    assert str(error) == "header: the 2. has the name of an earlier one"


def test_what_was_shown_masked_may_come_back_and_stays(data: Path) -> None:
    jobs = add(data, "--method=POST", '--body={"token":"bodysecret"}', "--header=Key: headersecret")
    run(
        data,
        "notification",
        "change",
        jobs["id"],
        f"--url={jobs['url']}",
        f"--body={jobs['body']}",
        "--header=key: ***",
        "--header=X-New: 1",
    )
    exported = run(data, "notification", "export", "--header-values")
    assert "token=verysecret" in exported
    assert "bodysecret" in exported
    assert '"key" = "headersecret"' in exported
    assert '"X-New" = "1"' in exported
    assert "***" not in exported


@pytest.mark.parametrize(
    ("option", "field"),
    [
        ("--url=http://127.0.0.1/elsewhere?token=***", "url"),
        ('--body={"token":"***","job":"{JobId}"}', "body"),
        ("--header=Other: ***", "header"),
    ],
)
def test_a_mask_that_stands_for_nothing_is_refused(data: Path, option: str, field: str) -> None:
    jobs = add(data, "--method=POST", '--body={"token":"bodysecret"}')
    error = refused(data, "notification", "change", jobs["id"], option)
    assert isinstance(error, InvalidInputError)
    assert [one.field for one in error.fields] == [field]
    assert "say the secret itself" in str(error)


def test_a_new_notification_cannot_be_said_with_a_mask(data: Path) -> None:
    words = ("notification", "add", "--name=n", "--kind=CLICK")
    for more in (
        ("--url=http://127.0.0.1/?key=***",),
        ("--url=http://127.0.0.1/", "--header=A: ***"),
    ):
        assert "say the secret itself" in str(refused(data, *words, *more))


def test_the_body_that_is_shown_is_one_that_is_sent(data: Path) -> None:
    assert "every macro" not in run(data, "notification", "show", add(data)["id"])
    posted = add(data, "--method=POST", name="posted")["id"]
    assert "every macro, as JSON" in run(data, "notification", "show", posted)


def test_a_secret_may_be_given_and_comes_from_standard_input(data: Path) -> None:
    secret = f"whsec_{'A' * 43}="
    assert add(data, f"--secret={secret}")["secret"] == secret
    words = (*ADD[:2], "--name=y", "--kind=CLICK", URL.replace("JobId", "ClickId"))
    piped = json.loads(run(data, *words, "--secret=-", "--json", stdin=f"{secret}\n"))
    assert piped["secret"] == secret
    assert "Secret: must start with whsec_" in str(
        refused(data, *words, "--name=z", "--secret=-", stdin="nonsense\n")
    )


def test_a_secret_is_rotated_and_both_sign_for_a_while(data: Path) -> None:
    first = add(data)
    words = ("notification", "rotate-secret", first["id"])
    second = read(data, *words)
    assert SECRET.fullmatch(second["secret"])
    assert second["secret"] != first["secret"]
    assert re.search(r"Secrets that sign +2", run(data, "notification", "show", first["id"]))
    shown = run(data, *words)
    assert len(SECRET.findall(shown)) == 1
    assert "signs too for 86400 seconds" in shown


def test_a_notification_is_disabled_enabled_and_removed(data: Path) -> None:
    made = add(data)
    off = read(data, "notification", "disable", made["id"], "--reason=Moving house.")
    assert (off["disabled_reason"], off["disabled_at"] is None) == ("Moving house.", False)
    assert "off since" in run(data, "notification", "show", made["id"])
    on = read(data, "notification", "enable", made["id"])
    assert (on["disabled_reason"], on["disabled_at"]) == ("", None)
    assert "jobs is removed" in run(data, "notification", "remove", made["id"])
    assert read(data, "notification", "list") == []


def test_one_that_fails_says_since_when(data: Path) -> None:
    made = add(data)
    change(data, notifications.update().values(failing_since=AT))
    assert "on, failing since 2026-11-20 12:00:00Z" in run(data, "notification", "list")
    assert read(data, "notification", "show", made["id"])["failing_since"] == "2026-11-20T12:00:00Z"


@pytest.mark.parametrize(
    "words", [("show",), ("change", "--name=x"), ("remove",), ("enable",), ("disable",), ("test",)]
)
def test_an_unknown_notification_is_said_to_be_unknown(data: Path, words: tuple[str, ...]) -> None:
    error = refused(data, "notification", words[0], "nonsense", *words[1:])
    assert isinstance(error, NotFoundError)


def test_a_partner_has_notifications_of_its_own(data: Path) -> None:
    brand, partner, _ = read(data, "account", "list")
    added = add(data, "--account", partner["sid"])
    assert added["account_sid"] == partner["sid"]
    assert add(data)["account_sid"] == brand["sid"]  # the same name, of another account
    assert len(read(data, "notification", "list")) == 2
    assert isinstance(refused(data, *ADD, URL, "--account=IRnobody"), NotFoundError)
    with_two = read(data, "account", "add", "--name=Second")
    assert "account: name one of" in str(refused(data, *ADD, URL, "--name=y"))
    assert add(data, "--account", with_two["sid"])["account_sid"] == with_two["sid"]


# Files


FILE = """\
[[notification]]
name = "jobs"
kind = "JOB_COMPLETION"
url = "http://127.0.0.1/in?job={JobId}"

[[notification]]
name = "clicks"
kind = "CLICK"
url = "http://127.0.0.1/clicks"
"""


def written(data: Path, text: str) -> str:
    path = data.parent / "notifications.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def names(applied: Mapping[str, Any]) -> dict[str, list[str]]:
    return {what: [one["name"] for one in found] for what, found in applied.items()}


def test_a_file_is_applied_and_applied_again(data: Path) -> None:
    first = read(data, "notification", "apply", written(data, FILE))
    assert names(first) == {"created": ["jobs", "clicks"], "changed": [], "unchanged": []}
    assert all(SECRET.fullmatch(one["secret"]) for one in first["created"])
    again = written(data, FILE + "click_limit = 3\n")
    second = read(data, "notification", "apply", again)
    assert names(second) == {"created": [], "changed": ["clicks"], "unchanged": ["jobs"]}
    assert "secret" not in second["changed"][0]
    shown = run(data, "notification", "apply", again)
    assert len(re.findall("as it was", shown)) == 2
    assert "whsec_" not in shown


def test_what_is_exported_can_be_applied(data: Path) -> None:
    run(data, "notification", "apply", written(data, FILE))
    exported = run(data, "notification", "export")
    assert names(read(data, "notification", "apply", written(data, exported))) == {
        "created": [],
        "changed": [],
        "unchanged": ["jobs", "clicks"],
    }


def test_what_a_file_does_not_name_is_left_alone(data: Path) -> None:
    other = add(data, name="other")
    run(data, "notification", "apply", written(data, FILE))
    assert read(data, "notification", "show", other["id"])["changed_at"] == other["changed_at"]


def test_a_file_is_applied_as_a_whole_or_not_at_all(data: Path) -> None:
    path = written(data, FILE.replace("127.0.0.1/clicks", "127.0.0.1:81/") + "program_ids = [9]\n")
    error = refused(data, "notification", "apply", path)
    assert isinstance(error, InvalidInputError)
    assert str(error).startswith(f"{path}: line 9, url: port 81 may not be called")
    assert [fault.field for fault in error.fields] == ["line 9, url", "line 10, program_ids"]
    assert read(data, "notification", "list") == []


def test_a_fault_of_the_file_itself_is_told_with_file_and_line(data: Path) -> None:
    path = written(data, FILE.replace('kind = "CLICK"', 'kind = "CLIC"'))
    assert str(refused(data, "notification", "apply", path)).startswith(
        f"{path}: line 8, kind: 'CLIC' is unknown; did you mean CLICK?"
    )


def test_a_file_that_cannot_be_read_is_told(data: Path) -> None:
    missing = refused(data, "notification", "apply", "/nonexistent.toml")
    assert "/nonexistent.toml cannot be read" in str(missing)
    (data.parent / "latin.toml").write_bytes(b"# \xe4")
    latin = refused(data, "notification", "apply", str(data.parent / "latin.toml"))
    assert "cannot be read" in str(latin)


def test_a_headers_value_comes_from_the_environment(data: Path) -> None:
    text = FILE + '[notification.headers]\nAuthorization = { env = "HOOKS" }\n'
    path = written(data, text)
    assert "the environment has no HOOKS" in str(refused(data, "notification", "apply", path))
    run(data, "notification", "apply", path, settings={**ALLOWED, "HOOKS": "Bearer topsecret"})
    assert "topsecret" not in run(data, "notification", "export")
    assert 'Authorization" = "Bearer topsecret"' in run(
        data, "notification", "export", "--header-values"
    )


# A test send


def allowed(endpoint: Receiver) -> dict[str, str]:
    return {f"CLICKLEDGER_{name}": value for name, value in endpoint.allowed().items()}


def test_a_test_calls_the_endpoint_signed_and_shows_both_sides(data: Path, tmp_path: Path) -> None:
    with receiver(tmp_path) as endpoint:
        settings = allowed(endpoint)
        url = endpoint.url("/ok?job={JobId}&token=verysecret")
        words = ("--method=POST", "--header=X-Key: topsecret", "--json")
        made = json.loads(run(data, *ADD, f"--url={url}", *words, settings=settings))
        shown = run(data, "notification", "test", made["id"], settings=settings)
        told = read(data, "notification", "test", made["id"], settings=settings)
        first, second = endpoint.requests()
    Webhook(made["secret"]).verify(first.body, dict(first.headers))
    assert first.header("X-Key") == "topsecret"
    assert "token=verysecret" in first.target
    for text in (shown, json.dumps(told)):
        assert "topsecret" not in text
        assert "verysecret" not in text
    assert first.header("webhook-signature") in shown
    assert first.body.decode() in shown
    assert "thanks" in shown
    assert told["request"]["body"] == second.body.decode()
    assert (told["answer"]["status"], told["answer"]["problem"]) == (200, "")
    assert read(data, "postbacks", "list") == []


def test_a_test_that_is_not_taken_exits_with_1(data: Path, tmp_path: Path) -> None:
    with receiver(tmp_path) as endpoint:
        settings = allowed(endpoint)
        made = json.loads(
            run(data, *ADD, f"--url={endpoint.url('/status/500')}", "--json", settings=settings)
        )
        result = invoke(data, "notification", "test", made["id"], settings=settings)
    assert (result.exit_code, "500 after" in result.stdout) == (1, True)
    gone = invoke(data, "notification", "test", made["id"], settings=settings)
    assert gone.exit_code == 1
    assert "no connection" in gone.stdout


# The log


def test_deliveries_are_listed_newest_first(data: Path) -> None:
    made = add(data)
    ids = put(data, Fate.DELIVERED, Fate.FAILED, Fate.SKIPPED, Fate.WAITING)

    def listed(*words: str) -> list[int]:
        return [one["id"] for one in read(data, "postbacks", "list", *words)]

    assert listed() == ids[::-1]
    assert listed("--failed") == [ids[2], ids[1]]
    assert listed("--fate=DELIVERED") == [ids[0]]
    assert listed("--from=2026-11-20T12:01:00Z", "--to=2026-11-20T14:03:00+02:00") == ids[2:0:-1]
    assert listed("--to=2026-11-20") == ids[::-1]
    assert listed("--to=2026-11-20T12:01") == [ids[0]]
    assert listed("--from=2026-11-21") == []
    assert listed("--notification", made["id"]) == ids[::-1]
    assert listed("--notification=nonsense") == []
    assert listed("--account=IRnobody") == []
    assert listed("--limit=1") == [ids[3]]
    shown = run(data, "postbacks", "list", "--limit=2")
    assert "2 of 4" in shown
    assert "CLICK_EXPORT_COMPLETED" in shown


def test_a_delivery_is_shown_with_each_attempt(data: Path) -> None:
    add(data)
    (one,) = put(data, Fate.DELIVERED)
    engine = db.open_engine(db.control_url(Settings(), DataFolder(data)))
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO attempts (delivery_id, number, started_at, duration_ms, method, url, "
            "request_headers, request_body, status, response_headers, response_body, outcome) "
            "VALUES (1, 1, '2026-11-20 12:00:00', 7, 'GET', 'http://a.example/', "
            '\'[["webhook-id", "msg_1"]]\', \'\', 500, \'[["X-Who", "me"]]\', '
            "'\x1b[31mred', 'Failed: 500.'), (1, 2, '2026-11-20 12:00:05', 9, 'GET', "
            "'http://a.example/', '[]', '', NULL, '[]', '', 'Failed: no connection.')"
        )
    engine.dispose()
    shown = run(data, "postbacks", "show", str(one))
    for text in (
        "Attempt 1 at 2026-11-20 12:00:00Z, 7 ms. Failed: 500.",
        "GET http://a.example/",
        "webhook-id: msg_1",
        "X-Who: me",
        "Failed: no connection.",
        "DELIVERED",
    ):
        assert text in shown
    assert "\x1b" not in shown  # what an endpoint sends does not steer the terminal
    assert "\\x1b[31mred" in shown
    told = read(data, "postbacks", "show", str(one))
    assert told["values"] == {"JobId": "0"}
    assert [attempt["status"] for attempt in told["log"]] == [500, None]


def test_one_delivery_is_replayed(data: Path) -> None:
    add(data)
    (one,) = put(data, Fate.FAILED)
    assert read(data, "postbacks", "replay", str(one))["fate"] == "WAITING"
    assert isinstance(refused(data, "postbacks", "replay", str(one)), ConflictError)
    assert isinstance(refused(data, "postbacks", "replay", "99"), NotFoundError)


def test_a_range_is_replayed(data: Path) -> None:
    made = add(data)
    put(data, Fate.FAILED, Fate.DELIVERED, Fate.FAILED, Fate.SKIPPED)
    words = ("postbacks", "replay")
    assert read(data, *words, "--failed", "--to=2026-11-20T12:01:00Z") == {"replayed": 1}
    assert read(data, *words, "--failed", "--account=IRnobody") == {"replayed": 0}
    assert "2 deliveries are queued again" in run(data, *words, "--failed")
    assert read(data, *words, "--notification", made["id"]) == {"replayed": 1}
    assert isinstance(refused(data, *words, "--notification=nonsense"), NotFoundError)


def test_people_see_how_far_a_replay_is(data: Path) -> None:
    add(data)
    (one,) = put(data, Fate.FAILED)
    at_a_terminal = {**ALLOWED, "FORCE_COLOR": "1"}
    seen = invoke(data, "postbacks", "replay", "--failed", settings=at_a_terminal)
    assert "Replaying" in seen.stderr
    assert "100%" in seen.stderr
    piped = invoke(data, "postbacks", "replay", "--failed", "--json")
    assert json.loads(piped.stdout) == {"replayed": 0}
    change(data, deliveries.update().values(fate=Fate.FAILED.value))
    assert "WAITING" in run(data, "postbacks", "replay", str(one))


@pytest.mark.parametrize("words", [(), ("1", "--failed"), ("1", "--from=2026-11-20")])
def test_a_replay_names_a_delivery_or_a_range(data: Path, words: tuple[str, ...]) -> None:
    assert "name either a delivery, or a range" in str(refused(data, "postbacks", "replay", *words))


@pytest.mark.parametrize("option", ["--from", "--to"])
def test_what_is_no_time_is_refused(data: Path, option: str) -> None:
    error = refused(data, "postbacks", "list", f"{option}=yesterday")
    assert "yesterday is neither a date like" in str(error)


# Start-up


def loaded(*words: str) -> set[str]:
    """Return the modules that a command has loaded when it is done."""
    code = (
        "import sys\nfrom clickledger.cli import main\ntry:\n    main()\n"
        "except SystemExit:\n    pass\nprint(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **ALLOWED},
    )
    return {name.partition(".")[0] for name in done.stderr.split()}


def test_a_command_loads_neither_http_nor_the_lake_without_need(data: Path) -> None:
    heavy = {"httpcore", "deltalake", "duckdb", "pyarrow", "litestar", "dbos", "granian"}
    for words in (("notification", "list"), (*ADD, URL), ("postbacks", "list"), ("job", "list")):
        assert loaded(*words, "--data", str(data)).isdisjoint(heavy), words
    assert "httpcore" in loaded("notification", "test", "nonsense", "--data", str(data))


def test_a_command_prints_json_and_nothing_else(data: Path) -> None:
    command = [sys.executable, "-m", "clickledger", *ADD, URL, "--json", "--data", str(data)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, **ALLOWED}
    )
    assert json.loads(done.stdout)["name"] == "jobs"
    assert done.stderr == ""


def test_help_names_every_command() -> None:
    told = CliRunner().invoke(app, ["--help"]).stdout
    for name in ("init", "serve", "lake", "job", "notification", "postbacks"):
        assert re.search(rf"\b{name}\b", told)
    below = CliRunner().invoke(app, ["notification", "--help"]).stdout
    assert re.search(r"\btest\b.*samples", below)
