"""Test sends by the API: a real endpoint is called now, and what happened is shown."""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from standardwebhooks import Webhook
from structlog.testing import capture_logs

from clickledger.api.errors import TooManyRequestsError
from clickledger.api.handling import home
from clickledger.api.trials import Trials
from clickledger.clock import SteadyClock
from clickledger.config import Settings
from clickledger.postbacks.macros import MACROS
from clickledger.postbacks.model import EVENTS, Kind, Method, Notification, Outcome, Prepared
from clickledger.postbacks.network import Guard
from clickledger.postbacks.sender import Sender
from clickledger.testing.brand_api import BrandApi, Login, brand_api
from clickledger.testing.in_process import Answer, request_async
from clickledger.testing.notifications import draft
from clickledger.testing.receiver import Receiver, receiver

SECRET = "whsec_" + "QUJD" * 8
NETWORKS: list[IPv4Network | IPv6Network] = [IPv4Network("127.0.0.0/8")]
LIMIT_S = 1.0


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    with receiver(tmp_path_factory.mktemp("receiver")) as running:
        yield running


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, endpoint: Receiver) -> Iterator[BrandApi]:
    settings = Settings(
        postback_networks=NETWORKS,
        postback_ports=[443, endpoint.port],
        postback_connect_s=LIMIT_S,
        postback_timeout_s=LIMIT_S,
    )
    folder = tmp_path_factory.mktemp("api") / "data"
    with brand_api(folder, now=datetime.now(UTC), settings=settings) as made:
        yield made


def add(api: BrandApi, url: str, login: Login | None = None, **said: object) -> Notification:
    said = {"name": url[:200], "url": url, **said}
    return api.notifications.create((login or api.brand).sid, draft(**said), SECRET)


def path_of(login: Login, notification: Notification) -> str:
    return f"{home(login.account)}/EventNotifications/{notification.id}/Test.json"


def tried(api: BrandApi, notification: Notification, login: Login | None = None) -> dict[str, Any]:
    login = login or api.brand
    answer = api.send_as(login, "POST", path_of(login, notification))
    assert answer.status == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_post_is_shown_as_it_was_received(api: BrandApi, endpoint: Receiver) -> None:
    body = '{"job":"{JobId}","rows":{RecordsProcessed},"event":"{EventType}","id":"{MessageId}"}'
    made = add(
        api,
        endpoint.url("/ok/post?state={Status}"),
        method=Method.POST,
        body=body,
        headers={"X-Team": "clicks & co"},
    )
    shown = tried(api, made)
    (got,) = endpoint.requests("/ok/post")
    assert shown["Acknowledged"] is True
    assert shown["Outcome"] == "The endpoint answered 200 OK."
    assert 0 <= shown["DurationMs"] < 1000
    sent = shown["Request"]
    assert (sent["Method"], sent["Url"]) == ("POST", endpoint.url(got.target))
    assert got.target == "/ok/post?state=COMPLETED"
    assert sent["Body"].encode() == got.body
    samples = MACROS[Kind.JOB_COMPLETION]
    assert json.loads(got.body) == {
        "job": samples["JobId"].sample,
        "rows": int(samples["RecordsProcessed"].sample),
        "event": EVENTS[Kind.JOB_COMPLETION][0],
        "id": got.message_id,
    }
    for header in sent["Headers"]:
        masked = header["Name"] == "X-Team"
        assert header["Value"] == ("***" if masked else got.header(header["Name"]))
    assert got.header("x-team") == "clicks & co"
    Webhook(SECRET).verify(got.body, dict(got.headers))
    answered = shown["Response"]
    assert (answered["Status"], answered["Body"]) == (200, "thanks\n")
    assert {"Name": "Content-Length", "Value": "7"} in answered["Headers"]


def test_a_get_is_signed_over_its_target(api: BrandApi, endpoint: Receiver) -> None:
    every = "&".join(f"{name}={{{name}}}" for name in MACROS[Kind.ACTION_LIFECYCLE])
    made = add(api, endpoint.url(f"/ok/get?{every}"), api.partner, kind=Kind.ACTION_LIFECYCLE)
    shown = tried(api, made, api.partner)
    (got,) = endpoint.requests("/ok/get")
    assert (shown["Request"]["Url"], shown["Request"]["Body"]) == (endpoint.url(got.target), "")
    values = parse_qs(urlsplit(got.target).query, keep_blank_values=True)
    for name, macro in MACROS[Kind.ACTION_LIFECYCLE].items():
        own = {"MessageId": got.message_id}.get(name, macro.sample)
        assert values[name] == [own], name
    Webhook(SECRET).verify(got.target, dict(got.headers), json_parse=False)


def test_it_enters_no_log_and_changes_nothing(api: BrandApi, endpoint: Receiver) -> None:
    made = add(api, endpoint.url("/gone/quietly"))
    with capture_logs() as logs:
        shown = tried(api, made)
    assert (shown["Acknowledged"], shown["Response"]["Status"]) == (False, 410)
    assert api.notifications.find(made.id) == made
    assert api.deliveries.list(None, notification_id=made.id) == ((), 0)
    assert logs == []


def test_one_that_is_off_can_be_tested(api: BrandApi, endpoint: Receiver) -> None:
    made = add(api, endpoint.url("/ok/off"))
    api.notifications.disable(api.brand.sid, made.id)
    assert tried(api, made)["Acknowledged"] is True


ENDPOINTS: dict[str, tuple[str, int | None, str]] = {
    "no content": ("/status/204", 204, "answered 204 No Content."),
    "a fault of theirs": ("/status/500", 500, "answered 500 Internal Server Error."),
    "a status without a name": ("/status/799", 799, "answered 799."),
    "a redirect to the metadata of a cloud": ("/redirect", 302, "redirects are not followed"),
    "busy": ("/busy/30", 429, "answered 429 Too Many Requests."),
    "no answer": ("/stall", None, "no answer came within 1 s."),
    "an answer without end": ("/drip", 200, "answered 200 OK; the answer did not end within 1 s."),
    "a head without end": ("/driphead", None, "no answer came within 1 s."),
    "half an answer": ("/cut", 200, "; the connection ended in the middle of the answer."),
    "an early end": ("/hangup", None, "the connection ended without an answer."),
    "a large answer": ("/large/100000", 200, "answered 200 OK"),
}


@pytest.mark.parametrize(
    ("path", "status", "sentence"), ENDPOINTS.values(), ids=list(ENDPOINTS.keys())
)
def test_whatever_an_endpoint_does_is_told(
    api: BrandApi, endpoint: Receiver, path: str, status: int | None, sentence: str
) -> None:
    shown = tried(api, add(api, endpoint.url(f"{path}/any")))
    assert sentence.lower() in shown["Outcome"].lower()
    assert shown["Outcome"][0].isupper()
    assert shown["Acknowledged"] is (status in {200, 204})
    if status is None:
        assert shown["Response"] == ""
    else:
        assert shown["Response"]["Status"] == status
        assert len(shown["Response"]["Body"]) <= 4096
    assert not [one for one in endpoint.requests() if "meta-data" in one.target]


def test_secrets_are_sent_and_not_shown(api: BrandApi, endpoint: Receiver) -> None:
    made = add(
        api,
        endpoint.url("/ok/secrets?token=t-12345&api_key={JobId}"),
        headers={"Authorization": "Bearer b-67890"},
    )
    answer = api.send("POST", path_of(api.brand, made))
    (got,) = endpoint.requests("/ok/secrets")
    assert "token=t-12345&" in got.target
    assert got.header("authorization") == "Bearer b-67890"
    for secret in ("t-12345", "b-67890", SECRET):
        assert secret not in answer.text
    assert "token=***&api_key=0f6b" in answer.json()["Request"]["Url"]


def test_xml(api: BrandApi, endpoint: Receiver) -> None:
    made = add(api, endpoint.url("/ok/xml"))
    answer = api.send("POST", path_of(api.brand, made).replace(".json", ""))
    assert answer.xml().findtext("Test/Response/Status") == "200"
    assert answer.xml().findtext("Test/Request/Headers/Header/Name") == "User-Agent"


def test_nobody_listens(tmp_path: Path) -> None:
    with receiver(tmp_path) as gone:
        url = gone.url()
    settings = Settings(postback_networks=NETWORKS, postback_ports=[gone.port])
    with brand_api(tmp_path / "data", now=datetime.now(UTC), settings=settings) as api:
        shown = tried(api, add(api, url))
    assert (shown["Acknowledged"], shown["Response"]) == (False, "")
    assert shown["Outcome"].startswith("No connection: ")


class TurningResolver:
    """A name server whose answer becomes a private one."""

    def __init__(self) -> None:
        self.answer = "93.184.216.34"

    def __call__(self, host: str) -> Sequence[str]:
        del host
        return [self.answer]


def test_the_address_is_judged_again_when_it_is_called(tmp_path: Path, endpoint: Receiver) -> None:
    resolver = TurningResolver()
    settings = Settings(postback_ports=[endpoint.port])
    with brand_api(
        tmp_path / "data", now=datetime.now(UTC), settings=settings, resolve=resolver
    ) as api:
        made = add(api, f"http://hooks.example:{endpoint.port}/ok/rebound")
        resolver.answer = "127.0.0.1"
        shown = tried(api, made)
    assert (shown["Acknowledged"], shown["Response"]) == (False, "")
    assert "hooks.example may not be called" in shown["Outcome"]
    assert endpoint.requests("/ok/rebound") == []


def test_one_at_a_time_for_an_account_and_nobody_else_waits(
    api: BrandApi, endpoint: Receiver
) -> None:
    slow = add(api, endpoint.url("/slow/0.5/one"))
    partners = add(api, endpoint.url("/ok/meanwhile"), api.partner)

    async def post(login: Login, notification: Notification) -> Answer:
        headers = {"authorization": login.header}
        return await request_async(api.app, "POST", path_of(login, notification), headers=headers)

    async def race() -> tuple[Answer, Answer, Answer]:
        first = asyncio.create_task(post(api.brand, slow))
        await asyncio.to_thread(endpoint.wait_for, 1, "/slow/0.5/one")
        second = await post(api.brand, slow)
        other = await post(api.partner, partners)
        assert not first.done()
        return await first, second, other

    first, second, other = asyncio.run(race())
    assert first.json()["Acknowledged"] is True
    assert (second.status, second.header("retry-after")) == (429, "5")
    assert "Another test send" in second.json()["Message"]
    assert other.json()["Acknowledged"] is True
    assert tried(api, slow)["Acknowledged"] is True


class HeldSender(Sender):
    """Calls nobody; answers when it is let."""

    def __init__(self, go_on: asyncio.Event) -> None:
        super().__init__(Guard([], []), LIMIT_S, LIMIT_S)
        self._go_on = go_on

    async def send(self, prepared: Prepared) -> Outcome:
        del prepared
        await self._go_on.wait()
        return Outcome(started_at=datetime.now(UTC), duration_ms=0, status=200)


def notification_of(account_sid: str) -> Notification:
    moment = datetime.now(UTC)
    return Notification(
        id="1",
        account_sid=account_sid,
        draft=draft(),
        created_at=moment,
        changed_at=moment,
        failing_since=None,
        disabled_at=None,
        disabled_reason="",
        secrets=(SECRET,),
    )


def test_only_a_few_at_a_time_over_all_accounts() -> None:
    async def crowd() -> tuple[int, int]:
        go_on = asyncio.Event()
        trials = Trials(lambda: HeldSender(go_on), SteadyClock())
        tasks = [
            asyncio.create_task(trials.send(notification_of(f"IR{number}"))) for number in range(12)
        ]
        refused = 0
        for task in tasks[8:]:
            with pytest.raises(TooManyRequestsError, match="Too many"):
                await task
            refused += 1
        go_on.set()
        ended = await asyncio.gather(*tasks[:8])
        await trials.send(notification_of("IR99"))  # there is room again
        return refused, len(ended)

    assert asyncio.run(crowd()) == (4, 8)


def test_room_is_given_back_when_a_test_breaks() -> None:
    class BreakingSender(HeldSender):
        async def send(self, prepared: Prepared) -> Outcome:
            raise RuntimeError(prepared.url)

    async def break_often() -> None:
        trials = Trials(lambda: BreakingSender(asyncio.Event()), SteadyClock())
        for _ in range(20):
            with pytest.raises(RuntimeError, match="hooks"):
                await trials.send(notification_of("IR1"))

    asyncio.run(break_often())


def headers_of(shown: Mapping[str, Any]) -> dict[str, str]:
    return {header["Name"]: header["Value"] for header in shown["Headers"]}


def test_the_signature_of_a_test_can_be_checked_by_hand(api: BrandApi, endpoint: Receiver) -> None:
    made = add(api, endpoint.url("/ok/by-hand"), method=Method.POST)
    shown = tried(api, made)["Request"]
    Webhook(SECRET).verify(shown["Body"], headers_of(shown))
