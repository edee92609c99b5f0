from __future__ import annotations

import gc
import subprocess
import sys
import threading

import pytest

from beamlens_actors.thread_frames import thread_frames

# Each allocation brings about a collection, in which another thread takes the GIL and starts one more.
COLLECTED_MEANWHILE = """
import _thread, gc, threading
from beamlens_actors.thread_frames import thread_frames
end = threading.Event()
threads = [threading.Thread(target=end.wait, daemon=True) for _ in range(50)]
for thread in threads:
    thread.start()
gc.callbacks.append(lambda phase, info: _thread.start_new_thread(int, ()))
gc.set_threshold(1)
for _ in range(100):
    assert {thread.ident for thread in threads} <= thread_frames().keys()
gc.set_threshold(700)
print("not hanging", flush=True)
"""


def test_a_collection_at_the_wrong_moment_does_not_hang_the_process() -> None:
    done = subprocess.run(
        [sys.executable, "-c", COLLECTED_MEANWHILE], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("not hanging\n", "")


@pytest.mark.parametrize("enabled", [True, False])
def test_it_leaves_the_collector_as_it_was(enabled: bool) -> None:
    if not enabled:
        gc.disable()
    try:
        assert threading.get_ident() in thread_frames()
        assert gc.isenabled() is enabled
    finally:
        gc.enable()
