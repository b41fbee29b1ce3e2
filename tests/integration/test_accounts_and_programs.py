"""Accounts, programs, partners, ads and links in a real control database.

SQLite always; also the scratch database named by ``CLICKLEDGER_TEST_DATABASE_URL``, if any, whose
tables are dropped first.
"""

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select

from clickledger.accounts.model import Account
from clickledger.accounts.store import Accounts
from clickledger.db import engine as db
from clickledger.db import revisions, tables
from clickledger.errors import (
    ClickledgerError,
    ConflictError,
    InvalidInputError,
    NotFoundError,
    UnauthenticatedError,
)
from clickledger.programs import store
from clickledger.programs.directory import Route
from clickledger.programs.model import Ad, Partner, Program
from clickledger.programs.store import Programs

KEY = b"k" * 32
SCRATCH = "CLICKLEDGER_TEST_DATABASE_URL"
PAGE = "https://shop.example/"


@dataclass
class Brand:
    account: Account
    token: str
    program: Program
    partner: Partner
    partner_token: str
    ad: Ad

    @property
    def sid(self) -> str:
        return self.account.sid


@dataclass
class Rig:
    engine: Engine
    accounts: Accounts
    programs: Programs

    def brand(self, name: str = "Brand") -> Brand:
        """Add a brand with one of each."""
        with self.engine.begin() as connection:
            account, token = self.accounts.create(connection, "advertiser", name)
        program = self.programs.create_program(
            advertiser_sid=account.sid, name="Program", time_zone="Europe/Berlin", landing_page=PAGE
        )
        partner, partner_token = self.programs.create_partner(
            advertiser_sid=account.sid, name="Partner"
        )
        ad = self.programs.create_ad(
            advertiser_sid=account.sid, program_id=program.id, name="Ad", type="BANNER"
        )
        return Brand(account, token, program, partner, partner_token, ad)

    def version(self) -> int:
        return store.read_version(self.engine)


@pytest.fixture(params=["sqlite", *filter(None, [os.environ.get(SCRATCH)])])
def rig(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Rig]:
    if request.param == "sqlite":
        engine = db.open_engine(f"sqlite:///{tmp_path / 'control.db'}")
    else:
        engine = db.open_engine(request.param)
        with engine.begin() as connection:
            tables.metadata.drop_all(connection)
            connection.exec_driver_sql("DROP TABLE IF EXISTS alembic_version")
    revisions.migrate(engine)
    accounts = Accounts(engine, [KEY])
    yield Rig(engine, accounts, Programs(engine, accounts))
    engine.dispose()


# Accounts


def test_the_right_sid_and_token_name_the_account(rig: Rig) -> None:
    brand = rig.brand("Söhne")
    assert rig.accounts.authenticate(brand.sid, brand.token) == brand.account
    assert brand.account.name == "Söhne"
    assert brand.account.kind == "advertiser"
    partner = rig.accounts.authenticate(brand.partner.sid, brand.partner_token)
    assert (partner.kind, partner.name) == ("partner", "Partner")


def test_every_other_pair_is_refused_in_the_same_words(rig: Rig) -> None:
    brand, other = rig.brand(), rig.brand()
    wrong = [
        (brand.sid, other.token),
        (brand.sid, ""),
        (brand.sid, brand.token + "x"),
        (brand.sid, brand.token.swapcase()),
        (brand.sid.lower(), brand.token),
        (brand.sid + " ", brand.token),
        ("", ""),
        ("IR0", brand.token),
        ("IR" + "a" * 100_000, brand.token),
        (brand.sid, "a" * 100_000),
        ("IR\x00", "\x00"),
        ("IR\udcff", "\udcff"),
        ("' OR 1=1 --", "x"),
    ]
    for sid, token in wrong:
        with pytest.raises(UnauthenticatedError, match=r"^the account SID or the token is wrong$"):
            rig.accounts.authenticate(sid, token)


def test_a_token_is_kept_only_as_a_keyed_hash(rig: Rig) -> None:
    brand = rig.brand()
    assert len(brand.token) >= 43  # 256 bits in base64url
    with rig.engine.connect() as connection:
        hashes = connection.execute(select(tables.accounts.c.token_hash)).scalars().all()
        everything = str(connection.execute(select(tables.accounts)).all())
    assert {len(one) for one in hashes} == {32}
    assert brand.token not in everything
    stranger = Accounts(rig.engine, [b"x" * 32])
    with pytest.raises(UnauthenticatedError):
        stranger.authenticate(brand.sid, brand.token)


def test_tokens_outlive_a_rotation_of_their_key(rig: Rig) -> None:
    brand = rig.brand()
    rotated = Accounts(rig.engine, [b"n" * 32, KEY])
    assert rotated.authenticate(brand.sid, brand.token) == brand.account
    _, token = rotated.rotate_token(brand.sid)
    newest_only = Accounts(rig.engine, [b"n" * 32])
    assert newest_only.authenticate(brand.sid, token) == brand.account


def test_a_new_token_ends_the_old_one(rig: Rig) -> None:
    brand = rig.brand()
    account, token = rig.accounts.rotate_token(brand.sid)
    assert account == brand.account
    assert rig.accounts.authenticate(brand.sid, token) == account
    with pytest.raises(UnauthenticatedError):
        rig.accounts.authenticate(brand.sid, brand.token)


def test_an_account_that_is_not_there_is_told(rig: Rig) -> None:
    with pytest.raises(NotFoundError):
        rig.accounts.get("IRnobody")
    with pytest.raises(NotFoundError):
        rig.accounts.rotate_token("IRnobody")


def test_accounts_are_listed_by_kind_and_age(rig: Rig) -> None:
    first, second = rig.brand("one"), rig.brand("two")
    assert rig.accounts.list("advertiser") == [first.account, second.account]
    assert [one.sid for one in rig.accounts.list("partner")] == [
        first.partner.sid,
        second.partner.sid,
    ]
    assert len(rig.accounts.list()) == 4


@pytest.mark.parametrize(("name", "zone"), [("", "UTC"), ("Brand", "Mars/Olympus")])
def test_an_account_with_a_wrong_field_is_not_made(rig: Rig, name: str, zone: str) -> None:
    with pytest.raises(InvalidInputError), rig.engine.begin() as connection:
        rig.accounts.create(connection, "advertiser", name, zone)
    assert rig.accounts.list() == []


# Programs


def test_what_was_stored_is_read_back(rig: Rig) -> None:
    brand = rig.brand()
    program = rig.programs.create_program(
        advertiser_sid=brand.sid,
        name=" Second ",
        time_zone="Australia/Lord_Howe",
        landing_page="https://BÜCHER.example",
        deep_link_domains=["Shop.Example.", "*.shop.example"],
        click_id_param="clickid",
        partner_template="?p={irpid}",
        program_template="utm=x",
        hide_sub_ids=True,
    )
    assert program == Program(
        id=program.id,
        advertiser_sid=brand.sid,
        name="Second",
        time_zone="Australia/Lord_Howe",
        landing_page="https://xn--bcher-kva.example/",
        deep_link_domains=("shop.example", "*.shop.example"),
        click_id_param="clickid",
        partner_template="p={irpid}",
        program_template="utm=x",
        hide_sub_ids=True,
    )
    link = rig.programs.create_link(
        advertiser_sid=brand.sid,
        path="/summer",
        program_id=brand.program.id,
        partner_id=brand.partner.id,
        ad_id=brand.ad.id,
        deep_link="https://Shop.example/a?x={clickid}",
    )
    assert link.deep_link == "https://shop.example/a?x={clickid}"
    assert rig.programs.get_program(brand.sid, program.id) == program
    assert rig.programs.get_partner(brand.sid, brand.partner.id) == brand.partner
    assert rig.programs.get_ad(brand.sid, brand.ad.id) == brand.ad
    assert rig.programs.get_link(brand.sid, "/summer") == link
    assert rig.programs.list_programs(brand.sid) == [brand.program, program]
    assert rig.programs.list_partners(brand.sid) == [brand.partner]
    assert rig.programs.list_ads(brand.sid) == [brand.ad]
    assert rig.programs.list_links(brand.sid) == [link]
    assert rig.programs.list_ads(brand.sid, program.id) == []
    assert rig.programs.list_links(brand.sid, program.id) == []


def test_deep_links_lead_to_the_landing_pages_host_by_default(rig: Rig) -> None:
    assert rig.brand().program.deep_link_domains == ("shop.example",)


def test_an_empty_list_of_domains_stays_empty(rig: Rig) -> None:
    program = rig.programs.create_program(
        advertiser_sid=rig.brand().sid,
        name="x",
        time_zone="UTC",
        landing_page=PAGE,
        deep_link_domains=[],
    )
    assert program.deep_link_domains == ()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("time_zone", "Europe/Berln"),
        ("landing_page", "shop.example"),
        ("deep_link_domains", ["https://shop.example"]),
        ("click_id_param", "irgwc"),
        ("partner_template", "a={click}"),
        ("program_template", "irclickid={clickid}"),
    ],
)
def test_a_program_with_a_wrong_field_is_not_made(rig: Rig, field: str, value: object) -> None:
    brand = rig.brand()
    fields: dict[str, Any] = {"name": "x", "time_zone": "UTC", "landing_page": PAGE, field: value}
    before = rig.version()
    with pytest.raises(InvalidInputError) as caught:
        rig.programs.create_program(advertiser_sid=brand.sid, **fields)
    assert [one.field for one in caught.value.fields] == [field]
    assert rig.programs.list_programs(brand.sid) == [brand.program]
    assert rig.version() == before


@pytest.mark.parametrize(
    ("field", "value"), [("name", " "), ("type", "POSTER"), ("landing_page", "/x")]
)
def test_an_ad_with_a_wrong_field_is_not_made(rig: Rig, field: str, value: str) -> None:
    brand = rig.brand()
    fields: dict[str, Any] = {"name": "x", "type": "BANNER", field: value}
    with pytest.raises(InvalidInputError) as caught:
        rig.programs.create_ad(advertiser_sid=brand.sid, program_id=brand.program.id, **fields)
    assert [one.field for one in caught.value.fields] == [field]
    assert rig.programs.list_ads(brand.sid) == [brand.ad]


def test_a_partner_without_a_name_leaves_no_account_behind(rig: Rig) -> None:
    brand = rig.brand()
    accounts = rig.accounts.list()
    with pytest.raises(InvalidInputError):
        rig.programs.create_partner(advertiser_sid=brand.sid, name="")
    assert rig.accounts.list() == accounts


@pytest.mark.parametrize(
    ("field", "value"), [("path", "/c/1/2/3"), ("deep_link", "https://evil.example/")]
)
def test_a_link_with_a_wrong_field_is_not_made(rig: Rig, field: str, value: str) -> None:
    brand = rig.brand()
    fields: dict[str, Any] = {"path": "/x", "deep_link": "", field: value}
    with pytest.raises(InvalidInputError) as caught:
        rig.programs.create_link(
            advertiser_sid=brand.sid,
            program_id=brand.program.id,
            partner_id=brand.partner.id,
            ad_id=brand.ad.id,
            **fields,
        )
    assert [one.field for one in caught.value.fields] == [field]
    assert rig.programs.list_links(brand.sid) == []


def test_a_path_means_one_link_in_the_whole_installation(rig: Rig) -> None:
    first, second = rig.brand(), rig.brand()
    add_link(rig, first, "/summer")
    before = rig.version()
    for brand in (first, second):
        with pytest.raises(ConflictError, match="/summer is a link already"):
            add_link(rig, brand, "/summer")
    assert rig.programs.list_links(second.sid) == []
    assert rig.version() == before
    add_link(rig, second, "/Summer")  # paths are compared exactly


def add_link(
    rig: Rig,
    brand: Brand,
    path: str,
    *,
    program: Program | None = None,
    partner: Partner | None = None,
    ad: Ad | None = None,
) -> None:
    rig.programs.create_link(
        advertiser_sid=brand.sid,
        path=path,
        program_id=(program or brand.program).id,
        partner_id=(partner or brand.partner).id,
        ad_id=(ad or brand.ad).id,
    )


def test_an_ad_of_another_program_makes_no_link(rig: Rig) -> None:
    brand = rig.brand()
    program = rig.programs.create_program(
        advertiser_sid=brand.sid, name="x", time_zone="UTC", landing_page=PAGE
    )
    with pytest.raises(InvalidInputError, match="ad_id"):
        add_link(rig, brand, "/x", program=program)


def test_what_is_another_brands_is_not_there(rig: Rig) -> None:
    mine, theirs = rig.brand(), rig.brand()
    add_link(rig, theirs, "/theirs")
    before = rig.version()
    attempts: list[Callable[[], object]] = [
        lambda: rig.programs.get_program(mine.sid, theirs.program.id),
        lambda: rig.programs.get_partner(mine.sid, theirs.partner.id),
        lambda: rig.programs.get_ad(mine.sid, theirs.ad.id),
        lambda: rig.programs.get_link(mine.sid, "/theirs"),
        lambda: rig.programs.create_ad(
            advertiser_sid=mine.sid, program_id=theirs.program.id, name="x", type="BANNER"
        ),
        lambda: add_link(rig, mine, "/x", program=theirs.program),
        lambda: add_link(rig, mine, "/x", partner=theirs.partner),
        lambda: add_link(rig, mine, "/x", ad=theirs.ad),
    ]
    for attempt in attempts:
        with pytest.raises(NotFoundError):
            attempt()
    assert rig.version() == before
    assert rig.programs.list_programs(mine.sid) == [mine.program]
    assert rig.programs.list_partners(mine.sid) == [mine.partner]
    assert rig.programs.list_ads(mine.sid) == [mine.ad]
    assert rig.programs.list_ads(mine.sid, theirs.program.id) == []
    assert rig.programs.list_links(mine.sid) == []


@pytest.mark.parametrize("number", [0, -1, 2**31, 2**63, 10**40])
def test_ids_that_no_row_can_have_are_not_there(rig: Rig, number: int) -> None:
    sid = rig.brand().sid
    for look_up in (rig.programs.get_program, rig.programs.get_partner, rig.programs.get_ad):
        with pytest.raises(NotFoundError):
            look_up(sid, number)


def test_only_an_advertiser_has_programs_and_partners(rig: Rig) -> None:
    partner_sid = rig.brand().partner.sid
    for sid in (partner_sid, "IRnobody", ""):
        with pytest.raises(NotFoundError):
            rig.programs.create_program(
                advertiser_sid=sid, name="x", time_zone="UTC", landing_page=PAGE
            )
        with pytest.raises(NotFoundError):
            rig.programs.create_partner(advertiser_sid=sid, name="x")


def test_each_change_bumps_the_version_of_the_directory_in_its_transaction(rig: Rig) -> None:
    assert rig.version() == 0
    brand = rig.brand()
    assert rig.version() == 3  # program, partner, ad
    add_link(rig, brand, "/x")
    assert rig.version() == 4

    def add_and_fail() -> None:
        with rig.engine.begin() as connection:
            rig.programs.create_partner(
                advertiser_sid=brand.sid, name="undone", connection=connection
            )
            raise RuntimeError("undo")

    with pytest.raises(RuntimeError, match="undo"):
        add_and_fail()
    assert rig.version() == 4
    assert rig.programs.list_partners(brand.sid) == [brand.partner]


def test_the_directory_holds_every_brand_apart(rig: Rig) -> None:
    first, second = rig.brand(), rig.brand()
    add_link(rig, first, "/summer")
    directory = store.read_directory(rig.engine)
    assert directory.version == rig.version()
    for brand in (first, second):
        route = directory.route(brand.partner.id, brand.ad.id, brand.program.id)
        assert route == Route(brand.program, brand.partner, brand.ad)
    assert directory.route(first.partner.id, second.ad.id, second.program.id) == "unknown_partner"
    assert directory.route(first.partner.id, second.ad.id, first.program.id) == "unknown_ad"
    assert directory.vanity("/summer") == Route(first.program, first.partner, first.ad)


def test_two_writers_at_once_both_count(rig: Rig) -> None:
    brand = rig.brand()
    before = rig.version()
    other = db.open_engine(rig.engine.url)
    failures: list[ClickledgerError] = []

    def add(engine: Engine, name: str) -> None:
        programs = Programs(engine, Accounts(engine, [KEY]))
        try:
            for number in range(20):
                programs.create_partner(advertiser_sid=brand.sid, name=f"{name}{number}")
        except ClickledgerError as error:
            failures.append(error)

    writers = [
        threading.Thread(target=add, args=(engine, name))
        for engine, name in ((rig.engine, "a"), (rig.engine, "b"), (other, "c"))
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    other.dispose()
    assert failures == []
    partners = rig.programs.list_partners(brand.sid)
    assert len({one.id for one in partners}) == len({one.sid for one in partners}) == 61
    assert rig.version() == before + 60
