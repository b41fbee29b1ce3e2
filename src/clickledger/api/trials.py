"""Test sends of this process: few at a time, and one for each account."""

from collections.abc import Callable

from anyio import to_thread

from clickledger.api.errors import TooManyRequestsError
from clickledger.clock import SteadyClock
from clickledger.postbacks import trial
from clickledger.postbacks.model import Notification
from clickledger.postbacks.sender import Sender

#: Calls under way at a time: an endpoint may hold one for the whole of its time limit.
_AT_A_TIME = 8


class Trials:
    """Sends tests; nobody waits for another's, who comes too early is told so."""

    def __init__(self, open_sender: Callable[[], Sender], clock: SteadyClock) -> None:
        self._open_sender = open_sender
        self._clock = clock
        #: Accounts whose test is under way.
        self._busy: set[str] = set()

    async def send(self, notification: Notification) -> trial.Trial:
        """Call the endpoint of a notification once; it may be disabled.

        Raises:
            TooManyRequestsError: another test of the account is under way, or too many of others.
        """
        account_sid = notification.account_sid
        if account_sid in self._busy:
            raise TooManyRequestsError("Another test send of this account is under way.")
        if len(self._busy) >= _AT_A_TIME:
            raise TooManyRequestsError("Too many test sends are under way; try again soon.")
        self._busy.add(account_sid)
        # A sender for each: a test is to show what a first call meets.
        try:
            sender = await to_thread.run_sync(self._open_sender)
            try:
                return await trial.send(notification, sender, self._clock)
            finally:
                await sender.aclose()
        finally:
            self._busy.discard(account_sid)
