"""What a process writes to its log when the API fails: everything but secrets."""

import json
import subprocess
import sys
from pathlib import Path

#: Serves a brand whose look-ups fail, logging as `serve` does, and prints the brand's secrets.
PROGRAM = """
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from clickledger.ids import ClickIds
from clickledger.testing.brand_api import brand_api
from clickledger.wiring.logs import configure_logging

class FailingClicks:
    def find_click(self, program_id, click_id):
        raise RuntimeError("the lake is on fire")

configure_logging("debug")
now = datetime(2026, 3, 10, tzinfo=UTC)
turned = {"hooks.example": ["93.184.216.34"]}
resolve = lambda host: turned.pop(host, ["10.0.0.1"])
with brand_api(Path(sys.argv[1]), now=now, clicks=FailingClicks(), resolve=resolve) as api:
    click_id = ClickIds(api.keys.ring("click_id")).minter(api.program.id).mint(0)
    job = api.finish(api.export(), b"x")
    link = api.get(f"…/Jobs/{job.id}/Download").header("location")
    api.get(link.removeprefix("http://testserver"))
    api.get(f"…/Campaigns/{api.program.id}/Clicks/{click_id}")
    api.send_as(None, "GET", "…/Jobs", headers={"authorization": api.brand.header[:-4]})
    url = "https://hooks.example/?token=" + "t" * 50
    headers = {"content-type": "application/json"}
    said = {"Name": "N", "Kind": "CLICK", "Url": url, "Headers": {"X-Key": "k" * 50}}
    body = json.dumps(said).encode()
    notification = api.send("POST", "…/EventNotifications.json", headers=headers, body=body).json()
    path = f"…/EventNotifications/{notification['Id']}"
    api.send("PUT", path, headers=headers, body=body)
    rotated = api.send("PUT", f"{path}/RotateSecret.json").json()
    api.send("POST", f"{path}/Test")
    api.folder.control_db.rename(api.folder.root / "away.db")
    api.get("…/Jobs")
    print(api.brand.token, api.brand.header[6:-4], link.rpartition("/")[2], sep="\\n")
    print(notification["Secret"], rotated["Secret"], "t" * 50, "k" * 50, sep="\\n")
"""


def test_no_secret_is_ever_logged(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "data")],
        capture_output=True,
        text=True,
        check=True,
    )
    failures = [
        line
        for line in map(json.loads, run.stderr.splitlines())
        if line["event"] == "api_request_failed"
    ]
    assert [failure["status"] for failure in failures] == [500, 503]
    assert "the lake is on fire" in json.dumps(failures[0])
    secrets = run.stdout.split()
    assert len(secrets) == 7
    for secret in secrets:
        assert len(secret) > 40
        assert secret not in run.stderr
