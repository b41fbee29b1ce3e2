"""``python -m clickledger.serving.http``: one HTTP process; the parent starts it."""

import asyncio
import gc
import signal
import sys
from pathlib import Path

import structlog
import uvloop
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server

from clickledger.config import DataFolder, Settings
from clickledger.errors import ClickledgerError
from clickledger.serving.options import ProcessOptions, begin
from clickledger.wiring.node import Node

_log = structlog.get_logger(__name__)

#: Connections that may wait for being accepted, and requests under way.
_BACKLOG = 4096
#: Largest request line and headers together; beyond, the server answers 431 or 414 itself.
_HEAD_BYTES = 512 * 1024
#: Answers still under way at SIGTERM get this long; a connection that is merely open does not.
_DRAIN_S = 4.0
#: The hot path makes many short-lived objects and no cycles: rare collections are enough.
_GC_THRESHOLD = (100_000, 50, 100)


async def _serve(options: ProcessOptions, settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    node = Node(settings, DataFolder(Path(options.data)), options.role)
    await node.start()
    server = Server(
        node,
        address=options.host,
        port=options.port,
        interface=Interfaces.ASGINL,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(max_buffer_size=_HEAD_BYTES),
        websockets=False,
        backlog=_BACKLOG,
        backpressure=_BACKLOG,
        log_enabled=False,
    )
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLD)
    serving = asyncio.ensure_future(server.serve())
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        serving.result()
    server.stop()  # type: ignore[no-untyped-call]  # granian ships this one untyped
    await asyncio.wait({serving}, timeout=_DRAIN_S)
    await node.stop()
    gc.unfreeze()  # or the query engine's bindings report at exit that they were not freed


def main(argument: str) -> int:
    """Serve until SIGTERM; return the exit status."""
    options, settings = begin(argument)
    try:
        uvloop.run(_serve(options, settings))
    except ClickledgerError as error:
        _log.error("process_cannot_start", reason=str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
