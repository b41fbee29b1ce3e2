"""The API as one ASGI callable: routes, authentication, errors, and what stands in front."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from anyio import CapacityLimiter
from litestar import Litestar, Response, Router
from litestar.datastructures import State
from litestar.handlers import HTTPRouteHandler
from litestar.middleware import DefineMiddleware
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme

from clickledger import __version__
from clickledger.accounts.keys import Keys, Ring
from clickledger.accounts.model import Kind
from clickledger.accounts.store import Accounts
from clickledger.api import (
    click_export,
    clicks,
    company,
    deliveries,
    downloads,
    jobs,
    notifications,
)
from clickledger.api.auth import Authentication
from clickledger.api.errors import describe
from clickledger.api.front import App, Front
from clickledger.api.handling import SURFACES, AnyRequest, Clicks, Services, call_of, respond
from clickledger.api.signed_urls import SignedUrls
from clickledger.api.trials import Trials
from clickledger.clock import SteadyClock
from clickledger.config import Settings
from clickledger.ids import ClickIds
from clickledger.jobs.store import Jobs
from clickledger.metrics import Metrics
from clickledger.postbacks.log import Deliveries
from clickledger.postbacks.sender import Sender
from clickledger.postbacks.store import Notifications
from clickledger.programs.store import Programs

#: The query engine uses every core for one search already.
_SEARCHES = 2
#: A name server that does not answer holds one for seconds.
_LOOK_UPS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Postbacks:
    """What the API of notifications stands on."""

    notifications: Notifications
    deliveries: Deliveries
    #: Makes what calls an endpoint, for one test.
    open_sender: Callable[[], Sender]


def create_app(
    *,
    accounts: Accounts,
    programs: Programs,
    jobs: Jobs,
    clicks: Clicks,
    postbacks: Postbacks,
    results: Path,
    keys: Keys,
    settings: Settings,
    metrics: Metrics,
    clock: SteadyClock,
) -> App:
    """Make the API of one process; ``results`` is the folder of the result files."""
    services = Services(
        accounts=accounts,
        programs=programs,
        jobs=jobs,
        clicks=clicks,
        click_ids=ClickIds(keys.ring(Ring.CLICK_ID)),
        results=results,
        signed_urls=SignedUrls(lambda: keys.ring(Ring.DOWNLOAD)),
        searches=CapacityLimiter(_SEARCHES),
        notifications=postbacks.notifications,
        deliveries=postbacks.deliveries,
        look_ups=CapacityLimiter(_LOOK_UPS),
        trials=Trials(postbacks.open_sender, clock),
        settings=settings,
        now=clock.now,
    )
    framework = _framework(State({"services": services}))
    return Front(cast(App, framework), body_bytes=settings.api_body_bytes, metrics=metrics)


def openapi_document() -> dict[str, object]:
    """Describe the API as an OpenAPI 3.1 document; needs nothing that is open."""
    config = OpenAPIConfig(
        title="clickledger API",
        version=__version__,
        description="XML by default; JSON by `Accept: application/json` or a `.json` suffix.",
        components=Components(
            security_schemes={"basic": SecurityScheme(type="http", scheme="basic")}
        ),
        use_handler_docstrings=True,
    )
    return _framework(State(), config).openapi_schema.to_schema()


def _framework(state: State, openapi_config: OpenAPIConfig | None = None) -> Litestar:
    shared = [
        company.company_information,
        notifications.list_notifications,
        notifications.create_notification,
        notifications.get_notification,
        notifications.change_notification,
        notifications.remove_notification,
        notifications.enable_notification,
        notifications.disable_notification,
        notifications.rotate_secret,
        notifications.test_notification,
        deliveries.list_deliveries,
        deliveries.get_delivery,
        deliveries.replay_delivery,
        deliveries.replay_deliveries,
    ]
    brand = _surface(
        "advertiser",
        *shared,
        click_export.schedule_click_export,
        clicks.get_click,
        jobs.list_jobs,
        jobs.get_job,
        jobs.replay_job,
        downloads.download,
        downloads.manifest,
    )
    partner = _surface("partner", *shared)
    return Litestar(
        route_handlers=[brand, partner, downloads.fetch],
        exception_handlers={Exception: _answer_error},
        state=state,
        logging_config=None,
        openapi_config=openapi_config,
    )


def _surface(kind: Kind, *handlers: HTTPRouteHandler) -> Router:
    """Put handlers below the paths of one kind of accounts, behind their authentication."""
    return Router(
        path=f"{SURFACES[kind]}/{{account_sid:str}}",
        route_handlers=handlers,
        middleware=[DefineMiddleware(Authentication, kind=kind)],
        security=[{"basic": []}],
    )


def _answer_error(request: AnyRequest, error: Exception) -> Response[bytes]:
    call = call_of(request)
    problem = describe(error, call.request_id)
    return respond(call, problem.document(), problem.status, problem.headers)
