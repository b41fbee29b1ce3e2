"""The commands over data folders, programs, accounts and keys, through the installed command."""

import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from clickledger.accounts.keys import Keys, Ring
from clickledger.accounts.store import Accounts
from clickledger.cli import app
from clickledger.config import DataFolder, Settings
from clickledger.db import engine as db
from clickledger.db import revisions
from clickledger.errors import ClickledgerError
from clickledger.programs.directory import Directory, Route

COMMAND = str(Path(sys.executable).with_name("clickledger"))
SID = re.compile(r"IR[A-Za-z0-9]{32}")
TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


def installed(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the installed command in a process of its own."""
    return subprocess.run(
        [COMMAND, *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, **environment},
    )


def run(*words: str, data: Path, settings: dict[str, str] | None = None) -> str:
    """Run a command that must succeed, in this process; return its standard output."""
    result = CliRunner().invoke(app, [*words, "--data", str(data)], env=settings)
    assert result.exception is None, (result.stderr, result.exception)
    assert result.exit_code == 0
    return result.stdout


def read(*words: str, data: Path) -> Any:  # noqa: ANN401 - JSON of any shape
    """Run a command for programs; nothing but one JSON document may be on its output."""
    return json.loads(run(*words, "--json", data=data))


def refused(*words: str, data: Path) -> str:
    """Run a command that must fail with an error of ours; return its sentence."""
    result = CliRunner().invoke(app, [*words, "--data", str(data)])
    assert isinstance(result.exception, ClickledgerError), result.output
    assert result.stdout == ""
    return str(result.exception)


def listing(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder with its bytes."""
    return {str(file): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    run("init", "--demo", data=tmp_path / "data")
    return tmp_path / "data"


# init


def test_init_demo_prints_exactly_the_agreed_document(tmp_path: Path) -> None:
    done = installed("init", "--data", str(tmp_path / "data"), "--demo", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    made = json.loads(done.stdout)
    assert list(made) == ["advertiser", "partners", "program_id", "ad_ids", "tracking_urls"]
    assert list(made["advertiser"]) == ["sid", "token"]
    assert [list(partner) for partner in made["partners"]] == [["id", "sid", "token"]] * 2
    assert len(made["ad_ids"]) == 2
    assert made["tracking_urls"] == [
        f"http://127.0.0.1:8080/c/{partner['id']}/{ad_id}/{made['program_id']}"
        for partner in made["partners"]
        for ad_id in made["ad_ids"]
    ]
    credentials = [made["advertiser"], *made["partners"]]
    assert all(SID.fullmatch(one["sid"]) and TOKEN.fullmatch(one["token"]) for one in credentials)
    assert len({one["token"] for one in credentials}) == 3
    folder = DataFolder(tmp_path / "data")
    engine = db.open_engine(db.control_url(Settings(), folder))
    accounts = Accounts(engine, Keys.load(folder.keys).ring(Ring.TOKEN))
    kinds = [accounts.authenticate(one["sid"], one["token"]).kind for one in credentials]
    assert kinds == ["advertiser", "partner", "partner"]
    assert not revisions.check(engine).behind
    engine.dispose()


def test_init_makes_the_account_of_a_brand_and_nothing_else(tmp_path: Path) -> None:
    made = read("init", "--name", "Söhne", "--time-zone", "Europe/Berlin", data=tmp_path / "data")
    assert made == {
        "advertiser": made["advertiser"],
        "partners": [],
        "program_id": None,
        "ad_ids": [],
        "tracking_urls": [],
    }
    (account,) = read("account", "list", data=tmp_path / "data")
    assert account == {
        "sid": made["advertiser"]["sid"],
        "kind": "advertiser",
        "name": "Söhne",
        "time_zone": "Europe/Berlin",
    }


def test_init_shows_people_the_tokens_once(tmp_path: Path) -> None:
    shown = run("init", "--demo", data=tmp_path / "data")
    assert len(set(TOKEN.findall(shown))) >= 3
    assert "shown this once" in shown
    assert "http://127.0.0.1:8080/c/1/1/1" in shown


def test_tracking_links_start_with_the_public_url(tmp_path: Path) -> None:
    words = ("init", "--demo", "--json")
    settings = {"CLICKLEDGER_PUBLIC_URL": "https://go.example/"}
    made = json.loads(run(*words, data=tmp_path / "data", settings=settings))
    assert made["tracking_urls"][0].startswith("https://go.example/c/")


def test_a_new_data_folder_is_private(demo: Path) -> None:
    assert demo.stat().st_mode & 0o777 == 0o700
    for name in ("keys.json", "control.db", "directory.snapshot"):
        assert (demo / name).stat().st_mode & 0o777 == 0o600
    assert list(demo.parent.iterdir()) == [demo]


def test_a_collector_could_start_at_once_without_the_database(demo: Path) -> None:
    directory = Directory.from_bytes(DataFolder(demo).directory_snapshot.read_bytes())
    assert isinstance(directory.route(2, 2, 1), Route)


def test_init_on_a_data_folder_changes_nothing(demo: Path) -> None:
    before = listing(demo.parent)
    done = installed("init", "--data", str(demo), "--json")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"clickledger: {demo} is a data folder already; nothing was changed\n"
    assert listing(demo.parent) == before


def test_init_on_anything_else_that_exists_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "photo.jpg").touch()
    (tmp_path / "file").touch()
    before = sorted(tmp_path.rglob("*"))
    for name in ("full", "file"):
        assert "nothing was changed" in refused("init", data=tmp_path / name)
    assert "cannot be made" in refused("init", data=tmp_path / "file" / "below")
    assert "mount point" in refused("init", data=Path("/"))
    assert sorted(tmp_path.rglob("*")) == before


def test_init_takes_an_empty_folder_and_one_whose_parents_are_missing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir(mode=0o755)
    run("init", data=tmp_path / "empty")
    assert (tmp_path / "empty").stat().st_mode & 0o777 == 0o700
    run("init", data=tmp_path / "a" / "b" / "data")
    assert DataFolder(tmp_path / "a" / "b" / "data").keys.is_file()


def test_an_init_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    assert "time_zone" in refused("init", "--time-zone", "Mars", data=tmp_path / "data")
    assert "name" in refused("init", "--name", " ", data=tmp_path / "data")
    assert list(tmp_path.iterdir()) == []


def test_two_inits_at_once_make_one_folder(tmp_path: Path) -> None:
    def init(_: int) -> subprocess.CompletedProcess[str]:
        return installed("init", "--data", str(tmp_path / "data"), "--json")

    with ThreadPoolExecutor(3) as pool:
        done = list(pool.map(init, range(3)))
    (winner,) = [one for one in done if one.returncode == 0]
    assert all(one.stderr.startswith("clickledger: ") for one in done if one is not winner)
    (account,) = read("account", "list", data=tmp_path / "data")
    assert account["sid"] == json.loads(winner.stdout)["advertiser"]["sid"]
    assert [file.name for file in tmp_path.iterdir()] == ["data"]


def test_a_database_that_belongs_to_another_folder_is_refused(demo: Path, tmp_path: Path) -> None:
    """Its tokens were hashed with the keys of that folder."""
    other = tmp_path / "other"
    result = CliRunner().invoke(
        app,
        ["init", "--data", str(other)],
        env={"CLICKLEDGER_DATABASE_URL": f"sqlite:///{demo / 'control.db'}"},
    )
    assert "has accounts already" in str(result.exception)
    assert not other.exists()


# Adding, listing, showing


def test_a_program_is_added_listed_and_shown(demo: Path) -> None:
    added = read(
        "program",
        "add",
        "--name=Second",
        "--time-zone=Australia/Lord_Howe",
        "--landing-page=https://Shop.example",
        "--deep-link-domain=shop.example",
        "--deep-link-domain=*.shop.example",
        "--click-id-param=clickid",
        "--partner-template=p={irpid}",
        "--program-template=a={iradid}",
        "--hide-sub-ids",
        data=demo,
    )
    assert added == {
        "id": 2,
        "advertiser_sid": added["advertiser_sid"],
        "name": "Second",
        "time_zone": "Australia/Lord_Howe",
        "landing_page": "https://shop.example/",
        "deep_link_domains": ["shop.example", "*.shop.example"],
        "click_id_param": "clickid",
        "partner_template": "p={irpid}",
        "program_template": "a={iradid}",
        "hide_sub_ids": True,
    }
    assert read("program", "show", "2", data=demo) == added
    assert read("program", "list", data=demo)[1] == added
    assert "Australia/Lord_Howe" in run("program", "list", data=demo)
    shown = run("program", "show", "2", data=demo)
    assert re.search(r"Time zone +Australia/Lord_Howe \(fixed\)", shown)
    assert re.search(r"Hide sub ids +yes", shown)


def test_a_partner_is_added_with_a_token_that_is_shown_once(demo: Path) -> None:
    added = read("partner", "add", "--name=Third [red]", data=demo)
    assert list(added) == ["id", "sid", "advertiser_sid", "name", "token"]
    token = added.pop("token")
    assert read("partner", "show", "3", data=demo) == added
    assert read("partner", "list", data=demo)[2] == added
    texts = [
        run("partner", "list", data=demo),
        run("partner", "show", "3", data=demo),
        run("account", "list", data=demo),
    ]
    for text in texts:
        assert "Third [red]" in text
        assert added["sid"] in text
        assert token not in text
    assert re.search(
        r"Token \(shown this once\) +[\w-]{43}", run("partner", "add", "--name=x", data=demo)
    )


def test_an_ad_is_added_and_shown_with_its_tracking_links(demo: Path) -> None:
    added = read("ad", "add", "--program=1", "--name=Third", "--type=COUPON", data=demo)
    assert added == {
        "id": 3,
        "program_id": 1,
        "name": "Third",
        "type": "COUPON",
        "landing_page": "",
        "tracking_urls": ["http://127.0.0.1:8080/c/1/3/1", "http://127.0.0.1:8080/c/2/3/1"],
    }
    assert read("ad", "show", "3", data=demo) == added
    assert [one["id"] for one in read("ad", "list", data=demo)] == [1, 2, 3]
    assert read("ad", "list", "--program=2", data=demo) == []
    assert "COUPON" in run("ad", "list", data=demo)
    assert "http://127.0.0.1:8080/c/2/3/1" in run("ad", "show", "3", data=demo)


def test_a_link_is_added_listed_and_shown(demo: Path) -> None:
    words = ("--program=1", "--partner=2", "--ad=1", "--deep-link=https://a.example.com/x")
    added = read("link", "add", "/summer", *words, data=demo)
    assert added == {
        "path": "/summer",
        "program_id": 1,
        "partner_id": 2,
        "ad_id": 1,
        "deep_link": "https://a.example.com/x",
        "url": "http://127.0.0.1:8080/summer",
    }
    assert read("link", "show", "/summer", data=demo) == added
    assert read("link", "list", data=demo) == [added]
    assert read("link", "list", "--program=2", data=demo) == []
    assert "/summer" in run("link", "list", data=demo)
    assert "http://127.0.0.1:8080/summer" in run("link", "show", "/summer", data=demo)


def test_an_account_is_shown_and_given_a_new_token(demo: Path) -> None:
    (brand, *_) = read("account", "list", data=demo)
    assert read("account", "show", brand["sid"], data=demo) == brand
    assert brand["sid"] in run("account", "show", brand["sid"], data=demo)
    first = read("account", "rotate-token", brand["sid"], data=demo)
    second = run("account", "rotate-token", brand["sid"], data=demo)
    assert {**brand, "token": first["token"]} == first
    assert first["token"] not in second
    assert re.search(r"Token \(shown this once\) +[\w-]{43}", second)


def test_with_several_brands_the_account_is_to_be_named(demo: Path) -> None:
    second = read("account", "add", "--name=Second brand", data=demo)
    words = ("program", "add", "--name=x", "--time-zone=UTC", "--landing-page=https://x.example/")
    assert "account: name one of" in refused(*words, data=demo)
    added = read(*words, "--account", second["sid"], data=demo)
    assert added["advertiser_sid"] == second["sid"]
    assert read("program", "list", "--account", second["sid"], data=demo) == [added]
    assert "there is no program" in refused(
        "program", "show", "1", "--account", second["sid"], data=demo
    )
    assert "no advertiser IRnobody" in refused(
        "program", "list", "--account", "IRnobody", data=demo
    )


def test_each_change_reaches_the_snapshot(demo: Path) -> None:
    run("ad", "add", "--program=1", "--name=x", data=demo)
    run("partner", "add", "--name=x", data=demo)
    directory = Directory.from_bytes(DataFolder(demo).directory_snapshot.read_bytes())
    assert isinstance(directory.route(3, 3, 1), Route)


def test_a_change_whose_snapshot_cannot_be_written_is_kept_and_told(demo: Path) -> None:
    """The fault: a folder bears the snapshot's name."""
    DataFolder(demo).directory_snapshot.unlink()
    DataFolder(demo).directory_snapshot.mkdir()
    result = CliRunner().invoke(app, ["partner", "add", "--name=x", "--json", "--data", str(demo)])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["id"] == 3
    assert "the snapshot was not written" in result.stderr
    assert len(read("partner", "list", data=demo)) == 3


def test_commands_at_once_both_count(demo: Path) -> None:
    def add(number: int) -> int:
        return installed("partner", "add", f"--name=p{number}", "--data", str(demo)).returncode

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(add, range(4))) == [0, 0, 0, 0]
    assert len(read("partner", "list", data=demo)) == 6
    directory = Directory.from_bytes(DataFolder(demo).directory_snapshot.read_bytes())
    assert len(directory.records.partners) == 6


# Keys


def test_keys_are_listed_without_their_secrets_and_rotated(demo: Path) -> None:
    before = read("keys", "list", data=demo)
    assert [one["ring"] for one in before] == ["click_id", "token", "visitor", "download"]
    made = read("keys", "rotate", "download", data=demo)
    after = read("keys", "list", data=demo)
    assert [one["ring"] for one in after] == [one["ring"] for one in before] + ["download"]
    assert after[3] == made
    assert after[4]["id"] == before[3]["id"]
    assert after[4]["verifies_until"] is not None
    texts = run("keys", "list", data=demo) + json.dumps(after)
    for ring in json.loads((demo / "keys.json").read_text())["rings"].values():
        assert all(key["id"] in texts and key["secret"] not in texts for key in ring)
    assert "Restart" in run("keys", "rotate", "click_id", data=demo)


# Errors


def test_an_error_is_one_line_on_stderr_and_exit_code_1(demo: Path) -> None:
    words = ("program", "add", "--name=x", "--landing-page=https://x.example/")
    done = installed(*words, "--time-zone=Europe/Berln", "--data", str(demo))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "clickledger: time_zone: 'Europe/Berln' is not an IANA time zone; "
        "did you mean Europe/Berlin?\n"
    )


@pytest.mark.parametrize(
    "words",
    [
        ("program", "add", "--name=x"),
        ("program", "show", "one"),
        ("keys", "rotate", "nosuch"),
        ("nosuch",),
        ("program", "list", "--nosuch"),
    ],
)
def test_wrong_usage_exits_with_2(demo: Path, words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, [*words, "--data", str(demo)])
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Usage: " in result.stderr


def test_the_data_folder_may_come_from_the_environment(demo: Path) -> None:
    done = installed("program", "list", "--json", CLICKLEDGER_DATA=str(demo))
    assert (done.returncode, done.stderr) == (0, "")
    assert len(json.loads(done.stdout)) == 1
    missing = CliRunner().invoke(app, ["program", "list"], env={"CLICKLEDGER_DATA": None})
    assert missing.exit_code == 2
    assert "CLICKLEDGER_DATA" in missing.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("program", "list"),
        ("partner", "list"),
        ("ad", "list"),
        ("link", "list"),
        ("account", "list"),
        ("keys", "list"),
        ("keys", "rotate", "token"),
    ],
)
def test_a_folder_that_is_no_data_folder_is_told(tmp_path: Path, words: tuple[str, ...]) -> None:
    assert "is not a data folder; make one with `clickledger init" in refused(*words, data=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("program", "show", "9"), "there is no program 9"),
        (("partner", "show", "9"), "there is no partner 9"),
        (("ad", "show", "9"), "there is no ad 9"),
        (("link", "show", "/9"), "there is no link /9"),
        (("account", "show", "IR9"), "there is no account 'IR9'"),
        (("account", "rotate-token", "IR9"), "there is no account 'IR9'"),
        (("ad", "add", "--program=9", "--name=x"), "there is no program 9"),
        (("ad", "add", "--program=1", "--name=x", "--type=X"), "type: 'X' is not an ad type"),
        (("partner", "add", "--name="), "name: must not be empty"),
        (("account", "add", "--name=x", "--time-zone=x"), "time_zone: 'x' is not"),
        (
            ("link", "add", "/c/1", "--program=1", "--partner=1", "--ad=1"),
            "path: '/c/1': /c/ has a meaning of its own",
        ),
        (("link", "add", "/x", "--program=1", "--partner=9", "--ad=1"), "there is no partner 9"),
    ],
)
def test_what_cannot_be_done_is_told(demo: Path, words: tuple[str, ...], says: str) -> None:
    assert says in refused(*words, data=demo)


def test_a_wrong_setting_is_named(demo: Path) -> None:
    for name, value in (("JOB_TRIES", "many"), ("TRUSTED_PROXIES", "[")):
        done = installed("program", "list", "--data", str(demo), **{f"CLICKLEDGER_{name}": value})
        assert (done.returncode, done.stdout) == (1, "")
        assert name in done.stderr.upper()
        assert done.stderr.count("\n") == 1


def test_a_database_that_is_gone_is_told(demo: Path) -> None:
    (demo / "control.db").unlink()
    done = installed("program", "list", "--data", str(demo))
    assert done.returncode == 1
    assert done.stderr == (
        "clickledger: the control database does not answer: unable to open database file\n"
    )
    assert not (demo / "control.db").exists()


def test_a_database_that_waits_for_its_migrations_is_told(demo: Path) -> None:
    (demo / "control.db").unlink()
    (demo / "control.db").touch()
    assert "is at revision none and 0002 is needed" in refused("program", "list", data=demo)


def test_damaged_keys_are_told(demo: Path) -> None:
    (demo / "keys.json").write_text("{")
    assert "is not a file of keys" in refused("program", "list", data=demo)


def test_the_time_zone_is_said_to_be_fixed() -> None:
    shown = " ".join(CliRunner().invoke(app, ["program", "add", "--help"]).stdout.split())
    assert "fixed from" in shown
