"""From an event to the request that tells of it. Pure rules."""

from collections.abc import Mapping

from clickledger import __version__
from clickledger.postbacks.macros import DIGEST, MACROS
from clickledger.postbacks.model import CLICK_DIGEST, BodyFormat, Draft, Method, Prepared
from clickledger.postbacks.templates import compile_body, compile_url, default_body

USER_AGENT = f"clickledger/{__version__}"


class Renderer:
    """Writes the requests of one notification; compiled once.

    Raises:
        TemplateError: its URL or body cannot be compiled (``rules.check`` says so before).
    """

    __slots__ = ("_body", "_digest", "_draft", "_url")

    def __init__(self, draft: Draft) -> None:
        macros = MACROS[draft.kind]
        text = draft.body or default_body(draft.body_format, macros)
        posts = draft.method is Method.POST
        form = draft.body_format if posts else BodyFormat.FORM
        self._draft = draft
        self._url = compile_url(draft.url, macros)
        self._body = compile_body(text, form, macros) if posts else None
        self._digest = compile_body(default_body(form, DIGEST), form, DIGEST)

    def prepare(self, event_name: str, message_id: str, values: Mapping[str, str]) -> Prepared:
        """Return the request for an event, unsigned.

        A digest of clicks (``CLICK_DIGEST``) has the values ``Clicks From To Limit``. Its body is
        a flat document of these; a GET has them behind its own query, whose macros are empty.
        """
        filled = {**values, "EventType": event_name, "MessageId": message_id}
        target, body = self._url.render(filled), self._body
        if event_name == CLICK_DIGEST:
            filled["Message"] = _explanation(values)
            if body is None:
                joint = "&" if "?" in target else "?"
                target += joint + self._digest.render(filled).decode()
            else:
                body = self._digest
        own = [("User-Agent", USER_AGENT)]
        if body is not None:
            own.append(("Content-Type", body.content_type))
        return Prepared(
            method=self._draft.method,
            scheme=self._url.scheme,
            host=self._url.host,
            port=self._url.port,
            target=target,
            headers=(*own, *self._draft.headers.items()),
            body=b"" if body is None else body.render(filled),
        )


def _explanation(values: Mapping[str, str]) -> str:
    return (
        f"More than {values.get('Limit', '')} clicks in one second: this digest takes the place of "
        f"{values.get('Clicks', '')} single calls."
    )
