"""The hot path, called in process: what is answered, and what is recorded, for each request."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from uuid import UUID

import httpx
import pytest

from clickledger.clock import Micros, SteadyClock
from clickledger.collector.app import Collector
from clickledger.collector.committer import Committer
from clickledger.collector.visitor import TrustedProxies
from clickledger.errors import SpoolUnavailableError
from clickledger.ids import ClickIds
from clickledger.metrics import Metrics
from clickledger.programs.directory import Directory, Records
from clickledger.programs.model import Ad, Partner, Program, VanityLink
from clickledger.spool.model import QUERY_CAP, REFERRER_CAP, USER_AGENT_CAP, Click

IDS = ClickIds([b"k" * 32])
PROFILE = "01234567-89ab-4def-8123-0123456789ab"
RECORDS = Records(
    version=1,
    programs=(
        Program(
            id=3,
            advertiser_sid="IRbrand",
            name="Shop",
            time_zone="UTC",
            landing_page="https://shop.example/start?a=1",
            deep_link_domains=("shop.example", "*.shop.example"),
            partner_template="mpid={irpid}",
        ),
        Program(
            id=4,
            advertiser_sid="IRother",
            name="Other",
            time_zone="UTC",
            landing_page="https://other.example/",
        ),
    ),
    partners=(
        Partner(id=1, sid="IRp1", advertiser_sid="IRbrand", name="Blog"),
        Partner(id=9, sid="IRp9", advertiser_sid="IRother", name="Foreign"),
    ),
    ads=(
        Ad(id=2, program_id=3, name="Text", type="TEXT_LINK"),
        Ad(id=5, program_id=3, name="Own", type="BANNER", landing_page="https://shop.example/own"),
        Ad(id=6, program_id=4, name="Foreign", type="TEXT_LINK"),
    ),
    links=(
        VanityLink(
            path="/summer",
            program_id=3,
            partner_id=1,
            ad_id=2,
            deep_link="https://www.shop.example/summer",
        ),
    ),
)


@dataclass
class ListLog:
    """A log in memory with a fault slot: it fails while ``fault`` is set."""

    clicks: list[Click] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    marks: list[Micros] = field(default_factory=list)
    fault: Exception | None = None
    #: Commits wait until it is set.
    flowing: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.flowing.set()

    def append(self, clicks: list[Click], low_water: Micros) -> None:
        self.flowing.wait()
        if self.fault is not None:
            raise self.fault
        self.clicks += clicks
        self.batches.append(len(clicks))
        self.marks.append(low_water)

    def mark(self, low_water: Micros) -> None:
        if self.fault is not None:
            raise self.fault
        self.marks.append(low_water)


@dataclass
class Source:
    """A directory that can change."""

    current: Directory


@dataclass
class Rig:
    """A collector over a log in memory, and a client that calls it in process."""

    log: ListLog
    clock: SteadyClock
    metrics: Metrics
    committer: Committer
    source: Source
    client: httpx.AsyncClient

    def counter(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"clickledger_{name}_total", labels) or 0.0


@asynccontextmanager
async def collector(*proxies: str, patience_s: float = 0.3) -> AsyncIterator[Rig]:
    log, clock, metrics = ListLog(), SteadyClock(), Metrics()
    committer = Committer(log, clock, metrics, patience_s=patience_s)
    source = Source(Directory(RECORDS))
    app = Collector(
        directory=source,
        click_ids=IDS,
        committer=committer,
        clock=clock,
        proxies=TrustedProxies([ip_network(proxy) for proxy in proxies]),
        metrics=metrics,
    )
    committer.start()
    transport = httpx.ASGITransport(app, client=("203.0.113.7", 5))
    try:
        async with httpx.AsyncClient(
            transport=transport, base_url="http://track.example"
        ) as client:
            yield Rig(log, clock, metrics, committer, source, client)
    finally:
        await committer.stop()


def test_a_click_is_recorded_as_received_and_the_visitor_sent_on() -> None:
    async def story() -> None:
        async with collector() as rig:
            before = rig.clock.now()
            answer = await rig.client.get(
                "/c/1/2/3?subId1=a%20b&utm=x",
                headers={
                    "User-Agent": "Firefox",
                    "Referer": "https://blog.example/x",
                    "Sec-Fetch-Site": "cross-site",
                    "Sec-Fetch-Mode": "navigate",
                    "Sec-Fetch-Dest": "document",
                    "Sec-Fetch-User": "?1",
                    "Sec-GPC": "1",
                    "Accept-Language": "de",
                    "Cookie": f"x=1; clickledger_profile={PROFILE}",
                },
            )
            (click,) = rig.log.clicks
            assert answer.status_code == 302
            assert answer.headers["location"] == click.landing_url
            assert click.landing_url == (
                f"https://shop.example/start?a=1&mpid=1&utm=x&irclickid={click.click_id}&irgwc=1"
            )
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["referrer-policy"] == "strict-origin-when-cross-origin"
            assert answer.headers["x-robots-tag"] == "noindex"
            assert answer.headers["set-cookie"] == (
                f"clickledger_profile={PROFILE}; Max-Age=31536000; Path=/; HttpOnly; SameSite=Lax"
            )
            assert IDS.genuine(click.click_id, 3)
            assert before <= click.received <= rig.clock.now()
            assert click == Click(
                received=click.received,
                click_id=click.click_id,
                program_id=3,
                media_id=1,
                ad_id=2,
                path=b"/c/1/2/3",
                query=b"subId1=a%20b&utm=x",
                user_agent=b"Firefox",
                referrer=b"https://blog.example/x",
                address="203.0.113.7",
                profile_id=PROFILE,
                profile_carried=True,
                landing_url=click.landing_url,
                reasons=(),
                sec_fetch_site=b"cross-site",
                sec_fetch_mode=b"navigate",
                sec_fetch_dest=b"document",
                sec_fetch_user=b"?1",
                gpc=b"1",
                accept_language=b"de",
            )
            assert rig.counter("clicks_accepted") == 1

    asyncio.run(story())


def test_a_new_visitor_gets_a_profile() -> None:
    async def story() -> None:
        async with collector() as rig:
            answer = await rig.client.get("/c/1/2/3")
            (click,) = rig.log.clicks
            assert UUID(click.profile_id).version == 4
            assert not click.profile_carried
            assert f"clickledger_profile={click.profile_id};" in answer.headers["set-cookie"]

    asyncio.run(story())


LANDINGS = [
    ("the program's page", "/c/1/2/3", "https://shop.example/start?a=1&mpid=1&", ()),
    ("a trailing slash", "/c/1/2/3/", "https://shop.example/start?a=1&mpid=1&", ()),
    ("the ad's page", "/c/1/5/3", "https://shop.example/own?mpid=1&", ()),
    ("a vanity path", "/summer", "https://www.shop.example/summer?mpid=1&", ()),
    (
        "a deep link",
        "/c/1/2/3?u=https%3A%2F%2Fshop.example%2Fp%3Fid%3D%7Birpid%7D",
        "https://shop.example/p?id=1&mpid=1&",
        (),
    ),
    (
        "a deep link on a vanity path",
        "/summer?u=https%3A%2F%2Fshop.example%2Fp",
        "https://shop.example/p?mpid=1&",
        (),
    ),
    ("an empty deep link is none", "/c/1/5/3?u=", "https://shop.example/own?mpid=1&", ()),
    (
        "a refused deep link",
        "/c/1/5/3?u=https%3A%2F%2Fevil.example%2F&k=v",
        "https://shop.example/own?mpid=1&k=v&",
        ("bad_deeplink",),
    ),
]


@pytest.mark.parametrize(
    ("link", "landing", "reasons"), [row[1:] for row in LANDINGS], ids=[row[0] for row in LANDINGS]
)
def test_where_a_visitor_lands(link: str, landing: str, reasons: tuple[str, ...]) -> None:
    async def story() -> None:
        async with collector() as rig:
            answer = await rig.client.get(link)
            (click,) = rig.log.clicks
            assert answer.headers["location"] == f"{landing}irclickid={click.click_id}&irgwc=1"
            assert click.reasons == reasons
            assert rig.counter("clicks_marked", reason="bad_deeplink") == len(reasons)

    asyncio.run(story())


REFUSED = [
    ("unknown program", "/c/1/2/99", "unknown_program"),
    ("unknown partner", "/c/99/2/3", "unknown_partner"),
    ("another brand's partner", "/c/9/2/3", "unknown_partner"),
    ("unknown ad", "/c/1/99/3", "unknown_ad"),
    ("another program's ad", "/c/1/6/3", "unknown_ad"),
    ("not numbers", "/c/a/b/c", "malformed_link"),
    ("too few parts", "/c/1/2", "malformed_link"),
    ("too many parts", "/c/1/2/3/4", "malformed_link"),
    ("absurd numbers", "/c/1/2/" + "9" * 40, "malformed_link"),
    ("no such path", "/nowhere", "unknown_link"),
    ("NUL in the path", "/c/1/2/3%00", "malformed_link"),
    ("invalid UTF-8 in the path", "/%ff", "unknown_link"),
]


@pytest.mark.parametrize(
    ("link", "reason"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
def test_an_unknown_link_is_a_small_page_and_never_a_redirect(link: str, reason: str) -> None:
    async def story() -> None:
        async with collector() as rig:
            answer = await rig.client.get(link + "?u=https%3A%2F%2Fevil.example%2F%3Cscript%3E")
            assert answer.status_code == 404
            assert answer.headers["x-click-reason"] == reason
            assert answer.headers["cache-control"] == "no-store"
            assert "location" not in answer.headers
            assert len(answer.content) < 500
            assert b"evil" not in answer.content
            assert rig.log.clicks == []
            assert rig.counter("clicks_refused", reason=reason) == 1
            head = await rig.client.head(link)
            assert (head.status_code, head.content) == (404, b"")

    asyncio.run(story())


def test_head_mirrors_the_answer_without_a_promise() -> None:
    async def story() -> None:
        async with collector() as rig:
            got = await rig.client.get("/c/1/2/3?k=v")
            head = await rig.client.head("/c/1/2/3?k=v")
            assert head.status_code == got.status_code
            assert head.headers["location"] == "https://shop.example/start?a=1&mpid=1&k=v&irgwc=1"
            for name in ("cache-control", "referrer-policy", "x-robots-tag"):
                assert head.headers[name] == got.headers[name]
            assert "set-cookie" not in head.headers
            assert len(rig.log.clicks) == 1

    asyncio.run(story())


PREFETCHES = [
    ("Sec-Purpose", "prefetch"),
    ("Sec-Purpose", "prefetch;prerender"),
    ("Sec-Purpose", "prefetch;anonymous-client-ip"),
    ("Sec-Purpose", " Prefetch"),
    ("Purpose", "prefetch"),
    ("X-Moz", "prefetch"),
    ("X-Purpose", "preview"),
]


@pytest.mark.parametrize(("name", "value"), PREFETCHES)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_prefetch_is_not_a_click(method: str, name: str, value: str) -> None:
    async def story() -> None:
        async with collector() as rig:
            answer = await rig.client.request(method, "/c/1/2/3", headers={name: value})
            assert answer.status_code == 503
            assert answer.headers["cache-control"] == "no-store"
            assert "location" not in answer.headers
            assert rig.log.clicks == []
            assert rig.counter("clicks_refused", reason="prefetch") == 1

    asyncio.run(story())


def test_an_ordinary_purpose_is_a_click() -> None:
    async def story() -> None:
        async with collector() as rig:
            answer = await rig.client.get("/c/1/2/3", headers={"Purpose": "navigation"})
            assert answer.status_code == 302
            assert len(rig.log.clicks) == 1

    asyncio.run(story())


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_other_methods_are_refused(method: str) -> None:
    async def story() -> None:
        async with collector() as rig:
            answer = await rig.client.request(method, "/c/1/2/3")
            assert answer.status_code == 405
            assert answer.headers["allow"] == "GET, HEAD"
            assert rig.log.clicks == []

    asyncio.run(story())


def test_fields_are_cut_in_the_record_only() -> None:
    async def story() -> None:
        async with collector() as rig:
            long = "x" * 40_000
            answer = await rig.client.get(
                f"/c/1/2/3?k={long}",
                headers={"User-Agent": long, "Referer": long, "Accept-Language": long},
            )
            (click,) = rig.log.clicks
            assert f"k={long}&irclickid={click.click_id}" in answer.headers["location"]
            assert len(click.query) == QUERY_CAP
            assert len(click.user_agent) == USER_AGENT_CAP
            assert len(click.referrer) == REFERRER_CAP
            assert len(click.accept_language) == 256
            assert len(click.landing_url) == 16 * 1024

    asyncio.run(story())


def test_hostile_headers_are_kept_as_bytes() -> None:
    async def story() -> None:
        async with collector() as rig:
            await rig.client.get("/c/1/2/3?a=%00%0d%0a\xff", headers={b"User-Agent": b"\xff\x01"})
            (click,) = rig.log.clicks
            assert click.user_agent == b"\xff\x01"
            assert click.landing_url.isascii()

    asyncio.run(story())


def test_the_click_id_parameter_of_a_link_is_replaced() -> None:
    async def story() -> None:
        async with collector() as rig:
            answer = await rig.client.get("/c/1/2/3?irclickid=forged&IRGWC=0&k=v")
            (click,) = rig.log.clicks
            assert answer.headers["location"].count("irclickid=") == 1
            assert "forged" not in answer.headers["location"]
            assert click.query == b"irclickid=forged&IRGWC=0&k=v"

    asyncio.run(story())


def test_only_a_listed_proxy_says_who_the_client_is() -> None:
    async def story() -> None:
        headers = {"X-Forwarded-For": "198.51.100.9", "X-Forwarded-Proto": "https"}
        async with collector() as rig:
            answer = await rig.client.get("/c/1/2/3", headers=headers)
            assert rig.log.clicks[0].address == "203.0.113.7"
            assert "Secure" not in answer.headers["set-cookie"]
        async with collector("203.0.113.0/24") as rig:
            answer = await rig.client.get("/c/1/2/3", headers=headers)
            assert rig.log.clicks[0].address == "198.51.100.9"
            assert answer.headers["set-cookie"].endswith("; Secure")

    asyncio.run(story())


def test_a_spool_that_fails_never_stops_a_visitor() -> None:
    async def story() -> None:
        async with collector() as rig:
            rig.log.fault = SpoolUnavailableError("the disk is full")
            answer = await rig.client.get("/c/1/2/3?k=v")
            assert answer.status_code == 302
            assert answer.headers["location"] == "https://shop.example/start?a=1&mpid=1&k=v&irgwc=1"
            assert answer.headers["x-click-reason"] == "unrecorded"
            assert "set-cookie" not in answer.headers
            assert rig.committer.fault == "the disk is full"
            # While the fault is fresh, visitors do not even wait for another try.
            await rig.client.get("/c/1/2/3")
            assert rig.counter("clicks_unrecorded") == 2
            assert rig.counter("spool_failures") == 1
            rig.log.fault = None
            await asyncio.sleep(1.2)
            assert (await rig.client.get("/c/1/2/3")).headers["location"].count("irclickid=") == 1
            assert rig.committer.fault == ""
            assert len(rig.log.clicks) == 1

    asyncio.run(story())


def test_a_bug_in_the_spool_never_stops_a_visitor() -> None:
    async def story() -> None:
        # The first traceback a process logs takes long to lay out: slow, but no hang.
        async with collector(patience_s=10) as rig:
            rig.log.fault = ZeroDivisionError("oops")
            assert (await rig.client.get("/c/1/2/3")).status_code == 302
            assert rig.committer.fault == "ZeroDivisionError: oops"

    asyncio.run(story())


def test_requests_under_way_share_a_commit_and_marks_hold() -> None:
    async def story() -> None:
        async with collector() as rig:
            await asyncio.gather(*(rig.client.get("/c/1/2/3") for _ in range(200)))
            assert len(rig.log.clicks) == 200
            assert len(rig.log.batches) < 100
            done = 0
            for size, mark in zip(rig.log.batches, rig.log.marks[1:], strict=False):
                done += size
                assert all(click.received >= mark for click in rig.log.clicks[done:])

    asyncio.run(story())


def test_one_cancelled_request_does_not_touch_the_others() -> None:
    async def story() -> None:
        async with collector() as rig:
            requests = [asyncio.ensure_future(rig.client.get("/c/1/2/3")) for _ in range(20)]
            await asyncio.sleep(0)
            requests[0].cancel()
            answers = await asyncio.gather(*requests, return_exceptions=True)
            assert isinstance(answers[0], asyncio.CancelledError)
            for answer in answers[1:]:
                assert isinstance(answer, httpx.Response)
                assert "irclickid=" in answer.headers["location"]

    asyncio.run(story())


def test_an_idle_collector_says_how_far_it_is_complete() -> None:
    async def story() -> None:
        async with collector() as rig:
            await asyncio.sleep(1.2)
            assert len(rig.log.marks) >= 2
            assert rig.log.marks == sorted(rig.log.marks)

    asyncio.run(story())


def test_a_changed_directory_counts_at_once() -> None:
    async def story() -> None:
        async with collector() as rig:
            assert (await rig.client.get("/c/1/2/3")).status_code == 302
            rig.source.current = Directory(Records(version=2))
            answer = await rig.client.get("/c/1/2/3")
            assert answer.headers["x-click-reason"] == "unknown_program"

    asyncio.run(story())


def test_a_disk_that_hangs_never_holds_up_a_visitor() -> None:
    async def story() -> None:
        async with collector() as rig:
            rig.log.flowing.clear()
            first = asyncio.ensure_future(rig.client.get("/c/1/2/3"))
            await asyncio.sleep(0.1)
            second = asyncio.ensure_future(rig.client.get("/c/1/2/3"))
            for answer in (await first, await second, await rig.client.get("/c/1/2/3")):
                assert answer.status_code == 302
                assert "irclickid" not in answer.headers["location"]
            assert "hung" in rig.committer.fault
            assert rig.counter("clicks_unrecorded") == 3
            rig.log.flowing.set()
            await asyncio.sleep(0.1)
            assert "irclickid=" in (await rig.client.get("/c/1/2/3")).headers["location"]
            assert rig.committer.fault == ""

    asyncio.run(story())


def test_the_profile_is_found_in_any_of_several_cookie_headers() -> None:
    async def story() -> None:
        async with collector() as rig:
            await rig.client.get(
                "/c/1/2/3",
                headers=[("Cookie", f"clickledger_profile={PROFILE}"), ("Cookie", "b=2")],
            )
            assert rig.log.clicks[0].profile_id == PROFILE

    asyncio.run(story())
