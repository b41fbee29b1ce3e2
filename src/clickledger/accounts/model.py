"""Records of the accounts: who may call."""

from dataclasses import dataclass
from typing import Literal

#: A brand, or a media partner of one.
Kind = Literal["advertiser", "partner"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One set of credentials and whom it stands for; the token itself is not kept."""

    #: User name of HTTP Basic, and part of every path.
    sid: str
    kind: Kind
    name: str
    #: IANA name; dates of this account's jobs are shown in it.
    time_zone: str
