"""How many calls may be under way, and whose: so that no endpoint delays another. Pure."""

from collections import Counter

#: Calls under way at a time, over all endpoints: well below the files a process may have open.
TOTAL = 500
#: Calls under way at a time to one endpoint.
EACH = 100
#: Of these, retries to an endpoint whose last call failed: it is asked how it is, not flooded.
FAILING = 4


#: No endpoint may hold more than this part of what is free. So ten that hold on to their calls
#: get a fourteenth of all places each, and four fourteenths stay free for all others.
_PART = 4


class Places:
    """Places for calls, shared so that endpoints that hold on to theirs leave some to others.

    The last ones go only to endpoints that have none.
    """

    __slots__ = ("_each", "_failing", "_held", "_retrying", "_taken", "_total")

    def __init__(self, total: int = TOTAL, each: int = EACH, failing: int = FAILING) -> None:
        self._total = total
        self._each = each
        self._failing = failing
        self._taken = 0
        self._held: Counter[str] = Counter()
        self._retrying: Counter[str] = Counter()

    @property
    def taken(self) -> int:
        """How many are taken."""
        return self._taken

    def room(self, endpoint: str) -> int:
        """Tell how many more first attempts an endpoint may have under way now."""
        held = self._held[endpoint]
        free = self._total - self._taken
        # Each place taken makes one more held and one less free.
        share = (free - _PART * held) // (_PART + 1)
        return max(min(self._each - held, share), 1 if free and not held else 0)

    def retry_room(self, endpoint: str, *, failing: bool) -> int:
        """Tell the same of retries; ``failing``: its last call failed.

        They never get all places of an endpoint: one that stalls would keep them from what is new.
        """
        most = self._failing if failing else self._each // 2
        return max(0, min(self.room(endpoint), most - self._retrying[endpoint]))

    def take(self, endpoint: str, *, retry: bool) -> None:
        """Take a place."""
        self._taken += 1
        self._held[endpoint] += 1
        self._retrying[endpoint] += retry

    def release(self, endpoint: str, *, retry: bool) -> None:
        """Give a place back."""
        self._taken -= 1
        self._held[endpoint] -= 1
        self._retrying[endpoint] -= retry
        if not self._held[endpoint]:
            del self._held[endpoint], self._retrying[endpoint]

    def copy(self) -> "Places":
        """Return the same places, to plan with."""
        made = Places(self._total, self._each, self._failing)
        made._taken = self._taken
        made._held = self._held.copy()
        made._retrying = self._retrying.copy()
        return made
