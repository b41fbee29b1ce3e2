"""Signed links to result files: they need no credentials and stop working on their own.

``/results/{job}/{run}/{expires}/{signature}``: ``expires`` in seconds since 1970, ``signature``
HMAC-SHA-256 in base64url over the three before it. A replay writes another run, so a link that
was handed out keeps leading to the file it was made for.
"""

import base64
import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from clickledger.errors import ForbiddenError

_PURPOSE = b"clickledger result link 1"


@dataclass(frozen=True, slots=True)
class SignedUrls:
    """Makes and checks signed links.

    ``keys`` returns the active secrets, newest first: the first signs, all verify, so that a
    rotation breaks no link that was handed out.
    """

    keys: Callable[[], Sequence[bytes]]

    def path(self, job_id: str, run: int, expires: int) -> str:
        """Return the signed path of one run's file; ``expires`` in seconds since 1970."""
        signature = _sign(self.keys()[0], job_id, str(run), str(expires))
        return f"/results/{job_id}/{run}/{expires}/{signature}"

    def check(self, job_id: str, run: str, expires: str, signature: str, now: float) -> None:
        """Check the parts of a link as they came; ``now`` in seconds since 1970.

        Raises:
            ForbiddenError: the signature is not ours, or the link has expired.
        """
        given = signature.encode("utf-8", "replace")
        genuine = False
        for key in self.keys():
            genuine |= hmac.compare_digest(_sign(key, job_id, run, expires).encode(), given)
        if not genuine:
            raise ForbiddenError("This link was not made here, or is not complete.")
        if now >= int(expires):
            raise ForbiddenError("This link has expired; ask the job's Download for a new one.")


def _sign(key: bytes, job_id: str, run: str, expires: str) -> str:
    message = b"\0".join(
        (_PURPOSE, *(part.encode("utf-8", "replace") for part in (job_id, run, expires)))
    )
    digest = hmac.digest(key, message, hashlib.sha256)
    return base64.urlsafe_b64encode(digest).decode("ascii").rstrip("=")
