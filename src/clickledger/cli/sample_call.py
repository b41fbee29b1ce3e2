"""``clickledger notification test``: one call of an endpoint, with samples."""

import asyncio

import typer

from clickledger.cli import notification, output
from clickledger.cli.control import open_control
from clickledger.cli.options import AsJson, Data
from clickledger.clock import SteadyClock
from clickledger.postbacks import masking, trial
from clickledger.postbacks.model import Notification
from clickledger.postbacks.sender import Sender

#: What an endpoint answers when it has taken a call.
_ACKNOWLEDGED = range(200, 300)


def sample_call(data: Data, notification_id: notification.Id, as_json: AsJson = False) -> None:
    """Call the endpoint now, with samples; show the request and the answer, exit 1 without a 2xx.

    The call goes out from this machine, and nothing of it is logged.
    """
    with open_control(data) as control:
        found = notification.open_store(control).find(notification_id)
        settings = control.settings
        sender = Sender(
            notification.guard(control), settings.postback_connect_s, settings.postback_timeout_s
        )
    tried = asyncio.run(_try(found, sender))
    request, outcome = tried.request, tried.outcome
    url = masking.url(request.url, found.draft.url)
    headers = masking.sample_headers(request.headers, found.draft)
    sent, received = (
        masking.text(body.decode("utf-8", "replace"), found.draft)
        for body in (request.body, outcome.body)
    )
    answered = masking.response_headers(outcome.headers, found.draft)
    if as_json:
        output.print_json(
            {
                "request": {
                    "method": request.method,
                    "url": url,
                    "headers": headers,
                    "body": sent,
                },
                "answer": {
                    "status": outcome.status,
                    "problem": outcome.problem,
                    "headers": answered,
                    "body": received,
                    "duration_ms": outcome.duration_ms,
                },
            }
        )
    else:
        output.print_message(f"{request.method} {url}", headers, sent)
        first = outcome.problem or f"{outcome.status} after {outcome.duration_ms} ms"
        output.print_message(first, answered, received)
    if outcome.status not in _ACKNOWLEDGED:
        raise typer.Exit(1)


async def _try(notification: Notification, sender: Sender) -> trial.Trial:
    try:
        return await trial.send(notification, sender, SteadyClock())
    finally:
        await sender.aclose()
