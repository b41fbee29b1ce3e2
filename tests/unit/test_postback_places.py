"""How many calls may be under way to whom."""

from clickledger.postbacks.places import Places


def fill(places: Places, endpoint: str, *, retry: bool = False, failing: bool = False) -> int:
    """Take all that an endpoint may have; return how many."""
    taken = 0
    while places.retry_room(endpoint, failing=failing) if retry else places.room(endpoint):
        places.take(endpoint, retry=retry)
        taken += 1
    return taken


def test_one_endpoint_has_a_limit_of_its_own() -> None:
    assert fill(Places(total=500, each=100), "a") == 100


def test_no_endpoint_holds_more_than_a_quarter_of_what_is_free() -> None:
    places = Places(total=100, each=100)
    assert fill(places, "stalled") == 20
    assert fill(places, "next") == 16
    assert fill(places, "one more") == 12
    assert places.taken == 48


def test_the_last_places_are_for_endpoints_that_have_none() -> None:
    places = Places(total=4, each=4)
    assert [fill(places, name) for name in "abcde"] == [1, 1, 1, 1, 0]


def test_what_is_told_as_room_can_be_taken_at_once() -> None:
    for total in range(1, 40):
        places = Places(total=total, each=100)
        for _ in range(places.room("a")):
            places.take("a", retry=False)
        assert fill(places, "a") == 0


def test_an_endpoint_that_fails_gets_few_retries_and_its_first_attempts() -> None:
    places = Places(total=1000, each=100, failing=4)
    assert fill(places, "a", retry=True, failing=True) == 4
    assert places.retry_room("a", failing=True) == 0
    assert places.room("a") == 96
    assert places.retry_room("a", failing=False) == 46, "it has recovered"


def test_retries_leave_half_of_an_endpoint_to_first_attempts() -> None:
    places = Places(total=1000, each=100)
    assert fill(places, "a", retry=True) == 50
    assert fill(places, "a") == 50


def test_places_come_back() -> None:
    places = Places(total=50, each=4, failing=1)
    fill(places, "a", retry=True, failing=True)
    fill(places, "a")
    assert places.taken == 4
    places.release("a", retry=True)
    assert places.retry_room("a", failing=True) == 1
    for _ in range(3):
        places.release("a", retry=False)
    assert places.taken == 0
    assert places.room("a") == 4


def test_a_copy_is_planned_with_and_changes_nothing() -> None:
    places = Places(total=50, each=4, failing=2)
    places.take("a", retry=True)
    plan = places.copy()
    fill(plan, "a")
    assert (places.taken, plan.taken) == (1, 4)
    assert plan.retry_room("b", failing=True) == 2
