"""A whole installation in a folder: made, served, killed and served again, as an operator would."""

import contextlib
import http.client
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from clickledger.errors import UnavailableError

#: A server that is not ready by then will not be.
_READY_WITHIN_S = 30.0
_STOP_WITHIN_S = 15.0
_POLL_S = 0.05
_LOWEST_PORT, _PORTS = 15_000, 15_000


def free_port() -> int:
    """Find a TCP port that nothing listens on now.

    Below the ephemeral range: a client that keeps trying to connect to a port of that range can
    be given the very same port for its own end, and then talks to itself and holds it.
    """
    while True:
        port = _LOWEST_PORT + secrets.randbelow(_PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@dataclass(frozen=True, slots=True, kw_only=True)
class Brand:
    """What ``init --demo --json`` printed: credentials and links."""

    sid: str
    token: str
    program_id: int
    partner_ids: tuple[int, ...]
    ad_ids: tuple[int, ...]
    #: Path of each tracking link, ``/c/{MediaId}/{AdId}/{ProgramId}``.
    links: tuple[str, ...]


@dataclass(slots=True)
class Installation:
    """One data folder and, at times, the server on it.

    ``settings`` are environment variables without the prefix, e.g. ``{"EXPORT_WAIT_S": "5"}``.
    """

    folder: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """What the server said, beside the data folder."""
        return self.folder.with_name(f"{self.folder.name}.log")

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``clickledger`` with ``arguments`` on this folder; raises when it fails."""
        return subprocess.run(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", "clickledger", *arguments, "--data", str(self.folder)],
            env=self._environment(),
            check=True,
            capture_output=True,
            text=True,
        )

    def make(self) -> Brand:
        """Make the folder, with a brand of one program, two partners and two ads."""
        made = json.loads(self.command("init", "--demo", "--json").stdout)
        return Brand(
            sid=made["advertiser"]["sid"],
            token=made["advertiser"]["token"],
            program_id=made["program_id"],
            partner_ids=tuple(partner["id"] for partner in made["partners"]),
            ad_ids=tuple(made["ad_ids"]),
            links=tuple("/c/" + url.partition("/c/")[2] for url in made["tracking_urls"]),
        )

    def start(self, *, role: str = "all", workers: int = 1) -> None:
        """Serve, and wait until ready; raises UnavailableError when it does not become so."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [
                    *(sys.executable, "-m", "clickledger", "serve", "--data", str(self.folder)),
                    *("--port", str(self.port), "--role", role, "--workers", str(workers)),
                ],
                env=self._environment(),
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + _READY_WITHIN_S
        while time.monotonic() < deadline:
            if self.ready():
                return
            if self.process.poll() is not None:
                break
            time.sleep(_POLL_S)
        raise UnavailableError(f"the server did not become ready; see {self.log}")

    def ready(self) -> bool:
        """Ask ``/readyz``."""
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            with contextlib.closing(connection):
                connection.request("GET", "/readyz")
                return connection.getresponse().status == http.client.OK
        return False

    def stop(self) -> int:
        """End the server as an operator does, with SIGTERM; return its exit status."""
        if self.process is None:
            return 0
        self.process.terminate()
        status = self.process.wait(_STOP_WITHIN_S)
        self.process = None
        return status

    def kill(self) -> None:
        """End the server as a power failure does: SIGKILL to all its processes at once."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):  # it has ended by itself
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def count(self, *arguments: str) -> dict[str, object]:
        """Return what ``lake count --json`` says."""
        counted: dict[str, object] = json.loads(
            self.command("lake", "count", "--json", *arguments).stdout
        )
        return counted

    def _environment(self) -> dict[str, str]:
        ours = {f"CLICKLEDGER_{name}": value for name, value in self.settings.items()}
        return {**os.environ, **ours}


@contextlib.contextmanager
def installation(folder: Path, **settings: str) -> Iterator[tuple[Installation, Brand]]:
    """Make an installation in ``folder``, serve it, and kill whatever still runs at the end."""
    made = Installation(folder, settings)
    brand = made.make()
    try:
        made.start()
        yield made, brand
    finally:
        made.kill()
