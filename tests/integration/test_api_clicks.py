"""A click of a real lake, looked up by its id."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from clickledger.clock import to_micros
from clickledger.config import DataFolder, Settings
from clickledger.ids import ClickIds
from clickledger.testing.brand_api import brand_api
from clickledger.testing.lake_days import LakeDays, click
from clickledger.wiring.node import LakeClicks

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


def test_the_first_click_of_a_journey(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    folder.tmp.mkdir(parents=True)
    lake = LakeClicks(Settings(), folder)
    with brand_api(folder.root, now=NOW, clicks=lake) as api:
        begun = to_micros(datetime(2026, 3, 8, 6, 59, 59, 654_321, tzinfo=UTC))
        click_id = ClickIds(api.keys.ring("click_id")).minter(api.program.id).mint(begun)
        target = f"…/Campaigns/{api.program.id}/Clicks/{click_id}"
        assert api.get(target).status == 404  # there is no lake yet
        days = LakeDays(folder.lake)
        assert api.get(target).status == 404  # there is no click

        of_program = {"program_id": api.program.id, "profile_id": "p", "profile_carried": True}
        days.load(
            [
                click(
                    number,
                    begun + int(after / timedelta(microseconds=1)),
                    click_id=click_id,
                    browser=browser,
                    sub_id1="<&>",
                    **of_program,
                )
                for number, after, browser in (
                    (0, timedelta(minutes=1), "Later"),
                    (1, timedelta(), "Samsung Internet"),
                )
            ]
        )
        found = api.get(f"{target}.json")
        assert found.status == 200
        assert (
            found.json()
            | {
                "Id": click_id,
                "CampaignId": api.program.id,
                "EventDate": "2026-03-08T01:59:59-05:00",  # the hour before the change
                "MediaId": 11,
                "AdId": 501,
                "Browser": "SAMSUNG_INTERNET",
                "DeviceType": "UNKNOWN",
                "ReferringDomain": "NA",
                "SharedId": "",
                "UniqueClick": True,
                "CpcBid": "0.0",
                "SubId1": "<&>",
                "PartnerRelated": {"SubId1": "<&>", "SubId2": "", "SubId3": ""},
            }
            == found.json()
        )
        shown = api.get(target).xml().find("Click")
        assert shown is not None
        assert {field.tag: field.text or "" for field in shown if not len(field)} == {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in found.json().items()
            if not isinstance(value, dict)
        }
