"""Made-up clicks like real ones, for the benchmarks of loader and lake: no server needed."""

import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote

from clickledger.clock import Micros
from clickledger.ids import ClickIds
from clickledger.programs.model import Ad, Partner, Program
from clickledger.spool.model import Click

PROGRAM = Program(
    id=1001,
    advertiser_sid="IRbench",
    name="Running Shoes Example",
    time_zone="Europe/Berlin",
    landing_page="https://shop.example/",
)
_PARTNERS = 40
_ADS = 12
#: Clicks per visitor, on average: most come once.
_CLICKS_PER_VISITOR = 1.6
_WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
_AGENTS = (
    f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_WEBKIT} Chrome/{{major}}.0.{{build}} Safari",
    f"Mozilla/5.0 (Linux; Android 15; SM-G{{build}}) {_WEBKIT} Chrome/{{major}} Mobile Safari",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) Version/18.{build} Safari/{major}.1",
    "Mozilla/5.0 (X11; Linux x86_64; rv:{major}.0) Gecko/2010{build} Firefox/{major}.0",
)


@dataclass(frozen=True, slots=True)
class MadeUpNames:
    """A directory of one program, some partners and some ads."""

    def program(self, program_id: int) -> Program | None:
        """Return the program."""
        return PROGRAM if program_id == PROGRAM.id else None

    def partner(self, partner_id: int) -> Partner | None:
        """Return a partner."""
        return Partner(
            id=partner_id,
            sid=f"IRp{partner_id}",
            advertiser_sid="IRbench",
            name=f"Blog {partner_id}",
        )

    def ad(self, ad_id: int) -> Ad | None:
        """Return an ad."""
        return Ad(id=ad_id, program_id=PROGRAM.id, name=f"Spring banner {ad_id}", type="BANNER")


def made_up(count: int, *, start: Micros, spacing: float, seed: int = 7) -> Iterator[Click]:
    """Make ``count`` clicks from ``start`` on, ``spacing`` microseconds apart on average.

    Each has its own click id, a UUID sub id, a raw query with a deep link, a user agent of some
    hundreds, an address and a landing URL; a profile belongs to a visitor.
    """
    dice = random.Random(seed)  # noqa: S311 - made-up visitors, not secrets
    mint = ClickIds((b"bench" * 6,)).minter(PROGRAM.id).mint
    agents = _user_agents(dice)
    referrers = _referrers(dice)
    languages = [
        b"en-GB,en;q=0.9",
        b"de-DE,de;q=0.9,en;q=0.8",
        b"fr-FR,fr;q=0.9",
        b"en-US,en;q=0.5",
    ]
    visitors: list[tuple[str, str, bytes, bytes]] = []
    instant = float(start)
    for _ in range(count):
        instant += dice.expovariate(1.0) * spacing
        received = int(instant)
        returning = bool(visitors) and dice.random() > 1 / _CLICKS_PER_VISITOR
        if returning:
            profile, address, agent, language = dice.choice(visitors)
        else:
            profile = str(uuid.UUID(int=dice.getrandbits(128), version=4))
            address = ".".join(str(dice.randrange(1, 255)) for _ in range(4))
            agent, language = dice.choice(agents), dice.choice(languages)
            visitors.append((profile, address, agent, language))
            if len(visitors) > 20_000:
                visitors[dice.randrange(20_000)] = visitors.pop()
        media, ad = 5000 + dice.randrange(_PARTNERS), 200 + dice.randrange(_ADS)
        page = f"https://shop.example/p/{dice.randrange(20_000):05d}?color={dice.choice('rgbw')}"
        sub_id = uuid.UUID(int=dice.getrandbits(128), version=4)
        click_id = mint(received)
        yield Click(
            received=received,
            click_id=click_id,
            program_id=PROGRAM.id,
            media_id=media,
            ad_id=ad,
            path=f"/c/{media}/{ad}/{PROGRAM.id}".encode(),
            query=f"u={quote(page, safe='')}&subId1={sub_id}&sharedid=spring".encode(),
            user_agent=agent,
            referrer=dice.choice(referrers),
            address=address,
            profile_id=profile,
            profile_carried=returning,
            landing_url=f"{page}&irclickid={click_id}&irgwc=1",
            sec_fetch_site=b"cross-site",
            sec_fetch_mode=b"navigate",
            sec_fetch_dest=b"document",
            sec_fetch_user=b"?1",
            accept_language=language,
        )


def _user_agents(dice: random.Random) -> list[bytes]:
    return [
        dice.choice(_AGENTS)
        .format(major=dice.randrange(100, 145), build=dice.randrange(1000, 7000))
        .encode()
        for _ in range(400)
    ]


def _referrers(dice: random.Random) -> list[bytes]:
    return [b"", b"https://www.google.com/", b"https://t.co/Zx81kQ2"] + [
        f"https://blog{dice.randrange(60)}.example/reviews/{dice.randrange(5_000)}".encode()
        for _ in range(1_500)
    ]
