"""What a process asks of the kernel holds for the threads it starts."""

import os
import subprocess
import sys

import pytest

_ASK = """
import os, threading
from clickledger import process
process.give_way()
found = [os.sched_getscheduler(0)]
later = threading.Thread(target=lambda: found.append(os.sched_getscheduler(0)))
later.start()
later.join()
print(*found)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the idle class")
def test_a_process_that_gives_way_runs_in_the_idle_class_with_all_its_threads() -> None:
    printed = subprocess.run(
        [sys.executable, "-c", _ASK], capture_output=True, text=True, check=True
    ).stdout
    assert printed.split() == [str(os.SCHED_IDLE)] * 2
