"""A log laid over its database without the log's own checksums."""

from clickledger.spool import wal

PAGE = 512
SALT = b"saltsalt"


def database(pages: int) -> bytes:
    head = bytearray(PAGE)
    head[16:18] = PAGE.to_bytes(2, "big")
    head[18:20] = b"\x02\x02"
    return bytes(head) + bytes(PAGE * (pages - 1))


def frame(page: int, content: bytes, *, commit: int = 0, salt: bytes = SALT) -> bytes:
    header = page.to_bytes(4, "big") + commit.to_bytes(4, "big") + salt + bytes(8)
    return header + content * PAGE


def log(*frames: bytes) -> bytes:
    return bytes(32) + b"".join(frames)


def page(image: bytes | None, number: int) -> bytes:
    assert image is not None
    return image[(number - 1) * PAGE : number * PAGE]


def test_the_newest_frame_of_a_page_counts() -> None:
    image = wal.image(
        database(2), log(frame(2, b"a"), frame(2, b"b", commit=2), frame(2, b"c", commit=2))
    )
    assert page(image, 2) == b"c" * PAGE


def test_what_follows_the_last_commit_was_never_finished() -> None:
    image = wal.image(database(2), log(frame(2, b"a", commit=2), frame(2, b"b"), frame(3, b"c")))
    assert page(image, 2) == b"a" * PAGE
    assert image is not None
    assert len(image) == 2 * PAGE


def test_a_log_of_zeros_is_empty() -> None:
    image = wal.image(database(2), bytes(32 + 10 * (PAGE + 24)))
    assert page(image, 2) == bytes(PAGE)


def test_frames_of_another_salt_are_not_of_this_log() -> None:
    image = wal.image(
        database(2),
        log(
            frame(2, b"a", commit=2),
            frame(2, b"x", commit=2, salt=b"damaged!"),
            frame(3, b"b", commit=3),
        ),
    )
    assert page(image, 2) == b"a" * PAGE
    assert page(image, 3) == b"b" * PAGE


def test_a_damaged_page_number_takes_no_memory() -> None:
    image = wal.image(database(2), log(frame(2**31, b"x"), frame(2, b"a", commit=2)))
    assert image is not None
    assert len(image) == 2 * PAGE


def test_half_a_frame_at_the_end_is_left() -> None:
    whole = log(frame(2, b"a", commit=2), frame(2, b"b", commit=2))
    assert page(wal.image(database(2), whole[:-1]), 2) == b"a" * PAGE


def test_the_result_needs_no_log() -> None:
    image = wal.image(database(2), log(frame(3, b"a", commit=3)))
    assert image is not None
    assert image[18:20] == b"\x01\x01"
    assert int.from_bytes(image[28:32], "big") == 3


def test_what_is_no_database_is_none() -> None:
    assert wal.image(b"", b"") is None
    assert wal.image(b"not a database at all" * 100, b"") is None
