"""What the API shows of notifications and their log stands in its reference."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from clickledger.accounts.model import Account
from clickledger.api import deliveries, drafts, notifications
from clickledger.postbacks.model import Delivery, Draft, Fate, Kind, Notification

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "api.md"
MOMENT = datetime(2026, 3, 10, tzinfo=UTC)
OWNER = Account(sid="IR1", kind="partner", name="A", time_zone="UTC")


def section(heading: str) -> str:
    _, found, after = PAGE.read_text("utf-8").partition(f"## `{heading}`\n")
    assert found, heading
    return after.partition("\n## ")[0]


def notification_fields() -> list[str]:
    shown = Notification(
        id="1",
        account_sid="IR1",
        draft=Draft(name="n", kind=Kind.CLICK, url="https://a.example/"),
        created_at=MOMENT,
        changed_at=MOMENT,
        failing_since=None,
        disabled_at=None,
        disabled_reason="",
        secrets=("whsec_x",),
    )
    return list(notifications.fields(shown, OWNER))


def delivery_fields() -> list[str]:
    shown = Delivery(
        id=1,
        message_id="msg_1",
        notification_id="1",
        account_sid="IR1",
        kind=Kind.CLICK,
        event="CLICK",
        program_id=1,
        partner_id=2,
        order_key="",
        values={},
        event_at=MOMENT,
        fate=Fate.WAITING,
        next_at=MOMENT,
        attempts=0,
        tries=0,
        finished_at=None,
    )
    return list(deliveries.fields(shown, OWNER))


ONE = "GET /Advertisers/{account_sid}/EventNotifications/{notification_id}"


def test_a_notification_shows_what_it_was_set_up_with_and_more() -> None:
    named = [query.name for query in drafts.FIELDS]
    shown = notification_fields()
    assert [name for name in shown if name in named] == named
    said = section(ONE)
    for name in set(shown) - set(named):
        assert name in said


@pytest.mark.parametrize("name", delivery_fields())
def test_each_field_of_a_delivery_is_documented(name: str) -> None:
    assert name in section(f"{ONE}/Deliveries/{{delivery_id}}")


def test_what_is_set_up_is_documented_field_by_field() -> None:
    said = section("POST /Advertisers/{account_sid}/EventNotifications")
    for query in (*drafts.FIELDS, drafts.SECRET):
        assert f"| `{query.name}` |" in said
