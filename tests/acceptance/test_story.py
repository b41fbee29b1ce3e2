"""The whole story, as a brand lives it: click, job, postback, file, crash, nothing lost."""

import csv
import io
from pathlib import Path

import httpx
from standardwebhooks import Webhook

from clickledger.testing.installation import installation
from clickledger.testing.receiver import Receiver, receiver


def test_from_a_click_to_the_days_clicks_in_a_file(tmp_path: Path) -> None:
    with (
        receiver(tmp_path) as endpoint,
        installation(tmp_path / "data", **endpoint.allowed()) as (server, brand),
        httpx.Client(base_url=server.url) as visitor,
        httpx.Client(base_url=server.url, auth=(brand.sid, brand.token)) as api,
    ):
        api.headers["Accept"] = "application/json"
        export = f"/Advertisers/{brand.sid}/Programs/{brand.program_id}/ClickExport"

        # The brand says whom to call when a file is ready, and gets the secret that signs.
        url = endpoint.url("/ok?again={Replayed}&file={ResultUri}")
        wish = {"Name": "file ready", "Kind": "JOB_COMPLETION", "Url": url}
        made = api.post(f"/Advertisers/{brand.sid}/EventNotifications", json=wish).json()
        secret = Webhook(made["Secret"])

        # A visitor follows a partner's link and is sent on, with the id of the click.
        answer = visitor.get(brand.links[0], params={"subId1": "spring", "utm_source": "blog"})
        assert answer.status_code == 302
        landing = httpx.URL(answer.headers["location"])
        clicks = [landing.params["irclickid"]]
        assert landing.params["irgwc"] == "1"
        assert landing.params["utm_source"] == "blog"
        assert "subId1" not in landing.params

        # The brand asks for today's clicks and gets a job at once; it is called when it is done.
        job = api.get(export).json()
        assert job["Status"] in {"QUEUED", "RUNNING", "COMPLETED"}
        assert rows_of(api, told(endpoint, secret, "/ok?again=false&")) == clicks

        # The same request is the same job, and its file is the same file.
        again = api.get(export, params={"ResultFormat": "csv"}).json()
        assert again["QueuedUri"] == job["QueuedUri"]
        assert again["Status"] == "COMPLETED"

        # More visitors come, and the machine fails. What was answered is not lost.
        for _ in range(100):
            answer = visitor.get(brand.links[-1])
            clicks.append(httpx.URL(answer.headers["location"]).params["irclickid"])
        server.kill()
        server.start()

        # The brand asks for the day anew, by replaying its job: every click is there, once.
        assert api.put(job["ReplayUri"]).json()["Status"] in {"QUEUED", "RUNNING"}
        assert sorted(rows_of(api, told(endpoint, secret, "/ok?again=true&"))) == sorted(clicks)
        assert server.stop() == 0


def told(endpoint: Receiver, secret: Webhook, path: str) -> str:
    """Wait for a call, make sure that it is genuine, and return where its file is."""
    call = endpoint.wait_for(1, path, within_s=30)[-1]
    secret.verify(call.target, dict(call.headers), json_parse=False)
    return httpx.URL(call.target).params["file"]


def rows_of(api: httpx.Client, result: str) -> list[str]:
    """Download a file and return the ids of its clicks, in order."""
    answer = api.get(result, follow_redirects=True)
    assert answer.status_code == 200
    return [row["Id"] for row in csv.DictReader(io.StringIO(answer.text))]
