"""A visitor clicks, and whoever asked for it is called: all processes are real."""

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx

from clickledger.testing.installation import installation
from clickledger.testing.receiver import receiver


def test_a_click_is_told_to_whoever_asked_a_moment_ago(tmp_path: Path) -> None:
    with (
        receiver(tmp_path) as endpoint,
        installation(tmp_path / "data", **endpoint.allowed()) as (server, brand),
        httpx.Client(base_url=server.url) as visitor,
        httpx.Client(base_url=server.url, auth=(brand.sid, brand.token)) as api,
    ):
        api.headers["Accept"] = "application/json"
        paths = f"/Advertisers/{brand.sid}/EventNotifications"
        url = endpoint.url("/ok?id={ClickId}&sub={SubId1}&at={EventDate}")
        wish = {"Name": "clicks", "Kind": "CLICK", "Url": url}
        made = api.post(paths, json=wish).json()

        # At once: what is received from the answer on is told.
        answer = visitor.get(brand.links[0], params={"subId1": "spring sale"})
        click_id = httpx.URL(answer.headers["location"]).params["irclickid"]
        (call,) = endpoint.wait_for(1, "/ok?id=")
        asked = parse_qs(urlsplit(call.target).query)
        assert (asked["id"], asked["sub"]) == ([click_id], ["spring sale"])
        (delivery,) = api.get(f"{paths}/{made['Id']}/Deliveries").json()["Deliveries"]
        assert (delivery["Event"], delivery["MessageId"]) == ("CLICK", call.message_id)
        assert server.stop() == 0
