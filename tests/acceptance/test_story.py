"""The whole story, as a brand lives it: click, file, same job, crash, nothing lost."""

import csv
import io
import time
from pathlib import Path

import httpx

from clickledger.testing.installation import installation


def test_from_a_click_to_the_days_clicks_in_a_file(tmp_path: Path) -> None:
    with (
        installation(tmp_path / "data") as (server, brand),
        httpx.Client(base_url=server.url) as visitor,
        httpx.Client(base_url=server.url, auth=(brand.sid, brand.token)) as api,
    ):
        api.headers["Accept"] = "application/json"
        export = f"/Advertisers/{brand.sid}/Programs/{brand.program_id}/ClickExport"

        # A visitor follows a partner's link and is sent on, with the id of the click.
        answer = visitor.get(brand.links[0], params={"subId1": "spring", "utm_source": "blog"})
        assert answer.status_code == 302
        landing = httpx.URL(answer.headers["location"])
        clicks = [landing.params["irclickid"]]
        assert landing.params["irgwc"] == "1"
        assert landing.params["utm_source"] == "blog"
        assert "subId1" not in landing.params

        # The brand asks for today's clicks and gets a job at once.
        job = api.get(export).json()
        assert job["Status"] in {"QUEUED", "RUNNING", "COMPLETED"}
        assert rows_of(api, job) == clicks

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
        assert api.put(job["ReplayUri"]).json()["Status"] == "QUEUED"
        assert sorted(rows_of(api, job)) == sorted(clicks)
        assert server.stop() == 0


def rows_of(api: httpx.Client, job: dict[str, str]) -> list[str]:
    """Wait for a job's file and return the ids of its clicks, in order."""
    deadline = time.monotonic() + 30
    while api.get(job["QueuedUri"]).json()["Status"] != "COMPLETED":
        assert time.monotonic() < deadline, api.get(job["QueuedUri"]).text
        time.sleep(0.1)
    answer = api.get(job["ResultUri"], follow_redirects=True)
    assert answer.status_code == 200
    return [row["Id"] for row in csv.DictReader(io.StringIO(answer.text))]
