"""Programs, partners, ads and links in the control database.

Everything is checked by ``rules`` before it is stored, belongs to one brand and stays there,
and each change bumps the version of the directory in its own transaction, so that every
collector learns of it. The time zone of a program is fixed when it is made: its days, once
reported, must not move; so nothing here changes it.
"""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from sqlalchemy import Connection, Engine, Row, Select, Table, exc, select, update

from clickledger.accounts import rules as account_rules
from clickledger.accounts.store import Accounts
from clickledger.clock import Micros, to_datetime, wall_clock
from clickledger.db import engine as db
from clickledger.db import tables
from clickledger.errors import ConflictError, InvalidInputError, NotFoundError
from clickledger.programs import rules
from clickledger.programs.directory import Directory, Records
from clickledger.programs.model import Ad, Partner, Program, VanityLink

_programs, _partners = tables.programs, tables.partners
_ads, _links, _version = tables.ads, tables.vanity_links, tables.directory_version

#: Largest id that every database can be asked for.
_MAX_ID = 2**31 - 1


class Programs:
    """What the brands of one installation have set up.

    Each ``create_…`` takes part in the transaction of ``connection``, else it has its own. All
    raise InvalidInputError for a wrong field, and NotFoundError when the brand, program,
    partner or ad named is not there or is another brand's.
    """

    __slots__ = ("_accounts", "_clock", "_engine")

    def __init__(
        self, engine: Engine, accounts: Accounts, clock: Callable[[], Micros] = wall_clock
    ) -> None:
        self._engine = engine
        self._accounts = accounts
        self._clock = clock

    def create_program(
        self,
        *,
        advertiser_sid: str,
        name: str,
        time_zone: str,
        landing_page: str,
        deep_link_domains: Iterable[str] | None = None,
        click_id_param: str = "irclickid",
        partner_template: str = "",
        program_template: str = "",
        hide_sub_ids: bool = False,
        connection: Connection | None = None,
    ) -> Program:
        """Add a program to a brand; its deep links lead to its landing page's host by default.

        ``time_zone`` is fixed from now on.
        """
        page = rules.landing_page("landing_page", landing_page)
        domains = [rules.host_of(page)] if deep_link_domains is None else deep_link_domains
        param = rules.click_id_param("click_id_param", click_id_param)
        values: dict[str, Any] = {
            "advertiser_sid": advertiser_sid,
            "name": account_rules.name("name", name),
            "time_zone": account_rules.time_zone("time_zone", time_zone),
            "landing_page": page,
            "deep_link_domains": rules.deep_link_domains("deep_link_domains", domains),
            "click_id_param": param,
            "partner_template": rules.template("partner_template", partner_template, param),
            "program_template": rules.template("program_template", program_template, param),
            "hide_sub_ids": hide_sub_ids,
        }
        with self._transaction(connection) as within:
            self._require_brand(advertiser_sid, within)
            return Program(id=self._insert(within, _programs, values), **values)

    def create_partner(
        self, *, advertiser_sid: str, name: str, connection: Connection | None = None
    ) -> tuple[Partner, str]:
        """Add a media partner to a brand; return it and its token, shown this once."""
        with self._transaction(connection) as within:
            self._require_brand(advertiser_sid, within)
            account, token = self._accounts.create(within, "partner", name)
            values = {"sid": account.sid, "advertiser_sid": advertiser_sid, "name": account.name}
            return Partner(id=self._insert(within, _partners, values), **values), token

    def create_ad(
        self,
        *,
        advertiser_sid: str,
        program_id: int,
        name: str,
        type: str,  # noqa: A002 - the word of the wire
        landing_page: str = "",
        connection: Connection | None = None,
    ) -> Ad:
        """Add an ad to a program; without a landing page of its own it uses the program's."""
        values: dict[str, Any] = {
            "program_id": program_id,
            "name": account_rules.name("name", name),
            "type": rules.ad_type("type", type),
            "landing_page": landing_page and rules.landing_page("landing_page", landing_page),
        }
        with self._transaction(connection) as within:
            self._program(within, advertiser_sid, program_id)
            return Ad(id=self._insert(within, _ads, values), **values)

    def create_link(
        self,
        *,
        advertiser_sid: str,
        path: str,
        program_id: int,
        partner_id: int,
        ad_id: int,
        deep_link: str = "",
        connection: Connection | None = None,
    ) -> VanityLink:
        """Give a path the meaning of a partner, an ad and a program.

        Raises:
            ConflictError: the path has a meaning already.
        """
        link_path = rules.vanity_path("path", path)
        with self._transaction(connection) as within:
            program = self._program(within, advertiser_sid, program_id)
            self._partner(within, advertiser_sid, partner_id)
            if self._ad(within, advertiser_sid, ad_id).program_id != program_id:
                raise InvalidInputError.of("ad_id", f"ad {ad_id} is not of program {program_id}")
            domains, page = program.deep_link_domains, program.landing_page
            link = VanityLink(
                path=link_path,
                program_id=program_id,
                partner_id=partner_id,
                ad_id=ad_id,
                deep_link=deep_link and rules.deep_link("deep_link", deep_link, domains, page),
            )
            values = {name: getattr(link, name) for name in VanityLink.__slots__}
            try:
                self._insert(within, _links, values)
            except exc.IntegrityError:
                raise ConflictError(f"path: {link_path} is a link already") from None
            return link

    def get_program(self, advertiser_sid: str, program_id: int) -> Program:
        """Return a brand's program; NotFoundError when it has none of this id."""
        with self._engine.connect() as connection:
            return self._program(connection, advertiser_sid, program_id)

    def get_partner(self, advertiser_sid: str, partner_id: int) -> Partner:
        """Return a brand's partner; NotFoundError when it has none of this id."""
        with self._engine.connect() as connection:
            return self._partner(connection, advertiser_sid, partner_id)

    def get_ad(self, advertiser_sid: str, ad_id: int) -> Ad:
        """Return an ad of a brand's programs; NotFoundError when it has none of this id."""
        with self._engine.connect() as connection:
            return self._ad(connection, advertiser_sid, ad_id)

    def get_link(self, advertiser_sid: str, path: str) -> VanityLink:
        """Return a link of a brand's programs; NotFoundError when it has none at this path."""
        query = _of_brand(_links, advertiser_sid).where(_links.c.path == path)
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise NotFoundError(f"there is no link {path}")
        return _link(row)

    def list_programs(self, advertiser_sid: str) -> list[Program]:
        """Return a brand's programs by id."""
        query = select(_programs).where(_programs.c.advertiser_sid == advertiser_sid)
        return [_program(row) for row in self._rows(query.order_by(_programs.c.id))]

    def list_partners(self, advertiser_sid: str) -> list[Partner]:
        """Return a brand's partners by id."""
        query = select(_partners).where(_partners.c.advertiser_sid == advertiser_sid)
        return [_partner(row) for row in self._rows(query.order_by(_partners.c.id))]

    def list_ads(self, advertiser_sid: str, program_id: int | None = None) -> list[Ad]:
        """Return the ads of a brand, or of one of its programs, by id."""
        query = _of_brand(_ads, advertiser_sid).order_by(_ads.c.id)
        if program_id is not None:
            query = query.where(_ads.c.program_id == _known(program_id))
        return [_ad(row) for row in self._rows(query)]

    def list_links(self, advertiser_sid: str, program_id: int | None = None) -> list[VanityLink]:
        """Return the links of a brand, or of one of its programs, by path."""
        query = _of_brand(_links, advertiser_sid).order_by(_links.c.path)
        if program_id is not None:
            query = query.where(_links.c.program_id == _known(program_id))
        return [_link(row) for row in self._rows(query)]

    def _transaction(self, given: Connection | None) -> AbstractContextManager[Connection]:
        return self._engine.begin() if given is None else nullcontext(given)

    def _rows(self, query: Select[Any]) -> list[Row[Any]]:
        with self._engine.connect() as connection:
            return list(connection.execute(query))

    def _require_brand(self, sid: str, connection: Connection) -> None:
        if self._accounts.get(sid, connection).kind != "advertiser":
            raise NotFoundError(f"{sid} is not an advertiser")

    def _program(self, connection: Connection, advertiser_sid: str, program_id: int) -> Program:
        query = select(_programs).where(
            _programs.c.id == _known(program_id), _programs.c.advertiser_sid == advertiser_sid
        )
        row = connection.execute(query).one_or_none()
        if row is None:
            raise NotFoundError(f"there is no program {program_id}")
        return _program(row)

    def _partner(self, connection: Connection, advertiser_sid: str, partner_id: int) -> Partner:
        query = select(_partners).where(
            _partners.c.id == _known(partner_id), _partners.c.advertiser_sid == advertiser_sid
        )
        row = connection.execute(query).one_or_none()
        if row is None:
            raise NotFoundError(f"there is no partner {partner_id}")
        return _partner(row)

    def _ad(self, connection: Connection, advertiser_sid: str, ad_id: int) -> Ad:
        query = _of_brand(_ads, advertiser_sid).where(_ads.c.id == _known(ad_id))
        row = connection.execute(query).one_or_none()
        if row is None:
            raise NotFoundError(f"there is no ad {ad_id}")
        return _ad(row)

    def _insert(self, connection: Connection, table: Table, values: dict[str, Any]) -> int:
        """Store one row, bump the directory's version, return the row's id; 0 when it has none."""
        connection.execute(update(_version).values(version=_version.c.version + 1))
        row = {**values, "created_at": to_datetime(self._clock())}
        key = connection.execute(table.insert().values(row)).inserted_primary_key
        return key.id if key and "id" in table.c else 0


def read_version(engine: Engine) -> int:
    """Return the version of the directory: it changes with everything that links depend on."""
    with engine.connect() as connection:
        return _read_version(connection)


def read_directory(engine: Engine) -> Directory:
    """Read the directory of all brands, as it is at one instant."""
    with db.snapshot(engine) as connection:
        return Directory(
            Records(
                version=_read_version(connection),
                programs=tuple(map(_program, connection.execute(_in_order(_programs)))),
                partners=tuple(map(_partner, connection.execute(_in_order(_partners)))),
                ads=tuple(map(_ad, connection.execute(_in_order(_ads)))),
                links=tuple(map(_link, connection.execute(_in_order(_links)))),
            )
        )


def _read_version(connection: Connection) -> int:
    version: int = connection.execute(select(_version.c.version)).scalar_one()
    return version


def _in_order(table: Table) -> Select[Any]:
    """Select a whole table, in the order of its key, without the dates that nobody asks for."""
    columns = [column for column in table.c if column.name != "created_at"]
    return select(*columns).order_by(*table.primary_key)


def _of_brand(table: Table, advertiser_sid: str) -> Select[Any]:
    return select(table).join(_programs).where(_programs.c.advertiser_sid == advertiser_sid)


def _known(number: int) -> int:
    """Return an id that a database can be asked for; 0, which no row has, for any other."""
    return number if 0 < number <= _MAX_ID else 0


def _program(row: Row[Any]) -> Program:
    return Program(
        id=row.id,
        advertiser_sid=row.advertiser_sid,
        name=row.name,
        time_zone=row.time_zone,
        landing_page=row.landing_page,
        deep_link_domains=tuple(row.deep_link_domains),
        click_id_param=row.click_id_param,
        partner_template=row.partner_template,
        program_template=row.program_template,
        hide_sub_ids=row.hide_sub_ids,
    )


def _partner(row: Row[Any]) -> Partner:
    return Partner(id=row.id, sid=row.sid, advertiser_sid=row.advertiser_sid, name=row.name)


def _ad(row: Row[Any]) -> Ad:
    return Ad(
        id=row.id,
        program_id=row.program_id,
        name=row.name,
        type=row.type,
        landing_page=row.landing_page,
    )


def _link(row: Row[Any]) -> VanityLink:
    return VanityLink(
        path=row.path,
        program_id=row.program_id,
        partner_id=row.partner_id,
        ad_id=row.ad_id,
        deep_link=row.deep_link,
    )
