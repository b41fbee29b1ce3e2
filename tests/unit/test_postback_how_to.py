"""What the how-to tells receivers to do works, with what is sent and with the reference library."""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import WebhookVerificationError

from clickledger.postbacks import files, rules, signing
from clickledger.postbacks.macros import MACROS, samples
from clickledger.postbacks.model import Draft, Kind, Method, Prepared
from clickledger.postbacks.rendering import Renderer

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "postbacks.md"
ID = "msg_ZfoLwNK2xwne733wApla5rnG"
SECRET, OTHER = signing.new_secret(), signing.new_secret()


def fences(kind: str) -> list[str]:
    text = PAGE.read_text(encoding="utf-8")
    return re.findall(rf"^```{kind}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def examples() -> dict[str, Any]:
    """Run every example in Python; return what they define."""
    defined: dict[str, Any] = {}
    for code in fences("python"):
        exec(compile(code, PAGE.name, "exec"), defined)  # noqa: S102 - our own page
    return defined


def call(method: Method, *secrets: str, age: timedelta = timedelta()) -> Prepared:
    draft = Draft(
        name="x",
        kind=Kind.JOB_COMPLETION,
        url="https://hooks.example/ready?job={JobId}&note=%C3%BC%20{StatusMessage}",
        method=method,
    )
    values = samples(MACROS[draft.kind].values()) | {"StatusMessage": "3 \u00d7 \u201c100 %\u201d"}
    prepared = Renderer(draft).prepare("CLICK_EXPORT_COMPLETED", ID, values)
    return signing.sign(prepared, secrets or (SECRET,), ID, datetime.now(UTC) - age)


def received(request: Prepared) -> Mapping[str, str]:
    """Return the headers as most servers give them."""
    return {name.lower(): value for name, value in request.headers}


def verify(request: Prepared, secret: str = SECRET) -> None:
    """Verify as the page says, in both ways; raise if either refuses."""
    shown = examples()
    if request.method is Method.POST:
        content = request.body
        shown["check_post"](secret, dict(request.headers), request.body)
    else:
        content = request.target.encode()
        shown["check_get"](secret, dict(request.headers), request.target)
    if not shown["is_genuine"](secret, received(request), content):
        raise WebhookVerificationError


def refused(request: Prepared, secret: str = SECRET) -> None:
    """Both ways refuse."""
    shown = examples()
    posts = request.method is Method.POST
    content = request.body if posts else request.target.encode()
    assert not shown["is_genuine"](secret, received(request), content)
    with pytest.raises(WebhookVerificationError):
        verify(request, secret)


@pytest.mark.parametrize("method", list(Method))
def test_what_is_sent_is_found_genuine(method: Method) -> None:
    verify(call(method))


@pytest.mark.parametrize("method", list(Method))
def test_both_secrets_of_a_rotation_verify(method: Method) -> None:
    request = call(method, SECRET, OTHER)
    verify(request, SECRET)
    verify(request, OTHER)


@pytest.mark.parametrize("method", list(Method))
def test_another_secret_refuses(method: Method) -> None:
    refused(call(method), OTHER)


@pytest.mark.parametrize("method", list(Method))
@pytest.mark.parametrize("age", [timedelta(minutes=6), timedelta(minutes=-6)])
def test_what_is_too_old_or_too_new_is_refused(method: Method, age: timedelta) -> None:
    refused(call(method, age=age))


def test_a_changed_body_is_refused() -> None:
    request = call(Method.POST)
    refused(replace(request, body=request.body.replace(b"12345", b"12346")))


def test_a_changed_target_is_refused() -> None:
    request = call(Method.GET)
    refused(replace(request, target=request.target.replace("job=", "job=1")))
    refused(replace(request, target=request.target.replace("%20", "+")))


def test_another_message_id_is_refused() -> None:
    request = call(Method.POST)
    headers = tuple(
        (name, "msg_0" if name == "webhook-id" else value) for name, value in request.headers
    )
    refused(replace(request, headers=headers))


def test_the_file_on_the_page_may_be_applied() -> None:
    (text,) = fences("toml")
    entries = files.read(text, {"HOOKS_AUTHORIZATION": "Bearer x"})
    assert [rules.check(entry.draft) for entry in entries] == [[], []]


def test_the_bodies_on_the_page_are_templates() -> None:
    bodies = re.findall(r"--body '([^']+)'", PAGE.read_text(encoding="utf-8"))
    assert bodies
    for body in bodies:
        draft = Draft(
            name="x", kind=Kind.CLICK, url="https://a.example/", method=Method.POST, body=body
        )
        assert rules.check(draft) == []
