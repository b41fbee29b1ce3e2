"""What a process asks of the kernel for itself: to end with its parent, to give way to others."""

import ctypes
import os
import platform
import signal
import sys

_PR_SET_PDEATHSIG = 1

#: Number of ioprio_set(2) by machine, and its arguments: this process, lowest best-effort level.
#: Not the idle class: behind something that never rests, nothing would ever be written.
_IOPRIO_SET = {"x86_64": 251, "aarch64": 30}
_IOPRIO_WHO_PROCESS = 1
_IOPRIO_LOWEST = (2 << 13) | 7


def die_with_parent(parent: int) -> None:
    """Have the kernel send this process SIGTERM when its parent ``parent`` (a pid) is gone.

    The parent counts as gone when the thread that started this process ends.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:  # it died before the kernel was asked
        os.kill(os.getpid(), signal.SIGTERM)


def give_way(niceness: int) -> None:
    """Lower the priority of this thread and those it will start: processor and disk.

    ``niceness``: as ``nice`` counts; a lower priority that is set already stays.
    """
    niceness = max(niceness, os.getpriority(os.PRIO_PROCESS, 0))
    os.setpriority(os.PRIO_PROCESS, 0, niceness)
    number = _IOPRIO_SET.get(platform.machine())
    if number is not None and sys.platform == "linux":
        ctypes.CDLL(None).syscall(number, _IOPRIO_WHO_PROCESS, 0, _IOPRIO_LOWEST)
