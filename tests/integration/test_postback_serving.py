"""A served installation delivers postbacks, says so in its metrics, and tells when it cannot."""

import asyncio
import json
import time
from collections.abc import MutableMapping
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import httpx
import msgspec

from clickledger.clock import SteadyClock, to_datetime, wall_clock
from clickledger.config import DataFolder, Role, Settings
from clickledger.db.engine import control_url, open_engine
from clickledger.postbacks import outbox
from clickledger.postbacks.model import Draft, Event, Kind
from clickledger.postbacks.network import Guard
from clickledger.postbacks.store import Notifications
from clickledger.testing.installation import Installation
from clickledger.testing.receiver import receiver
from clickledger.wiring.node import Node


def test_an_event_is_told_counted_and_a_stalled_call_delays_no_stop(tmp_path: Path) -> None:
    with receiver(tmp_path) as running:
        server = Installation(
            tmp_path / "data",
            {
                "POSTBACK_NETWORKS": '["127.0.0.0/8"]',
                "POSTBACK_PORTS": json.dumps([running.port]),
            },
        )
        brand = server.make()
        engine = open_engine(control_url(Settings(), DataFolder(server.folder)))
        guard = Guard([ip_network("127.0.0.0/8")], [running.port])
        made = Notifications(engine, SteadyClock(), guard, timedelta())
        for path in ("/ok", "/stall"):
            made.create(
                brand.sid, Draft(name=path, kind=Kind.JOB_COMPLETION, url=running.url(path))
            )
        try:
            server.start(role="worker")
            now = to_datetime(wall_clock())
            happened = Event(
                kind=Kind.JOB_COMPLETION,
                name="CLICK_EXPORT_COMPLETED",
                account_sids=(brand.sid,),
                program_id=brand.program_id,
                at=now,
                values={},
            )
            with engine.begin() as connection:
                assert outbox.put(connection, happened, now) == 2
            requests = running.wait_for(2)
            assert all(request.at - now.timestamp() < 5 for request in requests)
            deadline = time.monotonic() + 10
            wanted = 'clickledger_postback_attempts_total{outcome="delivered"} 1.0'
            while wanted not in httpx.get(f"{server.url}/metrics").text:
                assert time.monotonic() < deadline
                time.sleep(0.1)
            status = msgspec.json.decode(DataFolder(server.folder).worker_status.read_bytes())
            assert status["postbacks"]["delivering"] is True
            began = time.monotonic()
            assert server.stop() == 0
            assert time.monotonic() - began < 10
        finally:
            server.kill()
            engine.dispose()


def test_readiness_tells_of_trouble(tmp_path: Path) -> None:
    server = Installation(tmp_path / "data")
    server.make()
    folder = DataFolder(server.folder)

    def told(**postbacks: object) -> tuple[int, str]:
        """Ask for readiness when the worker has reported so."""
        status = {"at": time.time(), "lake": {"fault": ""}, "jobs": {"trouble": ""}, **postbacks}
        folder.worker_status.write_bytes(msgspec.json.encode(status))
        return asyncio.run(readiness(folder))

    assert told(postbacks={"trouble": ""}) == (200, "ok")
    assert told() == (200, "ok"), "of a worker that knew no postbacks"
    assert told(postbacks={"trouble": "the disk is full"}) == (503, "the disk is full")


async def readiness(folder: DataFolder) -> tuple[int, str]:
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    node = Node(Settings(), folder, Role.WORKER)
    await node.start()
    await node({"type": "http", "method": "GET", "path": "/readyz"}, receive, send)
    await node.stop()
    return sent[0]["status"], msgspec.json.decode(sent[1]["body"])["checks"]["worker"]
