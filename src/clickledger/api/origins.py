"""What an absolute link to this server starts with."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address

from clickledger.api.handling import AnyRequest
from clickledger.config import Settings

_SCHEMES = frozenset({"http", "https"})


def origin(request: AnyRequest, settings: Settings) -> str:
    """Return scheme and host of a link that leads back here, without a slash at the end.

    ``public_url`` when it is set. Otherwise what the caller itself used, so that any ``--port``
    works without a setting; ``https`` when a listed proxy says so. The caller gains nothing by
    a forged ``Host``: the link is shown to nobody else.
    """
    host = request.headers.get("host", "")
    if "public_url" in settings.model_fields_set or not host:
        return settings.public_url.rstrip("/")
    scheme = str(request.scope["scheme"])
    peer = request.scope["client"]
    if peer and listed(peer[0], settings.trusted_proxies):
        forwarded = request.headers.get("x-forwarded-proto", "").strip().lower()
        scheme = forwarded if forwarded in _SCHEMES else scheme
    return f"{scheme}://{host}"


def listed(address: str, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    """Tell whether an address is within one of the networks; a Unix socket has none."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in networks)
