"""A control database with two brands and a partner of one; notifications and events for them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, update

from clickledger.accounts.store import Accounts
from clickledger.clock import SECOND, Micros, SteadyClock, to_datetime
from clickledger.db.engine import open_engine
from clickledger.db.revisions import migrate
from clickledger.db.tables import notifications
from clickledger.postbacks import outbox
from clickledger.postbacks.log import Deliveries
from clickledger.postbacks.model import Delivery, Draft, Event, Kind, Notification
from clickledger.postbacks.network import TargetError
from clickledger.postbacks.store import Notifications
from clickledger.programs.store import Programs

#: What the clock of a ``NotificationNode`` shows at first.
START: Micros = 1_700_000_000 * SECOND

#: How long two secrets sign after a rotation.
OVERLAP = timedelta(hours=1)


@dataclass
class FixedGuard:
    """Lets every host be called but those in ``refused``, each with its sentence."""

    refused: dict[str, str] = field(default_factory=dict)
    #: Hosts and ports that were asked for, in order.
    asked: list[tuple[str, int]] = field(default_factory=list)

    def addresses(self, host: str, port: int) -> tuple[str, ...]:
        """Look the host up in ``refused``."""
        self.asked.append((host, port))
        if host in self.refused:
            raise TargetError(self.refused[host])
        return ("192.0.2.1",)


def empty_database(root: Path) -> Engine:
    """Make a control database in this folder."""
    engine = open_engine(f"sqlite:///{root / 'control.db'}")
    migrate(engine)
    return engine


class NotificationNode:
    """One control database; ``now`` is what its clock shows, and may be set forward."""

    def __init__(self, root: Path) -> None:
        self.now = START
        self.clock = SteadyClock(lambda: self.now)
        self.guard = FixedGuard()
        self.engine = empty_database(root)
        accounts = Accounts(self.engine, [b"k" * 32], self.clock.now)
        programs = Programs(self.engine, accounts, self.clock.now)
        with self.engine.begin() as connection:
            self.brand = accounts.create(connection, "advertiser", "Brand")[0].sid
            self.rival = accounts.create(connection, "advertiser", "Rival")[0].sid
        self.program, self.program_of_rival = (
            programs.create_program(
                advertiser_sid=sid,
                name="Shop",
                time_zone="UTC",
                landing_page="https://shop.example/",
            ).id
            for sid in (self.brand, self.rival)
        )
        partner, _ = programs.create_partner(advertiser_sid=self.brand, name="Blog")
        other, _ = programs.create_partner(advertiser_sid=self.brand, name="Forum")
        self.partner, self.partner_id, self.other_id = partner.sid, partner.id, other.id
        self.notifications = Notifications(self.engine, self.clock, self.guard, OVERLAP)
        self.deliveries = Deliveries(self.engine, self.clock)

    def add(self, sid: str | None = None, **said: Any) -> Notification:  # noqa: ANN401 - a draft's fields, by name
        """Add a notification, to the brand unless another account is named."""
        return self.notifications.create(sid or self.brand, draft(**said))

    def event(self, **said: Any) -> Event:  # noqa: ANN401 - an event's fields, by name
        """Describe a job of the brand that is complete now, but for what is ``said``."""
        usual: dict[str, Any] = {
            "kind": Kind.JOB_COMPLETION,
            "name": "CLICK_EXPORT_COMPLETED",
            "account_sids": (self.brand,),
            "program_id": self.program,
            "at": to_datetime(self.now),
            "values": {"JobId": "1"},
        }
        return Event(**{**usual, **said})

    def put(self, **said: Any) -> int:  # noqa: ANN401 - an event's fields, by name
        """Put an event into the outbox; return for how many notifications."""
        with self.engine.begin() as connection:
            return outbox.put(connection, self.event(**said), to_datetime(self.now))

    def log(self, notification: Notification | None = None) -> Sequence[Delivery]:
        """Return the deliveries of one notification, or of all, the oldest first."""
        wanted = None if notification is None else notification.id
        return self.deliveries.list(None, notification_id=wanted)[0][::-1]

    def spoil(self, notification: Notification, document: object) -> None:
        """Store something in the place of a notification's draft, as no version of ours would."""
        with self.engine.begin() as connection:
            connection.execute(
                update(notifications)
                .where(notifications.c.id == notification.id)
                .values(draft=document)
            )

    def pass_by(self, time: timedelta) -> None:
        """Let time pass."""
        self.now += time // timedelta(microseconds=1)


def draft(**said: Any) -> Draft:  # noqa: ANN401 - a draft's fields, by name
    """Ask for every job's end, by a GET, but for what is ``said``."""
    usual: dict[str, Any] = {
        "name": "jobs",
        "kind": Kind.JOB_COMPLETION,
        "url": "https://hooks.example/in?job={JobId}",
    }
    return Draft(**{**usual, **said})
