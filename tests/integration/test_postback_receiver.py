"""The receiver of the tests behaves as its paths say."""

import http.client
from contextlib import closing
from pathlib import Path

import pytest

from clickledger.testing.receiver import METADATA_URL, Receiver, receiver


def call(to: Receiver, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", to.port, timeout=5)
    with closing(connection):
        connection.request(
            "POST", path, b"{}", {k.replace("_", "-"): v for k, v in headers.items()}
        )
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()


def test_answers_as_the_path_says_and_writes_each_request_down(tmp_path: Path) -> None:
    with receiver(tmp_path) as running:
        assert call(running, "/ok/orders?a=%20b", webhook_id="msg_1")[0] == 200
        assert call(running, "/status/418")[0] == 418
        assert call(running, "/status/204")[2] == b""
        assert call(running, "/busy/7")[1]["Retry-After"] == "7"
        assert call(running, "/gone")[0] == 410
        assert call(running, "/redirect")[1]["Location"] == METADATA_URL
        assert call(running, "/slow/0.01")[0] == 200
        assert len(call(running, "/large/70000")[2]) == 70_000
        first = running.requests()[0]
        assert (first.method, first.target, first.body) == ("POST", "/ok/orders?a=%20b", b"{}")
        assert first.message_id == "msg_1"
        assert [request.target for request in running.wait_for(2, "/status")] == [
            "/status/418",
            "/status/204",
        ]


def test_fails_as_often_as_asked_for_each_message(tmp_path: Path) -> None:
    with receiver(tmp_path) as running:
        statuses = [
            call(running, "/fail/1", webhook_id=message)[0] for message in ("a", "b", "a", "b")
        ]
        assert statuses == [503, 503, 200, 200]


def test_a_path_can_be_told_to_behave_as_another(tmp_path: Path) -> None:
    with receiver(tmp_path) as running:
        running.behave("/ok/shop", "/gone")
        assert call(running, "/ok/shop?x=1")[0] == 410
        running.behave("/ok/shop", "/ok")
        assert call(running, "/ok/shop")[0] == 200
        assert len(running.requests()) == 2


@pytest.mark.parametrize("path", ["/hangup", "/cut"])
def test_ends_the_connection_too_early(tmp_path: Path, path: str) -> None:
    with receiver(tmp_path) as running, pytest.raises(http.client.HTTPException):
        call(running, path)


def test_waiting_for_what_does_not_come_ends(tmp_path: Path) -> None:
    with receiver(tmp_path) as running, pytest.raises(TimeoutError, match="0 of 1"):
        running.wait_for(1, within_s=0.05)
