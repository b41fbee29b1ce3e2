"""The parent of all processes of one `serve`."""

import os
import socket

import msgspec

from clickledger.config import DataFolder, Role, Settings
from clickledger.errors import UnavailableError
from clickledger.serving.options import ProcessOptions
from clickledger.supervisor import Supervisor
from clickledger.wiring.startup import prepare


def serve(
    folder: DataFolder, settings: Settings, *, host: str, port: int, workers: int, role: Role
) -> int:
    """Run one role of an installation until SIGTERM; return the exit status.

    Raises:
        UnavailableError: the address is taken, or the control database does not answer and
            this role needs it.
    """
    _check_address(host, port)
    prepare(folder, settings, role)
    supervisor = Supervisor({**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder.metrics)})

    def add(kind: str, name: str) -> None:
        options = ProcessOptions(
            kind=kind, data=str(folder.root), role=role, host=host, port=port, parent=os.getpid()
        )
        encoded = msgspec.json.encode(options).decode()
        supervisor.add(name, ("-m", f"clickledger.serving.{kind}", encoded))

    for number in range(1 if role is Role.WORKER else workers):
        add("http", f"http-{number + 1}")
    if role in {Role.ALL, Role.WORKER}:
        add("worker", "worker")
    return supervisor.run()


def _check_address(host: str, port: int) -> None:
    """Refuse an address that another server listens on; ours share theirs among themselves."""
    try:
        (family, kind, _, _, address), *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise UnavailableError(
            f"cannot listen on {host}:{port} ({error.strerror}): choose another --host or --port"
        ) from error
