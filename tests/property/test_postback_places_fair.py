"""Whatever eight endpoints do with their places, one that has none finds one."""

from hypothesis import given
from hypothesis import strategies as st

from clickledger.postbacks.places import Places

STEPS = st.lists(st.tuples(st.sampled_from("abcdefgh"), st.booleans(), st.booleans()), max_size=200)


@given(total=st.integers(40, 200), each=st.integers(1, 100), steps=STEPS)
def test_a_newcomer_finds_a_place(
    total: int, each: int, steps: list[tuple[str, bool, bool]]
) -> None:
    places = Places(total=total, each=each)
    held: list[tuple[str, bool]] = []
    for endpoint, retry, fills in steps:
        while places.retry_room(endpoint, failing=False) if retry else places.room(endpoint):
            places.take(endpoint, retry=retry)
            held.append((endpoint, retry))
            if not fills:
                break
        else:
            if held and not fills:
                freed = held.pop()
                places.release(freed[0], retry=freed[1])
        mine = sum(name == endpoint for name, _ in held)
        assert mine <= each
        assert places.taken == len(held) < total
        assert places.room("newcomer") > 0
