"""What the API answers, byte for byte: recorded exchanges in ``recorded/*.http``.

A file is one conversation with a fresh installation. Lines with ``>`` are sent, lines with ``<``
must come back: the status, each header that is written down, and the body. ``{Names}`` stand
for what differs from run to run.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from clickledger.ids import ClickIds
from clickledger.postbacks import schedule
from clickledger.postbacks.model import Draft, Kind, Method
from clickledger.testing.brand_api import BrandApi, brand_api

RECORDED = Path(__file__).parent / "recorded"
#: Ids of programs are short numbers and stay as they are.
SHORTEST = 10
SECRET = "whsec_" + "QUJD" * 8
NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One side of an exchange, as written down."""

    #: ``GET /path`` or ``200``.
    first: str
    headers: dict[str, str]
    #: A long line of JSON or XML is written over several.
    body: list[str]

    @classmethod
    def read(cls, lines: list[str]) -> "Message":
        blank = lines.index("") if "" in lines else len(lines)
        headers = dict(line.split(": ", 1) for line in lines[1:blank])
        return cls(first=lines[0], headers=headers, body=lines[blank + 1 :])


def read(path: Path) -> Iterator[tuple[str, Message, Message]]:
    for block in re.split(r"^### ", path.read_text("utf-8"), flags=re.MULTILINE)[1:]:
        title, *lines = block.splitlines()
        sent, expected = (
            Message.read([line[2:] for line in lines if line.startswith(side)]) for side in "><"
        )
        yield title, sent, expected


def prepare(api: BrandApi) -> dict[str, str]:
    """Put a job into every state, a minute apart, and a click into the lake; name them."""
    jobs = {}
    for number, name in enumerate(
        ["Queued", "Running", "Completed", "Error", "Failed", "Cancelled", "Purged", "Json"]
    ):
        api.clock.at = NOW + timedelta(minutes=number)
        form = "JSON" if name == "Json" else "CSV"
        jobs[name] = api.export(f"Date=2026-03-0{number + 1}&ResultFormat={form}")
    begun, ended = NOW + timedelta(minutes=10), NOW + timedelta(minutes=11)
    api.clock.at = ended
    api.set_job(
        jobs["Running"].id,
        state="RUNNING",
        started_at=begun,
        progress_at=ended,
        records=50,
        percent=40,
        message="Try 1 of 5.",
    )
    api.finish(jobs["Completed"], b"Id,ProgramId\n", b"a,1\n", b"b,1\n")
    api.finish(jobs["Json"], b'{"Clicks":[]}\n')
    failed = {"started_at": begun, "failed_at": ended, "message": "Lake < complete & late"}
    api.set_job(jobs["Error"].id, state="ERROR", **failed)
    api.set_job(jobs["Failed"].id, state="FAILED", **failed)
    api.set_job(jobs["Cancelled"].id, state="CANCELLED", cancelled_at=ended, message="Enough.")
    api.set_job(jobs["Purged"].id, state="COMPLETED", result_run=1, completed_at=ended)
    strange = api.send_as(
        api.stranger,
        "GET",
        f"/Advertisers/{api.stranger.sid}/Programs/{api.strange_program.id}/ClickExport.json",
    )
    click_id = ClickIds(api.keys.ring("click_id")).minter(api.program.id).mint(0)
    api.clicks.rows[api.program.id, click_id] = CLICK | {
        "click_id": click_id,
        "program_id": api.program.id,
    }
    notifications = prepare_notifications(api)
    return {
        "AccountSID": api.brand.sid,
        "Authorization": api.brand.header,
        "PartnerSID": api.partner.sid,
        "PartnerAuthorization": api.partner.header,
        "StrangerSID": api.stranger.sid,
        "ProgramId": str(api.program.id),
        "StrangeProgramId": str(api.strange_program.id),
        "StrangeJob": strange.json()["QueuedUri"].rpartition("/")[2],
        "ClickId": click_id,
        **{name: job.id for name, job in jobs.items()},
        **notifications,
    }


def prepare_notifications(api: BrandApi) -> dict[str, str]:
    """Set up a notification for each side, with a delivery in three fates for the brand's."""
    hook = api.notifications.create(
        api.brand.sid,
        Draft(
            name="Exports & more",
            kind=Kind.JOB_COMPLETION,
            url="https://hooks.example/in?token=t-12345&job={JobId}",
            method=Method.POST,
            body='{"job":"{JobId}","rows":{RecordsProcessed}}',
            events=("CLICK_EXPORT_COMPLETED", "CLICK_EXPORT_FAILED"),
            program_ids=(api.program.id,),
            headers={"Authorization": "Bearer b-67890"},
        ),
        SECRET,
    )
    partners = api.notifications.create(
        api.partner.sid,
        Draft(name="Clicks", kind=Kind.CLICK, url="https://hooks.example/?id={AdId}"),
        SECRET,
    )
    messages = {}
    for name in ("Delivered", "Refused", "Waiting"):
        api.put(api.job_event(values={"JobId": "job-1", "RecordsProcessed": "2"}))
        messages[f"{name}Message"] = api.deliveries.list(api.brand.sid)[0][0].message_id
    answer = {"headers": (("Server", "theirs"), ("Content-Length", "3")), "body": b"<ok"}
    api.attempt(1, problem="no connection: Connection refused")
    api.attempt(1, status=202, **answer)
    for _ in schedule.SCHEDULE_S:
        api.attempt(2, status=500, **answer)
    api.attempt(3, status=503, headers=(("Retry-After", "60"),))
    return {"Hook": hook.id, "PartnersHook": partners.id, **messages}


CLICK: dict[str, object] = {
    "program_name": "Spring Sale",
    "profile_id": "0b0e3c5a-8f8d-4c6e-9b1a-0d3f5a7c9e11",
    "ip_address": "979823c536b3e06e4f1ee31af1f82b9d",
    "event_time": datetime(2026, 3, 8, 7, 30, 15, 999_999, tzinfo=UTC),
    "media_id": 12,
    "media_name": "Käse & Co <blog>",
    "ad_id": 34,
    "ad_name": "Banner",
    "ad_type": "BANNER",
    "product_sku": None,
    "ad_campaign": None,
    "ad_group": None,
    "keyword": "running shoes",
    "match_type": None,
    "channel": None,
    "customer_area": "n/a",
    "customer_city": "n/a",
    "customer_region": "n/a",
    "customer_country": "DE",
    "device_type": "PHONE",
    "device_family": "iPhone",
    "browser": "Chrome Mobile",
    "os": "iOS",
    "referring_url": "https://blog.example/?a=1&b=2",
    "referring_domain": "blog.example",
    "landing_page_url": "https://shop.example/?irgwc=1",
    "shared_id": None,
    "unique_click": True,
    "cpc_bid": None,
    "deal_name": None,
    "deal_type": None,
    "deal_scope": None,
    "sub_id1": "spring",
    "sub_id2": "a\r\nb",
    "sub_id3": None,
    "payout": None,
    "traffic_category": None,
    "traffic_source": None,
    "bid_keyword": None,
    "search_text": None,
}


def play(api: BrandApi, names: dict[str, str], sent: Message, shown: Iterable[str]) -> Message:
    """Send what is written down; return what came back, of its headers those in ``shown``."""
    method, target = fill(sent.first, names).split(" ", 1)
    headers = {"Authorization": names["Authorization"]}
    headers |= {name: fill(value, names) for name, value in sent.headers.items()}
    if headers["Authorization"] == "none":
        del headers["Authorization"]
    body = fill("\n".join(sent.body), names).encode()
    answer = api.send_as(None, method, target, headers=headers, body=body)
    return Message(
        first=str(answer.status),
        headers={name: hide(answer.header(name) or "", names) for name in shown},
        body=hide(wrapped(answer.text), names).splitlines(),
    )


def wrapped(text: str) -> str:
    """Break a line of JSON before each name, one of XML between elements."""
    return re.sub(r"(?<=,)(?=\")|(?<=>)(?=<)", "\n", text)


def fill(text: str, names: dict[str, str]) -> str:
    return re.sub(r"\{([A-Z][A-Za-z]+)\}", lambda found: names.get(found[1], found[0]), text)


def hide(text: str, names: dict[str, str]) -> str:
    """Put names for what differs from run to run."""
    for name, value in names.items():
        if len(value) >= SHORTEST:
            text = text.replace(value, "{" + name + "}")
    text = re.sub(r"(/results/\{\w+\}/\d+/\d+/)[\w-]{43}", r"\1{Signature}", text)
    text = re.sub(r"whsec_[\w+/]{43}=", "{NewSecret}", text)
    new_id = re.compile(r"(EventNotifications/|^\"Id\":\"|<Id>)[0-9a-f-]{36}", re.MULTILINE)
    text = new_id.sub(r"\1{NewHook}", text)
    return re.sub(r"Jobs/[0-9a-f-]{36}", "Jobs/{NewJob}", text)


@pytest.mark.parametrize("path", sorted(RECORDED.glob("*.http")), ids=lambda path: path.stem)
def test_recorded_conversation(path: Path, tmp_path: Path) -> None:
    with brand_api(tmp_path / "data", now=NOW) as api:
        names = prepare(api)
        for title, sent, expected in read(path):
            assert play(api, names, sent, expected.headers) == expected, title
