"""Which requests are the same job: one normal form, one hash."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping

import msgspec

from clickledger.jobs.model import CLICK_EXPORT, ClickExportRequest

#: Grows when the normal form changes, so that an old hash never names a new meaning.
_FORM = 1


def normalise(request: ClickExportRequest) -> ClickExportRequest:
    """Return the request as it is stored: ids sorted and each once."""
    return dataclasses.replace(
        request,
        ad_ids=tuple(sorted(set(request.ad_ids))),
        media_ids=tuple(sorted(set(request.media_ids))),
    )


def identity(request: ClickExportRequest, job_type: str = CLICK_EXPORT) -> str:
    """Hash a request: 64 hex digits, equal for equal requests in any order or repetition.

    The order of ``columns`` counts: it is the order in the file.
    """
    form = [_FORM, job_type, request.account_sid, to_parameters(request)]
    text = json.dumps(form, ensure_ascii=True, separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def to_parameters(request: ClickExportRequest) -> dict[str, object]:
    """Write the request as plain JSON values in normal form, without the account.

    A field added later must be left out here while it has its default: otherwise the same
    request would be a new job after an upgrade.
    """
    normal = normalise(request)
    return {
        "program_id": normal.program_id,
        "date": normal.date.isoformat(),
        "time_zone": normal.time_zone,
        "ad_ids": list(normal.ad_ids),
        "media_ids": list(normal.media_ids),
        "unique_click": normal.unique_click,
        "result_format": normal.result_format.value,
        "columns": list(normal.columns),
    }


def from_parameters(account_sid: str, parameters: Mapping[str, object]) -> ClickExportRequest:
    """Read back what ``to_parameters`` wrote."""
    return msgspec.convert({**parameters, "account_sid": account_sid}, ClickExportRequest)
