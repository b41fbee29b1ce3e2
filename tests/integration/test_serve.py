"""`serve` as an operator drives it: ready soon, quiet end, dead children replaced, no orphans."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from clickledger.testing.installation import Brand, Installation


@pytest.fixture
def made(tmp_path: Path) -> Iterator[tuple[Installation, Brand]]:
    """A data folder that is not served yet; whatever runs at the end is killed."""
    server = Installation(tmp_path / "data")
    brand = server.make()
    yield server, brand
    server.kill()


def children(pid: int) -> list[int]:
    found: list[int] = []
    for entry in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, entry.read_text(encoding="ascii").split())
    return found


def wait_for(what: Callable[[], bool], within_s: float = 20.0) -> None:
    deadline = time.monotonic() + within_s
    while not what():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        status = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
        return status.rpartition(") ")[2][0] != "Z"
    return False


def readiness(server: Installation) -> tuple[int, dict[str, object]]:
    answer = httpx.get(f"{server.url}/readyz")
    return answer.status_code, answer.json()


def test_sigterm_ends_it_with_status_0_and_what_is_spooled_stays(
    made: tuple[Installation, Brand],
) -> None:
    server, brand = made
    server.start(role="collector")
    for _ in range(20):
        assert httpx.get(server.url + brand.links[0]).status_code == 302
    started = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - started < 10
    stats = json.loads(server.command("spool", "stats", "--json").stdout)
    assert stats["clicks"] == 20
    assert [spool["owner_alive"] for spool in stats["spools"]] == [False]


def test_after_sigkill_the_same_folder_and_port_serve_again(
    made: tuple[Installation, Brand],
) -> None:
    server, brand = made
    server.start()
    httpx.get(server.url + brand.links[0])
    server.kill()
    server.start()
    wait_for(lambda: server.count()["raw"] == 1)
    stats = json.loads(server.command("spool", "stats", "--json").stdout)
    assert [spool["owner_alive"] for spool in stats["spools"]] == [True]
    assert server.stop() == 0


def test_children_end_with_their_parent(made: tuple[Installation, Brand]) -> None:
    server, _ = made
    server.start(workers=2)
    assert server.process is not None
    family = children(server.process.pid)
    assert len(family) == 3
    server.process.kill()
    server.process.wait()
    wait_for(lambda: not any(map(alive, family)))


def test_a_child_that_dies_alone_is_replaced(made: tuple[Installation, Brand]) -> None:
    server, brand = made
    server.start()
    assert server.process is not None
    before = children(server.process.pid)
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    parent = server.process.pid
    wait_for(lambda: len(set(children(parent)) - set(before)) == 2)
    wait_for(server.ready)
    assert httpx.get(server.url + brand.links[0]).status_code == 302


def test_a_taken_port_is_refused_with_one_line(made: tuple[Installation, Brand]) -> None:
    server, _ = made
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", server.port))
        taken.listen()
        found = subprocess.run(
            [
                *(sys.executable, "-m", "clickledger", "serve"),
                *("--data", str(server.folder), "--port", str(server.port)),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
    assert found.returncode == 1
    assert found.stderr.count("\n") == 1
    assert "choose another --host or --port" in found.stderr


def test_each_role_answers_its_own_and_its_probes(made: tuple[Installation, Brand]) -> None:
    server, brand = made
    resource = f"/Advertisers/{brand.sid}/CompanyInformation"
    for role, link, api in (("collector", 302, 404), ("web", 404, 200), ("worker", 404, 404)):
        server.start(role=role)
        assert httpx.get(server.url + brand.links[0]).status_code == link, role
        assert httpx.get(server.url + resource, auth=(brand.sid, brand.token)).status_code == api
        assert httpx.get(f"{server.url}/livez").json() == {"status": "up"}
        assert "clickledger_" in httpx.get(f"{server.url}/metrics").text
        assert readiness(server)[1]["status"] == "ready"
        assert httpx.post(f"{server.url}/livez").status_code == 405
        assert server.stop() == 0


def test_a_collector_needs_nothing_but_spool_and_snapshot(
    made: tuple[Installation, Brand],
) -> None:
    server, brand = made
    for file in server.folder.glob("control.db*"):
        file.unlink()
    server.start(role="collector")
    assert httpx.get(server.url + brand.links[0]).headers["location"].count("irclickid=") == 1
    assert readiness(server)[0] == 200


def test_metrics_are_summed_over_processes(made: tuple[Installation, Brand]) -> None:
    server, brand = made
    server.start(role="collector", workers=2)
    for _ in range(40):
        httpx.get(server.url + brand.links[0])
    for _ in range(5):
        page = httpx.get(f"{server.url}/metrics").text
        assert "clickledger_clicks_accepted_total 40.0" in page


def test_what_the_server_itself_refuses_is_refused(made: tuple[Installation, Brand]) -> None:
    server, brand = made
    server.start(role="collector")
    for size, statuses in ((140_000, {302, 414, 431}), (1_000_000, {414, 431, 400})):
        raw = http.client.HTTPConnection("127.0.0.1", server.port)
        # A server may close the connection while a megabyte is still being sent.
        with contextlib.closing(raw), contextlib.suppress(ConnectionError):
            raw.putrequest("GET", f"{brand.links[0]}?k={'x' * size}")
            raw.endheaders()
            assert raw.getresponse().status in statuses
        assert httpx.get(server.url + brand.links[0]).status_code == 302


HOSTILE = [
    ("NUL in the query", b"GET /c/1/1/1?subId1=%00 HTTP/1.1", b"302"),
    ("line ends in the query", b"GET /c/1/1/1?subId1=%0d%0aSet-Cookie:x HTTP/1.1", b"302"),
    ("invalid UTF-8 in the query", b"GET /c/1/1/1?subId1=%ff%fe HTTP/1.1", b"302"),
    ("line ends in a passed-on value", b"GET /c/1/1/1?k=%0d%0ax HTTP/1.1", b"302"),
    ("duplicate keys", b"GET /c/1/1/1?subId1=a&subId1=b&k=1&k=2 HTTP/1.1", b"302"),
    ("NUL in the path", b"GET /c/1/1/1%00 HTTP/1.1", b"404"),
    ("line ends in the path", b"GET /c/1/1/1%0d%0aX:y HTTP/1.1", b"404"),
    ("invalid UTF-8 in the path", b"GET /%ff HTTP/1.1", b"404"),
    ("raw bytes in the user agent", b"GET /c/1/1/1 HTTP/1.1\r\nUser-Agent: \xff\xfe\t", b"302"),
    ("raw bytes in the referrer", b"GET /c/1/1/1 HTTP/1.1\r\nReferer: http://\xff/\x80", b"302"),
    ("NUL in the user agent", b"GET /c/1/1/1 HTTP/1.1\r\nUser-Agent: a\x00b", b"400"),
]


def test_hostile_bytes_on_the_wire(made: tuple[Installation, Brand]) -> None:
    server, _ = made
    server.start(role="collector")
    recorded = 0
    for name, head, status in HOSTILE:
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as raw:
            raw.sendall(head + b"\r\nHost: test\r\nConnection: close\r\n\r\n")
            answer = b""
            while piece := raw.recv(65536):
                answer += piece
        assert answer.split(b" ", 2)[1] == status, name
        assert b"Set-Cookie:x" not in answer.partition(b"\r\n\r\n")[0].replace(b"%0d%0a", b"")
        recorded += status == b"302"
    stats = json.loads(server.command("spool", "stats", "--json").stdout)
    assert stats["clicks"] == recorded


def test_a_spool_that_cannot_be_written_is_told_and_heals(made: tuple[Installation, Brand]) -> None:
    server, brand = made
    server.start(role="collector")
    kept = httpx.get(server.url + brand.links[0]).headers["location"]
    assert "irclickid=" in kept
    spool, away = server.folder / "spool", server.folder / "elsewhere"
    spool.rename(away)
    spool.write_text("a file where the folder was", encoding="utf-8")

    answer = httpx.get(server.url + brand.links[0])
    assert answer.status_code == 302
    assert answer.headers["location"] == "https://shop.example.com/?irgwc=1"
    assert answer.headers["x-click-reason"] == "unrecorded"
    status, body = readiness(server)
    assert status == 503
    assert body["status"] == "failing"
    checks = body["checks"]
    assert isinstance(checks, dict)
    assert str(spool) in checks["spool"]
    assert "clickledger_clicks_unrecorded_total 1.0" in httpx.get(f"{server.url}/metrics").text

    spool.unlink()
    away.rename(spool)
    wait_for(server.ready)
    assert "irclickid=" in httpx.get(server.url + brand.links[0]).headers["location"]
    assert server.stop() == 0
    assert json.loads(server.command("spool", "stats", "--json").stdout)["clicks"] == 2


def test_a_new_folder_has_an_empty_lake(made: tuple[Installation, Brand]) -> None:
    server, brand = made
    assert server.count("--program", str(brand.program_id), "--date", "2026-01-01")["raw"] == 0
    assert server.command("lake", "verify").returncode == 0
