"""The manifest of a result as a document of the wire (ours)."""

from collections.abc import Mapping, Sequence

from clickledger.api.render import Document, Members, Resource, Value


def document(manifest: Mapping[str, object]) -> Document:
    """Return a manifest, whatever it holds: names stay, lists get a singular name in XML."""
    return Resource("Manifest", {name: _value(name, one) for name, one in manifest.items()})


def _value(name: str, value: object) -> Value:
    match value:
        case None | bool() | int() | float() | str():
            return value
        case Mapping():
            return {str(key): _value(str(key), one) for key, one in value.items()}
        case Sequence():
            return Members(name.removesuffix("s"), [_value(name, one) for one in value])
        case _:
            return str(value)
