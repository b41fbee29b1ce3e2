"""What the commands over programs and accounts work with: the control database of one folder."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from pydantic_settings import SettingsError
from sqlalchemy import Engine

from clickledger.accounts.keys import Keys, Ring
from clickledger.accounts.store import Accounts
from clickledger.cli.options import data_folder
from clickledger.config import DataFolder, Settings
from clickledger.db import engine as db
from clickledger.db import revisions
from clickledger.errors import (
    ClickledgerError,
    FieldError,
    InvalidInputError,
    NotFoundError,
    UnavailableError,
)
from clickledger.programs import directory_keeper
from clickledger.programs.store import Programs


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """The open control database and the stores over it."""

    folder: DataFolder
    settings: Settings
    engine: Engine
    accounts: Accounts
    programs: Programs

    def brand(self, sid: str | None) -> str:
        """Return the SID of the brand that is meant: the one named, else the only one.

        Raises:
            InvalidInputError: none is named and there are several.
            NotFoundError: there is no such brand.
        """
        brands = [account.sid for account in self.accounts.list("advertiser")]
        if sid is not None:
            if sid not in brands:
                raise NotFoundError(f"there is no advertiser {sid}")
            return sid
        if len(brands) != 1:
            raise InvalidInputError.of("account", f"name one of {', '.join(brands)}")
        return brands[0]

    def account(self, sid: str | None) -> str:
        """Return the SID of the account that is meant, a partner's too; else as ``brand``.

        Raises:
            InvalidInputError: none is named and there are several brands.
            NotFoundError: there is no such account.
        """
        return self.brand(None) if sid is None else self.accounts.get(sid).sid

    def changed(self) -> None:
        """Bring the directory's snapshot up to date, so that a collector can start from it.

        What was changed is stored whatever becomes of the snapshot, so a fault is only told.
        """
        try:
            directory_keeper.write_snapshot(self.engine, self.folder.directory_snapshot)
        except (OSError, ClickledgerError) as error:
            sys.stderr.write(f"clickledger: stored, but the snapshot was not written: {error}\n")


def read_settings() -> Settings:
    """Read the settings; InvalidInputError names those that are wrong."""
    try:
        return Settings()
    except ValidationError as error:
        wrong = [
            FieldError(
                field=f"CLICKLEDGER_{'.'.join(map(str, one['loc'])).upper()}", message=one["msg"]
            )
            for one in error.errors()
        ]
        text = "; ".join(f"{one.field}: {one.message}" for one in wrong)
        raise InvalidInputError(text, *wrong) from error
    except SettingsError as error:
        raise InvalidInputError(f"settings: {error}") from error


@contextmanager
def open_control(root: Path) -> Iterator[Control]:
    """Open the control database of the data folder at ``root``.

    Raises:
        NotFoundError: it is not a data folder.
        UnavailableError: the database does not answer, or waits for its migrations.
    """
    folder, settings = data_folder(root), read_settings()
    keys = Keys.load(folder.keys)
    engine = db.open_engine(db.control_url(settings, folder))
    try:
        revision = revisions.check(engine)
        if revision.behind:
            raise UnavailableError(
                f"the control database is at revision {revision.current or 'none'} and "
                f"{revision.needed} is needed; `clickledger serve` migrates it when it starts"
            )
        accounts = Accounts(engine, keys.ring(Ring.TOKEN))
        yield Control(
            folder=folder,
            settings=settings,
            engine=engine,
            accounts=accounts,
            programs=Programs(engine, accounts),
        )
    finally:
        engine.dispose()
