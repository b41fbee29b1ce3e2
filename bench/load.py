"""Load generators: `wrk` at full speed, and a paced open-loop one that notes every click."""

import asyncio
import json
import random
import subprocess
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_WRK_SCRIPT = Path(__file__).with_name("visitor.lua")


@dataclass(frozen=True, slots=True, kw_only=True)
class WrkResult:
    """What one run of wrk counted; latencies in milliseconds."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    errors: int

    @property
    def per_second(self) -> float:
        """Answers per second."""
        return self.requests / self.seconds


def wrk(url: str, link: str, *, connections: int, seconds: int) -> WrkResult:
    """Run wrk, one thread, as visitors with ordinary headers and a sub id of their own each."""
    printed = subprocess.run(
        [
            *("wrk", "--threads", "1", "--connections", str(connections)),
            *("--duration", f"{seconds}s", "--timeout", "5s", "--script", str(_WRK_SCRIPT)),
            *(url, "--", link),
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    found = json.loads(printed[printed.index("WRK ") + 4 :])
    return WrkResult(
        requests=found["requests"],
        seconds=found["duration_us"] / 1e6,
        p50_ms=found["p50_us"] / 1e3,
        p99_ms=found["p99_us"] / 1e3,
        errors=found["errors"],
    )


@dataclass(slots=True)
class Paced:
    """What a paced run saw."""

    #: Seconds from the scheduled instant to the answer, so that a stall counts in full.
    latencies: list[float] = field(default_factory=list)
    #: Click id and wall-clock instant of its answer, UTC seconds.
    clicks: list[tuple[str, float]] = field(default_factory=list)
    errors: int = 0

    def percentile_ms(self, share: float) -> float:
        """Return a percentile of the latency in milliseconds."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1e3


async def paced(
    port: int,
    links: Sequence[str],
    *,
    per_second: int,
    seconds: float,
    connections: int = 32,
    going: Callable[[], bool] = lambda: True,
) -> Paced:
    """Send clicks at a fixed pace over kept-alive connections, at most ``seconds`` long."""
    dice = random.Random(7)  # noqa: S311 - made-up visitors, not secrets
    seen = Paced()
    start = time.perf_counter() + 0.05
    total = int(per_second * seconds)
    numbers = iter(range(total))

    async def visitor() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in numbers:
            if not going():
                break
            due = start + number / per_second
            pause = due - time.perf_counter()
            if pause > 0:
                await asyncio.sleep(pause)
            profile = uuid.UUID(int=dice.getrandbits(128), version=4)
            writer.write(
                f"GET {dice.choice(links)}?subId1={uuid.uuid4()} HTTP/1.1\r\nHost: bench\r\n"
                "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Firefox/145.0\r\n"
                f"Cookie: clickledger_profile={profile}\r\nReferer: https://blog.example/\r\n\r\n".encode()
            )
            head = await reader.readuntil(b"\r\n\r\n")
            seen.latencies.append(time.perf_counter() - due)
            _, _, after = head.partition(b"irclickid=")
            if head.startswith(b"HTTP/1.1 302") and after:
                seen.clicks.append((after[:32].decode(), time.time()))
            else:
                seen.errors += 1
        writer.close()

    await asyncio.gather(*(visitor() for _ in range(connections)))
    return seen
