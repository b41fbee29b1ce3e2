"""Options that several commands share, so that they are spelled and explained in one way."""

from pathlib import Path
from typing import Annotated

import typer

from clickledger.config import DataFolder
from clickledger.errors import NotFoundError

#: ``--data DIR``, or the environment variable ``CLICKLEDGER_DATA``.
Data = Annotated[
    Path,
    typer.Option(
        "--data",
        envvar="CLICKLEDGER_DATA",
        metavar="DIR",
        help="Data folder, made by `clickledger init`.",
        show_default=False,
    ),
]

#: ``--json``: data for programs on stdout and nothing else.
AsJson = Annotated[
    bool, typer.Option("--json", help="Print JSON for programs, and nothing else, on stdout.")
]

#: ``--account SID``: whose thing it is; not needed while there is only one brand.
Account = Annotated[
    str | None,
    typer.Option(
        "--account", metavar="SID", help="Advertiser account; default: the only one there is."
    ),
]

#: ``--account SID`` where partners have the thing as well.
AnyAccount = Annotated[
    str | None,
    typer.Option(
        "--account",
        metavar="SID",
        help="Account of a brand or a partner; default: the only brand there is.",
    ),
]


def data_folder(root: Path) -> DataFolder:
    """Name the data folder at ``root``; NotFoundError when there is none."""
    folder = DataFolder(root)
    if not folder.keys.is_file():
        raise NotFoundError(
            f"{root} is not a data folder; make one with `clickledger init --data {root}`"
        )
    return folder
