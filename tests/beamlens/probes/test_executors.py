from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from beamlens.probes import executors
from tests.support.threads import until


def pool_named(name):
    return next((pool for pool in executors.pools() if pool.name == name), None)


def test_a_pool_is_told_with_its_threads_and_its_line():
    release = threading.Event()
    with ThreadPoolExecutor(2, thread_name_prefix="mill") as pool:
        for _ in range(7):
            pool.submit(release.wait)
        found = until(lambda: (one := pool_named("mill")) and one.queued == 5 and one)
        assert (len(found.idents), found.most) == (2, 2)
        assert set(found.idents) == {thread.ident for thread in pool._threads}
        release.set()
    assert pool_named("mill") is None


def test_a_pool_that_is_gone_is_still_told_while_its_threads_work():
    release = threading.Event()
    pool = ThreadPoolExecutor(1, thread_name_prefix="orphan")
    threads = []
    for _ in range(3):
        pool.submit(lambda: threads.append(threading.current_thread()) or release.wait())
    until(lambda: threads)
    del pool
    assert until(lambda: pool_named("orphan")).queued == 2
    release.set()
    threads[0].join(20)


def test_what_no_pool_uses_is_not_loaded():
    program = (
        "import sys; from beamlens.probes import executors; executors.pools();"
        "print('concurrent.futures.thread' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "False"
