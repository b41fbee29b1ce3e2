"""Result files over the API: streams, ranges, compression, links that expire, runs of a replay."""

import asyncio
import gzip
import hashlib
import re
import shutil
import threading
from collections.abc import Generator, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from litestar.exceptions import LitestarException
from structlog.testing import capture_logs

from clickledger.api.downloads import in_threads
from clickledger.config import Settings
from clickledger.jobs.model import Job
from clickledger.testing.brand_api import BrandApi, brand_api
from clickledger.testing.in_process import Answer, request

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
MIB = 1024 * 1024
HEAD = b"Id,ProgramId\n"
ROWS = b"".join(b"%08x,1\n" % number for number in range(500_000))  # 5 MB
WHOLE = HEAD + ROWS
TAG = f'"{hashlib.sha256(WHOLE).hexdigest()}"'


@pytest.fixture
def api(tmp_path: Path) -> Iterator[BrandApi]:
    with brand_api(tmp_path / "data", now=NOW) as made:
        yield made


@pytest.fixture
def job(api: BrandApi) -> Job:
    return api.finish(api.export("Date=2026-03-01"), HEAD, ROWS)


def stream(api: BrandApi, job: Job, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return api.get(f"…/Jobs/{job.id}/Download?Mode=Stream", named)


def link(api: BrandApi, job: Job) -> str:
    answer = api.get(f"…/Jobs/{job.id}/Download")
    assert answer.status == 302
    location = answer.header("location")
    assert location is not None
    assert re.findall(r'href="([^"]*)"', answer.text) == [location]
    return location


def follow(api: BrandApi, url: str, method: str = "GET", **headers: str) -> Answer:
    """Fetch a link as a client does: another host's, as far as it knows, and no credentials."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    path = url.removeprefix("http://testserver")
    assert path.startswith("/results/")
    return request(api.app, method, path, headers=named)


def test_the_file_is_streamed_in_pieces_of_at_most_a_mebibyte(api: BrandApi, job: Job) -> None:
    answer = stream(api, job)
    assert answer.status == 200
    assert answer.body == WHOLE
    assert answer.header("content-length") == str(len(WHOLE))
    assert answer.header("content-type") == "application/octet-stream"
    assert max(map(len, answer.chunks)) <= MIB
    assert len(answer.chunks) > 4


def test_a_range_across_parts(api: BrandApi, job: Job) -> None:
    answer = stream(api, job, range=f"bytes=5-{len(HEAD) + 4}", accept_encoding="gzip")
    assert answer.status == 206
    assert answer.body == WHOLE[5 : len(HEAD) + 5]
    assert answer.header("content-range") == f"bytes 5-{len(HEAD) + 4}/{len(WHOLE)}"
    assert answer.header("content-encoding") is None


def test_a_download_is_resumed(api: BrandApi, job: Job) -> None:
    first = stream(api, job).body[:1_234_567]
    rest = stream(api, job, range="bytes=1234567-", if_range=TAG)
    assert rest.status == 206
    assert first + rest.body == WHOLE


def test_several_ranges_give_the_whole_file(api: BrandApi, job: Job) -> None:
    answer = stream(api, job, range="bytes=0-1,5-6")
    assert (answer.status, answer.body) == (200, WHOLE)


def test_compressed_while_it_is_sent(api: BrandApi, job: Job) -> None:
    answer = stream(api, job, accept_encoding="gzip, deflate")
    assert answer.status == 200
    assert gzip.decompress(answer.body) == WHOLE
    assert answer.header("content-encoding") == "gzip"
    assert answer.header("content-length") is None
    assert answer.header("etag") != TAG
    assert answer.header("repr-digest") is None
    assert len(answer.chunks) > 4
    again = stream(api, job, accept_encoding="gzip", if_none_match=answer.header("etag") or "")
    assert (again.status, again.body) == (304, b"")


def test_unchanged(api: BrandApi, job: Job) -> None:
    answer = stream(api, job, if_none_match=TAG)
    assert (answer.status, answer.body, answer.header("etag")) == (304, b"", TAG)
    assert answer.header("content-length") in {None, str(len(WHOLE))}


def test_head_has_the_headers_and_reads_nothing(api: BrandApi, job: Job) -> None:
    headers = {"range": "bytes=0-1"}
    answer = api.send("HEAD", f"…/Jobs/{job.id}/Download?Mode=Stream", headers=headers)
    assert (answer.status, answer.body) == (200, b"")
    assert answer.header("content-length") == str(len(WHOLE))
    assert answer.header("etag") == TAG


def test_a_link_needs_no_credentials_and_says_what_the_file_is(api: BrandApi, job: Job) -> None:
    answer = follow(api, link(api, job))
    assert (answer.status, answer.body) == (200, WHOLE)
    assert answer.header("content-type") == "text/csv; charset=utf-8; header=present"
    assert answer.header("content-disposition") == (
        f'attachment; filename="clicks-{api.program.id}-2026-03-01.csv"'
    )
    assert answer.header("cache-control") == "no-store"
    assert follow(api, link(api, job), "HEAD").header("etag") == TAG
    assert follow(api, link(api, job), range="bytes=0-1").body == b"Id"


@pytest.mark.parametrize(("form", "kind"), [("JSON", "application/json"), ("XML", "text/xml")])
def test_a_link_to_another_format(api: BrandApi, form: str, kind: str) -> None:
    job = api.finish(api.export(f"Date=2026-03-01&ResultFormat={form}"), b"{}")
    assert (follow(api, link(api, job)).header("content-type") or "").startswith(kind)


def test_a_link_expires(api: BrandApi, job: Job) -> None:
    url = link(api, job)
    api.clock.at = NOW + timedelta(seconds=899)
    assert follow(api, url).status == 200
    api.clock.at = NOW + timedelta(seconds=900)
    answer = follow(api, url)
    assert answer.status == 403
    assert "expired" in (answer.xml().findtext("Message") or "")
    assert follow(api, link(api, job)).status == 200


def test_a_changed_link_is_refused(api: BrandApi, job: Job) -> None:
    url = link(api, job)
    other = api.finish(api.export("Date=2026-03-02"), HEAD)
    signature = url.rpartition("/")[2]
    for changed in (
        url.replace(job.id, other.id),
        url.replace("/1/", "/2/"),
        url.replace("/1/", "/../"),
        url.replace(signature, signature[::-1]),
        url[:-1],
    ):
        assert follow(api, changed).status in {403, 404}
    assert follow(api, url).status == 200


def test_each_run_has_a_file_of_its_own(api: BrandApi, job: Job) -> None:
    first = link(api, job)
    replayed = api.send("PUT", f"…/Jobs/{job.id}/Replay.json")
    assert (replayed.status, replayed.json()["Status"]) == (200, "QUEUED")

    during = api.get(f"…/Jobs/{job.id}/Download.json")
    assert (during.status, during.json()["Status"]) == (202, "QUEUED")
    assert stream(api, job).status == 202
    assert api.get(f"…/Jobs/{job.id}/Manifest.json").status == 202
    assert follow(api, first).body == WHOLE

    api.finish(api.jobs.find(job.id), HEAD, b"late,1\n")
    assert stream(api, job).body == HEAD + b"late,1\n"
    assert follow(api, link(api, job)).body == HEAD + b"late,1\n"
    assert follow(api, first).body == WHOLE


def test_a_result_that_was_removed_is_gone_and_names_replay(api: BrandApi, job: Job) -> None:
    url = link(api, job)
    shutil.rmtree(api.folder.results / job.id)
    for answer in (
        api.get(f"…/Jobs/{job.id}/Download"),
        stream(api, job),
        api.get(f"…/Jobs/{job.id}/Manifest"),
        follow(api, url),
    ):
        assert answer.status == 410
        assert f"PUT .../Jobs/{job.id}/Replay" in (answer.xml().findtext("Message") or "")


def test_a_result_the_worker_let_go_of_is_gone(api: BrandApi, job: Job) -> None:
    api.set_job(job.id, result_run=None)
    assert stream(api, job).status == 410


@pytest.mark.parametrize("state", ["QUEUED", "RUNNING", "ERROR", "FAILED", "CANCELLED"])
def test_without_a_finished_file_the_answer_is_the_job(api: BrandApi, job: Job, state: str) -> None:
    api.set_job(job.id, state=state)
    for query in ("", "?Mode=Stream"):
        answer = api.get(f"…/Jobs/{job.id}/Download{query}", {"accept": "application/json"})
        assert (answer.status, answer.json()["Status"]) == (202, state)


def test_a_damaged_result_is_our_fault(api: BrandApi, job: Job) -> None:
    (api.folder.results / job.id / "1" / "part-00001").write_bytes(b"short")
    answer = stream(api, job, accept="application/json")
    assert (answer.status, answer.json()["error"]) == (500, "Internal Server Error")
    assert "part-00001" not in answer.text


def test_a_file_that_is_damaged_while_it_is_sent_breaks_the_answer_off(
    api: BrandApi, job: Job
) -> None:
    part = api.folder.results / job.id / "1" / "part-00001"
    path = f"/Advertisers/{api.brand.sid}/Jobs/{job.id}/Download?Mode=Stream"
    headers = {"authorization": api.brand.header, "x-request-id": "broken"}

    def damage() -> None:
        part.write_bytes(b"")

    with capture_logs() as logs, pytest.raises(LitestarException):
        request(api.app, "GET", path, headers=headers, on_chunk=damage)
    (failure,) = (line for line in logs if line["event"] == "api_answer_broken")
    assert failure["request_id"] == "broken"


ORIGINS = {
    "what the caller used": ({}, {"host": "localhost:9999"}, "http://localhost:9999"),
    "an address": ({}, {"host": "[::1]:80"}, "http://[::1]:80"),
    "the setting": (
        {"public_url": "https://go.example/base/"},
        {"host": "localhost:9999"},
        "https://go.example/base",
    ),
    "a listed proxy": (
        {"trusted_proxies": [IPv4Network("127.0.0.0/8")]},
        {"host": "go.example", "x-forwarded-proto": "https"},
        "https://go.example",
    ),
    "a proxy that is not listed": (
        {"trusted_proxies": [IPv4Network("10.0.0.0/8")]},
        {"host": "go.example", "x-forwarded-proto": "https"},
        "http://go.example",
    ),
    "nonsense from a listed proxy": (
        {"trusted_proxies": [IPv4Network("127.0.0.0/8")]},
        {"host": "go.example", "x-forwarded-proto": "javascript"},
        "http://go.example",
    ),
}


@pytest.mark.parametrize(("settings", "headers", "origin"), ORIGINS.values(), ids=ORIGINS.keys())
def test_what_a_link_starts_with(
    tmp_path: Path, settings: dict[str, object], headers: dict[str, str], origin: str
) -> None:
    made = Settings.model_validate(settings)
    with brand_api(tmp_path / "data", now=NOW, settings=made) as api:
        job = api.finish(api.export("Date=2026-03-01"), HEAD)
        answer = api.get(f"…/Jobs/{job.id}/Download", headers)
        assert (answer.header("location") or "").startswith(f"{origin}/results/{job.id}/1/")


def test_a_file_is_closed_as_soon_as_its_reader_goes_away() -> None:
    events: list[str] = []

    def chunks() -> Generator[bytes]:
        try:
            for number in range(10):
                events.append(f"read {number} in {threading.current_thread().name}")
                yield b"x"
        finally:
            events.append("closed")

    async def take_two_and_leave() -> None:
        reader = in_threads(chunks())
        assert [await anext(reader), await anext(reader)] == [b"x", b"x"]
        await reader.aclose()

    asyncio.run(take_two_and_leave())
    assert len(events) == 3
    assert events[-1] == "closed"
    assert not any("MainThread" in event for event in events)
