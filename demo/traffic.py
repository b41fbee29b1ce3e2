"""Visitors as they come: browsers, phones, robots; sites they come from; addresses they have."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

import httpx

USER_AGENTS = (
    (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/142.0.0.0 Safari/537.36"
    ),
    (
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
        "Version/18.1 Safari/605.1.15"
    ),
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
        "Gecko) Version/18.1 Mobile/15E148 Safari/604.1"
    ),
    (
        "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/142.0.0.0 Mobile Safari/537.36"
    ),
    "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
    (
        "Mozilla/5.0 (iPad; CPU OS 17_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
        "Version/17.7 Mobile/15E148 Safari/604.1"
    ),
    (
        "Mozilla/5.0 (SMART-TV; Linux; Tizen 8.0) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Version/8.0 TV Safari/537.36"
    ),
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "curl/8.11.0",
)
REFERRERS = (
    "https://runningblog.example/best-shoes-2026",
    "https://deals.example/coupons/shop?page=2",
    "https://www.search.example/",
    "https://video.example/watch?v=%E2%9C%93",
    "",
)
SUB_IDS = ("spring", "newsletter-47", "video, part 2", "übersicht", "=1+1", "")


@dataclass(frozen=True, slots=True)
class Sent:
    """What the visitors of one round got back."""

    #: Click ids on the landing pages they were sent to: each is a promise.
    click_ids: tuple[str, ...]
    #: Requests that got no answer.
    unanswered: int


async def send(
    url: str,
    links: tuple[str, ...],
    count: int,
    *,
    at_once: int,
    seed: int,
    on_answer: Callable[[int], None],
) -> Sent:
    """Send ``count`` visitors, ``at_once`` at a time; ``on_answer`` gets the answers so far.

    The addresses come in X-Forwarded-For: the demonstration lists loopback as a proxy.
    """
    dice = random.Random(seed)  # noqa: S311 - made-up visitors, not secrets
    click_ids: list[str] = []
    unanswered = 0
    visits = iter([_visit(dice, links) for _ in range(count)])

    async def visitor(client: httpx.AsyncClient) -> None:
        nonlocal unanswered
        for link, headers in visits:
            try:
                answer = await client.get(url + link, headers=headers)
                click_ids.append(httpx.URL(answer.headers["location"]).params["irclickid"])
            except (httpx.HTTPError, KeyError):
                unanswered += 1
            client.cookies.clear()
            on_answer(len(click_ids))

    limits = httpx.Limits(max_connections=at_once)
    async with httpx.AsyncClient(limits=limits, timeout=10) as client:
        await asyncio.gather(*(visitor(client) for _ in range(at_once)))
    return Sent(tuple(click_ids), unanswered)


def _visit(dice: random.Random, links: tuple[str, ...]) -> tuple[str, dict[str, str]]:
    query = [f"subId1={quote(dice.choice(SUB_IDS))}", f"sharedid=c{dice.randrange(20)}"]
    if dice.random() < 0.3:
        query.append(
            "u=" + quote(f"https://shop.example.com/p/{dice.randrange(500)}?ref=x", safe="")
        )
    if dice.random() < 0.01:
        query.append("u=https%3A%2F%2Fevil.example%2F")
    headers = {
        "User-Agent": dice.choice(USER_AGENTS),
        "X-Forwarded-For": f"198.51.{dice.randrange(4)}.{dice.randrange(1, 255)}",
        "Accept-Language": dice.choice(("en-GB,en;q=0.9", "de-DE,de;q=0.8", "fr", "ja")),
        "Sec-Fetch-Mode": "navigate",
    }
    if referrer := dice.choice(REFERRERS):
        headers["Referer"] = referrer
    return f"{dice.choice(links)}?{'&'.join(query)}", headers
