"""A test send: an endpoint is called now, with a sample in the place of every macro."""

from dataclasses import dataclass

from clickledger import ids
from clickledger.clock import SteadyClock, to_datetime
from clickledger.postbacks import signing
from clickledger.postbacks.macros import MACROS, samples
from clickledger.postbacks.model import EVENTS, Notification, Outcome, Prepared
from clickledger.postbacks.rendering import Renderer
from clickledger.postbacks.sender import Sender


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What was sent, byte for byte, and what came back."""

    request: Prepared
    outcome: Outcome


async def send(notification: Notification, sender: Sender, clock: SteadyClock) -> Trial:
    """Call the endpoint once, signed as every call is; nothing of it goes to the log.

    The event is the first one that the notification selects. One that is switched off is
    called too: that is how its owner finds out whether it may be switched on.
    """
    draft = notification.draft
    message_id = ids.new_message_id()
    event = (draft.events or EVENTS[draft.kind])[0]
    prepared = Renderer(draft).prepare(event, message_id, samples(MACROS[draft.kind].values()))
    moment = to_datetime(clock.now())
    signed = signing.sign(prepared, notification.secrets, message_id, moment)
    return Trial(request=signed, outcome=await sender.send(signed))
