"""What every handler uses: the call, the services behind it, and the way to answer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from http import HTTPStatus
from pathlib import Path
from typing import Any, Protocol

from anyio import CapacityLimiter
from litestar import Litestar, Request, Response
from litestar.datastructures import State

from clickledger.accounts.model import Account, Kind
from clickledger.accounts.store import Accounts
from clickledger.api.render import Document, render
from clickledger.api.requests import Call
from clickledger.api.signed_urls import SignedUrls
from clickledger.api.trials import Trials
from clickledger.clock import Micros
from clickledger.config import Settings
from clickledger.ids import ClickIds
from clickledger.jobs.store import Jobs
from clickledger.postbacks.log import Deliveries
from clickledger.postbacks.store import Notifications
from clickledger.programs.store import Programs

#: A request whose caller is known: every one below ``/Advertisers/{account_sid}`` and
#: ``/Mediapartners/{account_sid}``.
AccountRequest = Request[Account, None, State]
#: A request that anyone may make; its link is signed.
OpenRequest = Request[None, None, State]
AnyRequest = Request[Any, Any, State]


#: What the paths of an account begin with; one capital, as the wire spells it.
SURFACES: Mapping[Kind, str] = {"advertiser": "/Advertisers", "partner": "/Mediapartners"}


class Clicks(Protocol):
    """Where clicks are looked up."""

    def find_click(self, program_id: int, click_id: str) -> Mapping[str, object] | None:
        """Return the first click of a journey; None when there is none."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything that handlers reach beyond their request."""

    accounts: Accounts
    programs: Programs
    jobs: Jobs
    clicks: Clicks
    click_ids: ClickIds
    #: Folder of the result files.
    results: Path
    signed_urls: SignedUrls
    #: Searches of the lake under way at a time.
    searches: CapacityLimiter
    notifications: Notifications
    deliveries: Deliveries
    #: Addresses of endpoints looked up at a time: a name server may take seconds over each.
    look_ups: CapacityLimiter
    trials: Trials
    settings: Settings
    now: Callable[[], Micros]


def services(app: Litestar) -> Services:
    """Return what ``create_app`` was given."""
    found: Services = app.state["services"]
    return found


def call_of(request: AnyRequest) -> Call:
    """Return what the front made of this request."""
    found: Call = request.scope["state"]["call"]
    return found


def respond(
    call: Call,
    document: Document,
    status: HTTPStatus = HTTPStatus.OK,
    headers: Mapping[str, str] | None = None,
) -> Response[bytes]:
    """Answer with a document in the caller's format."""
    return Response(
        render(document, call.form),
        status_code=status,
        headers={**(headers or {}), "Content-Type": call.form.content_type},
        media_type=call.form.content_type,
    )


def home(caller: Account) -> str:
    """Return what every path of an account begins with, without a host."""
    return f"{SURFACES[caller.kind]}/{caller.sid}"


def zoned(moment: datetime | None, zone: tzinfo) -> str:
    """Write an instant as the wire does: in a zone, with its offset, in seconds; None: empty."""
    return "" if moment is None else moment.astimezone(zone).isoformat(timespec="seconds")
