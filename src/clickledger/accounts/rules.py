"""What a name and a time zone may be. Pure rules, shared with the programs."""

import difflib
import unicodedata
from importlib import resources

from clickledger.errors import InvalidInputError

#: Longest name of anything, in characters (impact-api 1.3).
NAME_CHARS = 255


def name(field: str, text: str) -> str:
    """Return a name without surrounding spaces; refuse an empty, long or unprintable one."""
    text = text.strip()
    if not text:
        raise InvalidInputError.of(field, "must not be empty")
    if len(text) > NAME_CHARS:
        raise InvalidInputError.of(
            field, f"has {len(text)} characters; at most {NAME_CHARS} are kept"
        )
    if any(unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} for character in text):
        raise InvalidInputError.of(field, "must be one line of printable text")
    return text


def time_zone(field: str, text: str) -> str:
    """Return the IANA name of a zone of the pinned ``tzdata``; refuse any other text.

    The system's own zones do not count: a day must not depend on the machine.
    """
    listing = resources.files("tzdata").joinpath("zones").read_text(encoding="ascii").split()
    if text in listing:
        return text
    by_lower = {zone.lower(): zone for zone in listing}
    near = difflib.get_close_matches(text.lower(), by_lower, n=1)
    hint = f"; did you mean {by_lower[near[0]]}?" if near else ", such as Europe/Berlin or UTC"
    raise InvalidInputError.of(field, f"{text!r} is not an IANA time zone{hint}")
