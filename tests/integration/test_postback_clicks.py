"""Click postbacks follow a real lake: each click is told once, whatever happens to its files."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, select, update
from structlog.testing import capture_logs

from clickledger.clock import DAY, MINUTE, SECOND, Micros, to_datetime
from clickledger.db.tables import deliveries, programs
from clickledger.db.tables import notifications as table
from clickledger.errors import UnavailableError
from clickledger.lake.maintenance import Maintenance
from clickledger.postbacks.clicks import ClickPostbacks
from clickledger.postbacks.model import CLICK_DIGEST, Delivery, Fate, Kind, Notification
from clickledger.spool.model import Click
from clickledger.testing.loading import Feed, feed
from clickledger.testing.notifications import START, NotificationNode
from clickledger.testing.spools import click


@dataclass
class Site:
    """A control database, a lake with its loader, and what follows it."""

    node: NotificationNode
    feed: Feed
    follower: ClickPostbacks
    numbers: int = 0

    def follow(self, sid: str | None = None, **said: object) -> Notification:
        return self.node.add(
            sid,
            **{
                "kind": Kind.CLICK,
                "name": f"clicks {self.node.notifications.list()[1]}",
                "url": "https://hooks.example/in?click={ClickId}",
                **said,
            },
        )

    def make(self, count: int = 1, received: Micros = 0, **said: object) -> list[Click]:
        first = self.numbers + 1
        self.numbers += count
        usual = {"program_id": self.node.program, "media_id": 1, **said}
        numbers = range(first, first + count)
        return [click(number, received or self.node.now, **usual) for number in numbers]

    def load(self, *batches: list[Click]) -> None:
        """Spool these batches and load everything."""
        if batches:
            self.feed.spool(*batches)
        self.feed.load()

    def restart(self, *, piece: int = 1000, store_s: float = 0.0) -> None:
        self.follower = follower(self.node, self.feed, piece=piece, store_s=store_s)

    def told(self, notification: Notification | None = None) -> list[int]:
        """Return the numbers of the clicks told one by one, in order."""
        query = select(deliveries.c["values"]).where(deliveries.c.event == "CLICK")
        if notification is not None:
            query = query.where(deliveries.c.notification_id == notification.id)
        with self.node.engine.connect() as connection:
            found = connection.execute(query.order_by(deliveries.c.id)).scalars()
            return [int(values["ClickId"]) for values in found]

    def digests(self) -> list[Delivery]:
        return [one for one in self.node.log() if one.event == CLICK_DIGEST]

    def cursor(self, notification: Notification) -> dict[str, Any] | None:
        with self.node.engine.connect() as connection:
            query = select(table.c.click_cursor).where(table.c.id == notification.id)
            found: dict[str, Any] | None = connection.execute(query).scalar_one()
            return found

    def at(self, notification: Notification) -> dict[str, Any]:
        cursor = self.cursor(notification)
        assert cursor is not None
        return cursor

    def upkeep(self) -> Maintenance:
        return Maintenance(
            lake=self.feed.lake,
            lease=self.feed.lease,
            scratch=self.feed.folder.tmp,
            stopping=threading.Event(),
        )

    def pass_by(self, **time: float) -> None:
        self.node.pass_by(timedelta(**time))


def follower(
    node: NotificationNode, lake: Feed, *, piece: int = 1000, store_s: float = 0.0
) -> ClickPostbacks:
    return ClickPostbacks(
        engine=node.engine,
        lake=lake.lake,
        mark=lake.folder.watermark,
        clock=node.clock,
        poll_s=0.01,
        store_s=store_s,
        piece=piece,
    )


@contextmanager
def opened(root: Path, *, piece: int = 1000) -> Iterator[Site]:
    node = NotificationNode(root)
    with feed(root, clock=lambda: node.now) as lake:
        yield Site(node, lake, follower(node, lake, piece=piece))
    node.engine.dispose()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with opened(tmp_path) as one:
        yield one


# What is told


def test_each_click_is_told_once(site: Site) -> None:
    site.follow()
    assert site.follower.look() == 0
    site.load(site.make(2), site.make(3))
    assert site.follower.look() == 5
    assert site.follower.look() == 0
    site.load(site.make(1))
    assert site.follower.look() == 1
    assert site.told() == [1, 2, 3, 4, 5, 6]


def test_a_click_is_told_with_what_is_known_of_it(site: Site) -> None:
    made = site.follow()
    with site.node.engine.begin() as connection:
        connection.execute(update(programs).values(time_zone="America/New_York"))
    site.load(site.make(1, query=b"subId1=shoes&sharedid=spring&param1=a"))
    site.follower.look()
    (delivery,) = site.node.log()
    assert (delivery.notification_id, delivery.kind, delivery.event) == (
        made.id,
        Kind.CLICK,
        "CLICK",
    )
    assert (delivery.program_id, delivery.partner_id) == (site.node.program, 1)
    assert delivery.event_at == to_datetime(site.node.now) == delivery.next_at
    assert (delivery.fate, delivery.order_key) == (Fate.WAITING, "")
    assert (
        delivery.values.items()
        >= {
            "ClickId": "1".zfill(32),
            "CampaignId": str(site.node.program),
            "MediaPartnerId": "1",
            "AdId": "2",
            "EventDate": "2023-11-14T17:13:20-05:00",
            "ReceivedDate": "2023-11-14T17:13:20-05:00",
            "SubId1": "shoes",
            "SharedId": "spring",
            "Param1": "a",
            "ReferringDomain": "blog.example",
            "LandingPageUrl": f"https://shop.example/start?irclickid={1:032}&irgwc=1",
        }.items()
    )
    assert "SubId2" not in delivery.values


def test_brand_and_partner_are_told_of_their_own_clicks_only(site: Site) -> None:
    node = site.node
    of_brand, of_rival, of_partner = map(site.follow, (node.brand, node.rival, node.partner))
    site.load(
        site.make(1, media_id=node.partner_id),
        site.make(1, media_id=node.other_id),
        site.make(1, program_id=node.program_of_rival, media_id=node.partner_id),
        site.make(1, program_id=4711),
    )
    site.follower.look()
    assert site.told(of_brand) == [1, 2]
    assert site.told(of_partner) == [1]
    assert site.told(of_rival) == [3]


def test_the_filters_of_a_notification_hold(site: Site) -> None:
    node = site.node
    second = site.follow(partner_ids=(node.other_id,), events=("CLICK",))
    none = site.follow(program_ids=(node.program,), partner_ids=(node.partner_id,))
    site.load(site.make(2, media_id=node.other_id))
    site.follower.look()
    assert (site.told(second), site.told(none)) == ([1, 2], [])


def test_sub_ids_that_a_program_hides_are_left_out_for_the_brand_only(site: Site) -> None:
    of_brand, of_partner = map(site.follow, (site.node.brand, site.node.partner))
    with site.node.engine.begin() as connection:
        connection.execute(update(programs).values(hide_sub_ids=True))
    site.load(site.make(1, query=b"subId1=secret&sharedid=open"))
    site.follower.look()
    (seen_by_brand,) = site.node.log(of_brand)
    (seen_by_partner,) = site.node.log(of_partner)
    assert "SubId1" not in seen_by_brand.values
    assert seen_by_brand.values["SharedId"] == "open"
    assert seen_by_partner.values["SubId1"] == "secret"


def test_a_minimum_delay_counts_from_the_click(site: Site) -> None:
    site.follow(minimum_delay_s=60)
    site.load(site.make())
    site.follower.look()
    (delivery,) = site.node.log()
    assert delivery.next_at == to_datetime(START + 60 * SECOND)


# The limit


def test_beyond_the_limit_a_minute_is_told_by_its_number(site: Site) -> None:
    minute = START // MINUTE * MINUTE + MINUTE
    site.node.now = minute + 10 * SECOND
    site.follow(click_limit=3, program_ids=(site.node.program,))
    site.load(site.make(3))
    site.load(site.make(2, received=site.node.now + 7))
    site.pass_by(seconds=20)
    site.load(site.make(1))
    assert site.follower.look() == 3
    assert site.told() == [1, 2, 3]
    site.pass_by(seconds=29)
    site.load()
    assert site.follower.look() == 0, "the minute is not over"
    site.pass_by(seconds=1)
    site.load(site.make(1))
    assert site.follower.look() == 2
    (digest,) = site.digests()
    assert digest.values == {
        "Clicks": "3",
        "From": "2023-11-14T22:14:10Z",
        "To": "2023-11-14T22:14:30Z",
        "Limit": "3",
    }
    assert (digest.program_id, digest.partner_id) == (site.node.program, None)
    assert digest.event_at == to_datetime(minute + MINUTE)
    assert digest.fate is Fate.WAITING
    assert site.told() == [1, 2, 3, 7]
    site.load()
    assert site.follower.look() == 0


def test_a_digest_outlives_a_restart(site: Site) -> None:
    site.follow(click_limit=1)
    site.load(site.make(3))
    site.follower.look()
    site.restart()
    site.load(site.make(2))
    site.follower.look()
    site.restart()
    site.pass_by(minutes=1)
    site.load()
    site.follower.look()
    assert site.told() == [1]
    assert [one.values["Clicks"] for one in site.digests()] == ["4"]


def test_a_digest_waits_for_a_spool_that_holds_the_mark(site: Site) -> None:
    site.follow(click_limit=1)
    writer = site.feed.writer()
    writer.append(site.make(3), site.node.now)
    site.feed.loader().load_once()
    site.follower.look()
    site.pass_by(minutes=5)
    site.feed.loader().load_once()
    site.follower.look()
    assert site.digests() == [], "the spool's process might still bring a click of that minute"
    writer.append(site.make(1, received=START), site.node.now)
    writer.close()
    site.feed.load()
    site.follower.look()
    assert [one.values["Clicks"] for one in site.digests()] == ["3"]


@pytest.mark.parametrize("followed", [True, False], ids=["load after load", "at the beginning"])
def test_thousands_of_clicks_are_told_piece_by_piece(tmp_path: Path, followed: bool) -> None:
    with opened(tmp_path, piece=100) as site:
        made = site.follow(click_limit=1000)
        if followed:
            site.follower.look()
        writer = site.feed.writer()
        for _ in range(50):
            site.pass_by(seconds=1)
            writer.append(site.make(40), site.node.now)
        site.load(site.make(500), site.make(10))
        writer.close()
        commits: list[None] = []
        event.listen(site.node.engine, "commit", lambda _: commits.append(None))
        assert site.follower.look() == 2510
        assert len(commits) >= 20
        assert sorted(site.told()) == list(range(1, 2511))
        assert site.told()[:3] == [1, 2, 3]
        assert site.at(made)["version"] == site.feed.lake.version()


# Beginning, and being switched off and on


def test_a_notification_is_told_of_clicks_received_since_it_was_made(site: Site) -> None:
    site.load(site.make(2))
    site.pass_by(seconds=10)
    early = site.make(1)
    site.pass_by(seconds=1)
    site.follow()
    site.pass_by(seconds=1)
    # Loaded before the follower has ever looked at the notification.
    site.load(site.make(1))
    with capture_logs() as lines:
        assert site.follower.look() == 1
    (shown,) = site.node.notifications.list()[0]
    assert shown.clicks_since == to_datetime(START + 11 * SECOND)
    # Received before it was made, and loaded after.
    site.load(early, site.make(1))
    assert site.follower.look() == 1
    assert site.told() == [4, 5]
    (line,) = [line for line in lines if line["event"] == "click_postbacks_begin"]
    assert line["since"] == to_datetime(START + 11 * SECOND).isoformat()


def test_clicks_while_a_notification_is_off_are_not_told(site: Site) -> None:
    made, other = site.follow(), site.follow()
    site.load(site.make(1))
    site.follower.look()
    site.node.notifications.disable(site.node.brand, made.id)
    site.pass_by(seconds=1)
    site.load(site.make(1))
    site.follower.look()
    rested = site.cursor(made)
    site.pass_by(seconds=1)
    site.load(site.make(1))
    site.follower.look()
    assert site.cursor(made) == rested
    site.pass_by(seconds=1)
    site.node.notifications.enable(site.node.brand, made.id)
    assert site.node.notifications.find(made.id).clicks_since == to_datetime(site.node.now)
    site.pass_by(seconds=1)
    site.load(site.make(1))
    with capture_logs() as lines:
        site.follower.look()
    assert site.told(made) == [1, 4]
    assert site.told(other) == [1, 2, 3, 4]
    assert [line["since"] for line in lines if line["event"] == "click_postbacks_begin"] == [
        to_datetime(START + 3 * SECOND).isoformat()
    ]


def test_switching_off_and_on_between_two_looks_begins_anew(site: Site) -> None:
    made = site.follow()
    site.load(site.make(1))
    site.follower.look()
    site.pass_by(seconds=1)
    site.load(site.make(1))
    site.pass_by(seconds=1)
    site.node.notifications.disable(site.node.brand, made.id)
    site.node.notifications.enable(site.node.brand, made.id)
    site.load(site.make(1))
    site.follower.look()
    assert site.told() == [1, 3]


def test_a_change_of_the_filter_holds_from_the_next_look_on(site: Site) -> None:
    made = site.follow(partner_ids=(site.node.other_id,))
    site.load(site.make(1))
    assert site.follower.look() == 0
    draft = made.draft
    site.node.notifications.change(
        site.node.brand,
        made.id,
        type(draft)(name=draft.name, kind=draft.kind, url=draft.url),
    )
    site.load(site.make(1))
    assert site.follower.look() == 1
    assert site.told() == [2]


def test_nothing_is_put_for_a_notification_that_is_removed(site: Site) -> None:
    made = site.follow()
    site.load(site.make(1))
    site.follower.look()
    site.node.notifications.remove(site.node.brand, made.id)
    site.load(site.make(1))
    assert site.follower.look() == 0
    assert site.follower.status() == {"following": 0, "version": None, "trouble": ""}


# What happens to the lake


def test_compaction_and_closed_days_tell_nothing_twice(site: Site) -> None:
    made = site.follow()
    for _ in range(10):
        site.load(site.make(2))
        site.follower.look()
    assert site.upkeep().compact(thorough=True) == 10
    assert site.follower.look() == 0
    site.load(site.make(1))
    site.upkeep().compact(thorough=True)
    assert site.follower.look() == 1
    site.node.now += 2 * DAY
    site.load(site.make(1))
    assert len(site.upkeep().close_days(site.node.now // DAY * DAY)) == 1
    # Late for a closed day.
    site.load(site.make(1, received=START + SECOND))
    assert len(site.upkeep().close_days(site.node.now // DAY * DAY)) == 1
    site.follower.look()
    assert Counter(site.told(made)) == dict.fromkeys(range(1, 24), 1)


def forget_log(site: Site) -> None:
    """Remove what a checkpoint makes superfluous in the log, as a vacuum does after two days."""
    clicks = site.feed.lake.clicks()
    clicks.checkpoint()
    for entry in sorted((clicks.path / "_delta_log").glob("*.json"))[:-1]:
        entry.unlink()


@pytest.mark.parametrize("piece", [1000, 2])
def test_a_version_that_is_not_kept_any_more_is_passed_by_row_keys(
    tmp_path: Path, piece: int
) -> None:
    with opened(tmp_path, piece=piece) as site:
        made = site.follow()
        writer = site.feed.writer()
        writer.append(site.make(3), site.node.now)
        site.feed.loader().load_once()
        site.follower.look()
        writer.append(site.make(2), site.node.now)
        site.load(site.make(4))
        site.upkeep().compact(thorough=True)
        forget_log(site)
        with capture_logs() as lines:
            assert site.follower.look() == 6
        assert "clicks_followed_by_row_keys" in [line["event"] for line in lines]
        assert sorted(site.told(made)) == list(range(1, 10))
        writer.append(site.make(1), site.node.now)
        writer.close()
        site.feed.load()
        assert site.follower.look() == 1
        forget_log(site)
        site.restart()
        assert site.follower.look() == 0


def test_followers_of_different_age_lose_their_place_together(site: Site) -> None:
    """The one that looks further back must not make the other begin anew."""
    first = site.follow()
    writer = site.feed.writer()
    writer.append(site.make(1), site.node.now)
    writer.append(site.make(1), site.node.now)
    site.feed.loader().load_once()
    site.follower.look()
    writer.close()
    site.pass_by(seconds=1)
    site.feed.load()
    # Only the first one is current: its cursor names no spool any more.
    site.follower.look()
    second = site.follow()
    with site.node.engine.begin() as connection:
        aged = {"since": START, "complete": START, "spools": [], "told": [], "digests": []}
        connection.execute(
            update(table).where(table.c.id == second.id).values(click_cursor={**aged, "version": 0})
        )
        position = {**site.at(first), "version": 0}
        connection.execute(
            update(table).where(table.c.id == first.id).values(click_cursor=position)
        )
    assert position["spools"] == []
    site.feed.lake.clicks().keep_versions(3)
    forget_log(site)
    site.restart(piece=1)
    assert site.follower.look() == 2
    assert (site.told(first), site.told(second)) == ([1, 2], [1, 2])


def test_files_that_are_gone_are_passed_by_row_keys(site: Site) -> None:
    site.follow()
    site.load(site.make(1))
    site.follower.look()
    site.load(site.make(2))
    site.load(site.make(1))
    old = [file.path for file in site.feed.lake.snapshot().all_files]
    site.upkeep().compact(thorough=True)
    for path in old:
        path.unlink()
    assert site.follower.look() == 3
    assert site.told() == [1, 2, 3, 4]


def test_a_lake_put_back_to_an_earlier_version_tells_nothing_twice(site: Site) -> None:
    site.follow()
    site.load(site.make(1))
    log = site.feed.lake.clicks_path / "_delta_log"
    before = set(log.iterdir())
    writer = site.feed.writer()
    writer.append(site.make(2), site.node.now)
    loader = site.feed.loader()
    loader.load_once()
    assert site.follower.look() == 3
    # As a backup of the lake, put back: the spool still has what came after it.
    for entry in set(log.iterdir()) - before:
        entry.unlink()
    assert site.follower.look() == 0
    writer.append(site.make(1), site.node.now)
    site.feed.load()
    assert site.follower.look() == 1
    writer.close()
    assert site.told() == [1, 2, 3, 4]


def test_a_spool_that_was_removed_leaves_the_cursor_once_the_mark_has_passed_it(
    site: Site,
) -> None:
    made = site.follow()
    site.feed.spool(site.make(1))
    site.load(site.make(1))
    site.follower.look()
    assert len(site.at(made)["spools"]) == 2
    site.pass_by(seconds=1)
    site.load()
    site.follower.look()
    assert site.at(made)["spools"] == []
    forget_log(site)
    site.feed.load()
    site.restart()
    assert site.follower.look() == 0, "known by the mark"


# Doing nothing, and trouble


def test_without_followers_the_lake_is_not_looked_at(site: Site) -> None:
    site.node.add()
    site.load(site.make(1))
    (site.feed.lake.clicks_path / "_delta_log" / "_last_checkpoint").write_text("{")
    assert site.follower.look() == 0
    site.follow()
    with pytest.raises(UnavailableError, match="_last_checkpoint"):
        site.follower.look()


def test_a_transaction_that_fails_leaves_neither_calls_nor_cursor(site: Site) -> None:
    made, other = site.follow(), site.follow()
    site.follower.look()
    before = site.cursor(made), site.cursor(other)
    site.load(site.make(3))
    faults = [UnavailableError("the disk is full")]

    def commit(_: Connection) -> None:
        if faults:
            raise faults.pop()

    event.listen(site.node.engine, "commit", commit)
    with pytest.raises(UnavailableError, match="the disk is full"):
        site.follower.look()
    assert (site.told(), site.cursor(made), site.cursor(other)) == ([], *before)
    assert site.follower.look() == 6
    assert site.told(made) == site.told(other) == [1, 2, 3]


def test_a_stop_between_two_pieces_leaves_the_rest_for_the_next_start(tmp_path: Path) -> None:
    with opened(tmp_path, piece=10) as site:
        site.follow(click_limit=1000)
        site.follower.look()
        site.load(*(site.make(10) for _ in range(30)))
        event.listen(site.node.engine, "commit", lambda _: stopped.halt())
        stopped = site.follower
        assert stopped.look() == 10
        assert stopped.look() == 0
        site.restart()
        assert site.follower.look() == 290
        assert site.told() == list(range(1, 301))


def test_a_torn_entry_of_the_log_is_no_end(site: Site) -> None:
    site.follow()
    site.load(site.make(1))
    site.follower.look()
    entry = site.feed.lake.clicks_path / "_delta_log" / f"{site.feed.lake.version() + 1:020d}.json"
    entry.write_text('{"txn":')
    with pytest.raises(UnavailableError, match=entry.name):
        site.follower.look()
    entry.unlink()
    assert site.follower.look() == 0


def test_a_notification_that_is_switched_off_meanwhile_gets_nothing(site: Site) -> None:
    made, other = site.follow(), site.follow()
    site.follower.look()
    site.load(site.make(1))
    begun = threading.Event()

    def returned(*_: object) -> None:
        """Switch it off when the follower has read that it is on."""
        if not begun.is_set():
            begun.set()
            site.node.notifications.disable(site.node.brand, made.id)

    event.listen(site.node.engine, "checkin", returned)
    assert site.follower.look() == 1
    assert (site.told(made), site.told(other)) == ([], [1])


def test_a_cursor_that_moves_silently_is_stored_now_and_then(site: Site) -> None:
    site.restart(store_s=3600.0)
    made = site.follow(partner_ids=(site.node.other_id,))
    site.follower.look()
    begun = site.at(made)
    assert begun["version"] == site.feed.lake.version()
    site.load(site.make(1))
    site.follower.look()
    assert site.cursor(made) == begun
    assert site.follower.status()["version"] == begun["version"] + 1
    site.restart(store_s=3600.0)
    site.load(site.make(1, media_id=site.node.other_id))
    assert site.follower.look() == 1
    assert site.at(made)["version"] >= begun["version"]
    assert site.told() == [2]


def waited_for(told: Callable[[], bool]) -> None:
    waiting = threading.Event()
    for _ in range(500):
        if told():
            return
        waiting.wait(0.02)
    raise AssertionError("it did not come")


def test_a_lake_in_trouble_is_looked_at_again(site: Site) -> None:
    site.follow()
    hint = site.feed.lake.clicks_path / "_delta_log" / "_last_checkpoint"
    hint.write_text("{")
    site.load(site.make(1))
    site.follower.start()
    waited_for(lambda: "_last_checkpoint" in str(site.follower.status()["trouble"]))
    hint.unlink()
    site.load(site.make(1))
    waited_for(lambda: site.told() == [1, 2])
    waited_for(lambda: site.follower.status()["trouble"] == "")
    site.follower.stop()
    site.load(site.make(1))
    assert site.told() == [1, 2]


@pytest.mark.parametrize(
    "spoilt", [{"draft": {"url": 7}}, {"click_cursor": {"since": 1}}, {"click_cursor": [1]}]
)
def test_a_notification_that_cannot_be_read_holds_up_no_other(
    site: Site, spoilt: Mapping[str, object]
) -> None:
    bad, good = site.follow(), site.follow()
    site.follower.look()
    with site.node.engine.begin() as connection:
        connection.execute(update(table).where(table.c.id == bad.id).values(**spoilt))
    site.load(site.make(2))
    with capture_logs() as lines:
        assert (site.follower.look(), site.follower.look()) == (2, 0)
    assert site.told(good) == [1, 2]
    assert [line["id"] for line in lines if line["log_level"] == "error"] == [bad.id]


def test_a_change_before_the_first_look_loses_no_click(site: Site) -> None:
    made = site.follow()
    site.pass_by(seconds=1)
    site.load(site.make(2))
    site.pass_by(seconds=1)
    changed = replace(made.draft, name="renamed")
    site.node.notifications.change(made.account_sid, made.id, changed)
    assert site.follower.look() == 2
