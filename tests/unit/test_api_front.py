"""What stands in front of the framework, with a little app behind it."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from clickledger.api.front import Front, Receive, Scope, Send
from clickledger.api.render import Format
from clickledger.api.requests import Call
from clickledger.metrics import Metrics
from clickledger.testing.in_process import Answer, request

FORM = {"content-type": "application/x-www-form-urlencoded"}


class Inner:
    """An app that remembers what reached it and streams three letters."""

    def __init__(self) -> None:
        self.scope: Scope = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        self.scope = scope
        await send({"type": "http.response.start", "status": 200})
        for letter in (b"a", b"b", b"c"):
            await send({"type": "http.response.body", "body": letter, "more_body": True})
        await send({"type": "http.response.body"})

    @property
    def call(self) -> Call:
        call: Call = self.scope["state"]["call"]
        return call


def sent(method: str, target: str, **more: Any) -> tuple[Inner, Answer]:  # noqa: ANN401 - passed on
    inner = Inner()
    front = Front(inner, body_bytes=1_000_000, metrics=Metrics())
    return inner, request(front, method, target, **more)


def test_a_suffix_leaves_the_path_and_becomes_the_format() -> None:
    inner, answer = sent("GET", "/a/Jobs.json?x=1")
    assert answer.body == b"abc"
    assert (inner.scope["path"], inner.scope["raw_path"]) == ("/a/Jobs", b"/a/Jobs")
    assert inner.call.form is Format.JSON
    assert inner.call.parameters.first("X") == "1"


def test_head_reaches_the_app_as_get_and_no_body_leaves() -> None:
    inner, answer = sent("HEAD", "/a/Jobs")
    assert (inner.scope["method"], inner.call.head) == ("GET", True)
    assert answer.chunks == (b"",)


METHODS: dict[str, tuple[str, str, bytes, str]] = {
    "in the query": ("POST", "/a?_method=PUT", b"", "PUT"),
    "in the form": ("POST", "/a", b"_method=delete", "DELETE"),
    "in another case": ("POST", "/a?_METHOD=put", b"", "PUT"),
    "the query first": ("POST", "/a?_method=PUT", b"_method=DELETE", "PUT"),
    "only on POST": ("GET", "/a?_method=DELETE", b"", "GET"),
    "nothing said": ("POST", "/a", b"", "POST"),
}


@pytest.mark.parametrize(
    ("method", "target", "body", "meant"), METHODS.values(), ids=METHODS.keys()
)
def test_a_method_in_place_of_another(method: str, target: str, body: bytes, meant: str) -> None:
    inner, _ = sent(method, target, headers=FORM, body=body)
    assert inner.scope["method"] == meant


def test_query_and_form_are_read_together_and_the_query_counts_first() -> None:
    inner, _ = sent("GET", "/a?Date=1&MediaId=1", headers=FORM, body=b"date=2&MediaId=2")
    assert inner.call.parameters.first("Date") == "1"
    assert inner.call.parameters.all("MediaId") == ["1", "2"]


def test_a_long_form_is_read_too() -> None:
    inner, _ = sent("GET", "/a", headers=FORM, body=b"&".join([b"MediaId=123456"] * 10_000))
    assert len(inner.call.parameters.all("MediaId")) == 10_000


JSON = {"content-type": "Application/JSON; charset=utf-8"}


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_a_write_may_have_its_parameters_in_a_json_object(method: str) -> None:
    body = b'{"Name":"x","Ids":[1,2],"Empty":null}'
    inner, answer = sent(method, "/a?Name=first", headers=JSON, body=body)
    assert answer.status == 200
    assert inner.call.parameters.all("name") == ["first", "x"]
    assert inner.call.parameters.all("ids") == ["1", "2"]
    assert inner.call.parameters.given("empty")
    assert not inner.call.parameters.given("other")


def test_a_method_in_a_json_object() -> None:
    inner, _ = sent("POST", "/a", headers=JSON, body=b'{"_method":"PUT"}')
    assert inner.scope["method"] == "PUT"


def test_a_long_json_object_is_read_too() -> None:
    inner, _ = sent("POST", "/a", headers=JSON, body=b'{"A":"' + b"x" * 100_000 + b'"}')
    assert inner.call.parameters.first("A") == "x" * 100_000


@pytest.mark.parametrize("body", [b"no JSON", b"[]", b'{"A":[[]]}'])
def test_a_json_body_that_is_no_object_of_parameters_is_refused(body: bytes) -> None:
    assert sent("POST", "/a", headers=JSON, body=body)[1].status == 400


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_json_body_of_a_read_says_nothing(method: str) -> None:
    inner, answer = sent(method, "/a", headers=JSON, body=b"no JSON")
    assert answer.status == 200
    assert not inner.call.parameters.given("no JSON")


@pytest.mark.parametrize("kind", ["text/xml", "multipart/form-data; boundary=x", "", "text/plain"])
def test_a_body_in_another_language_is_refused_where_it_would_mean_something(kind: str) -> None:
    headers = {"content-type": kind} if kind else {}
    inner, answer = sent("PUT", "/a", headers=headers, body=b"<Name>x</Name>")
    assert (answer.status, inner.scope) == (415, {})
    assert "application/json" in answer.text
    assert sent("PUT", "/a", headers=headers)[1].status == 200
    assert sent("GET", "/a", headers=headers, body=b"x")[1].status == 200


def test_each_request_without_an_id_gets_its_own() -> None:
    ids = {sent("GET", "/a")[1].header("x-request-id") for _ in range(10)}
    assert len(ids) == 10


@pytest.mark.parametrize("kind", ["lifespan", "websocket"])
def test_what_is_no_request_goes_straight_through(kind: str) -> None:
    reached: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        del receive, send
        reached.append(scope)

    async def nobody() -> Scope:
        raise AssertionError("nothing is read")

    async def nowhere(message: Scope) -> None:
        raise AssertionError(message)

    scope: Scope = {"type": kind}
    asyncio.run(Front(app, body_bytes=1, metrics=Metrics())(scope, nobody, nowhere))
    assert reached == [scope]


def counted(act: Callable[[Front], object], app: Any) -> dict[str, float]:  # noqa: ANN401 - any app
    metrics = Metrics()
    act(Front(app, body_bytes=10, metrics=metrics))
    (counter,) = metrics.api_requests.collect()
    return {
        one.labels["status"]: one.value for one in counter.samples if one.name.endswith("_total")
    }


def test_every_end_of_a_request_is_counted() -> None:
    assert counted(lambda front: request(front, "GET", "/"), Inner()) == {"200": 1.0}
    assert counted(lambda front: request(front, "GET", "/", body=b"x" * 11), Inner()) == {"413": 1}
    gone = counted(lambda front: request(front, "GET", "/", body=b"x", leaves=True), Inner())
    assert gone == {"499": 1.0}
