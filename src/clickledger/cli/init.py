"""``clickledger init``: make a new data folder."""

import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from sqlalchemy import Connection

from clickledger import durable
from clickledger.accounts.keys import Keys, Ring
from clickledger.accounts.store import Accounts
from clickledger.cli import output
from clickledger.cli.control import read_settings
from clickledger.cli.options import AsJson, Data
from clickledger.config import DataFolder, Settings
from clickledger.db import engine as db
from clickledger.db import revisions
from clickledger.errors import ConflictError, UnavailableError
from clickledger.lake.store import Lake
from clickledger.programs import directory_keeper, rules
from clickledger.programs.store import Programs


class Credentials(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An account as it is shown this once."""

    #: Id of the partner; a brand has none.
    id: int = 0
    sid: str
    token: str


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """What a new data folder holds; the words of ``init --json``."""

    advertiser: Credentials
    partners: tuple[Credentials, ...] = ()
    program_id: int | None = None
    ad_ids: tuple[int, ...] = ()
    tracking_urls: tuple[str, ...] = ()


def init(
    data: Data,
    name: Annotated[str, typer.Option("--name", help="Name of the brand.")] = "My brand",
    time_zone: Annotated[
        str, typer.Option("--time-zone", help="IANA zone that the dates of its jobs are shown in.")
    ] = "UTC",
    demo: Annotated[
        bool, typer.Option("--demo", help="Add a program, two partners and two ads.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a new data folder: databases, keys and the account of a brand.

    Tokens are shown this once. With --json the credentials are all that is printed.
    """
    made = _make(data.resolve(), read_settings(), name=name, time_zone=time_zone, demo=demo)
    if as_json:
        output.print_json(made)
        return
    output.print_fields(
        (
            ("Data folder", data),
            ("Advertiser SID", made.advertiser.sid),
            ("Advertiser token", made.advertiser.token),
            *(
                field
                for partner in made.partners
                for field in (
                    (f"Partner {partner.id} SID", partner.sid),
                    (f"Partner {partner.id} token", partner.token),
                )
            ),
            *(("Tracking link", url) for url in made.tracking_urls),
        )
    )
    output.print_note("Keep the tokens: they are shown this once.")


def _make(root: Path, settings: Settings, *, name: str, time_zone: str, demo: bool) -> Made:
    """Make the folder under another name and give it its own at the very end.

    So there is either a whole data folder or none, whatever happens in between.
    """
    _refuse_taken(root)
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{root.name}.", dir=root.parent))  # mode 0700
    except OSError as error:
        raise UnavailableError(f"{root} cannot be made: {error.strerror}") from error
    try:
        made = _fill(DataFolder(work), settings, name=name, time_zone=time_zone, demo=demo)
        durable.sync_folder(work)
        work.rename(root)  # onto nothing, or onto an empty folder
        durable.sync_folder(root.parent)
    except OSError as error:
        raise UnavailableError(f"{root} cannot be made: {error.strerror}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return made


def _refuse_taken(root: Path) -> None:
    if not root.exists():
        return
    if DataFolder(root).keys.exists():
        raise ConflictError(f"{root} is a data folder already; nothing was changed")
    if root.is_mount():  # it cannot be renamed onto
        raise ConflictError(f"{root} is a mount point; name a folder below it, such as data")
    if not root.is_dir() or any(root.iterdir()):
        raise ConflictError(f"{root} exists and is not an empty folder; nothing was changed")


def _fill(folder: DataFolder, settings: Settings, *, name: str, time_zone: str, demo: bool) -> Made:
    for part in (folder.spool, folder.results, folder.tmp, folder.locks, folder.metrics):
        part.mkdir(mode=0o700)
    keys = Keys.create(folder.keys)
    engine = db.open_engine(db.control_url(settings, folder))
    try:
        revisions.migrate(engine)
        accounts = Accounts(engine, keys.ring(Ring.TOKEN))
        if accounts.list():
            # Their tokens were hashed with the keys of another folder.
            raise ConflictError(
                "the control database has accounts already; copy the data folder it belongs to, "
                "or name another database"
            )
        with engine.begin() as connection:
            brand, token = accounts.create(connection, "advertiser", name, time_zone)
            advertiser = Credentials(sid=brand.sid, token=token)
            if demo:
                programs = Programs(engine, accounts)
                made = _add_demo(programs, connection, advertiser, settings.public_url)
            else:
                made = Made(advertiser=advertiser)
        directory_keeper.write_snapshot(engine, folder.directory_snapshot)
        if not settings.lake_url:
            Lake.open(str(folder.lake))
    finally:
        engine.dispose()
    return made


def _add_demo(
    programs: Programs, connection: Connection, advertiser: Credentials, public_url: str
) -> Made:
    program = programs.create_program(
        advertiser_sid=advertiser.sid,
        name="Demo Outdoor Shop",
        time_zone="UTC",
        landing_page="https://shop.example.com/",
        deep_link_domains=["example.com", "*.example.com"],
        connection=connection,
    )
    partners = []
    for name in ("Demo Trail Magazine", "Demo Coupon Finder"):
        partner, token = programs.create_partner(
            advertiser_sid=advertiser.sid, name=name, connection=connection
        )
        partners.append(Credentials(id=partner.id, sid=partner.sid, token=token))
    ads = [
        programs.create_ad(
            advertiser_sid=advertiser.sid,
            program_id=program.id,
            name=name,
            type=ad_type,
            landing_page=page,
            connection=connection,
        )
        for name, ad_type, page in (
            ("Online Tracking Link", "ONLINE_TRACKING_LINK", ""),
            ("Summer Sale", "BANNER", "https://shop.example.com/sale"),
        )
    ]
    return Made(
        advertiser=advertiser,
        partners=tuple(partners),
        program_id=program.id,
        ad_ids=tuple(ad.id for ad in ads),
        tracking_urls=tuple(
            rules.tracking_url(public_url, partner.id, ad.id, program.id)
            for partner in partners
            for ad in ads
        ),
    )
