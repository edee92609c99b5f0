from __future__ import annotations

import importlib.util
import queue
import sys
import textwrap
import threading

import pytest

from beamlens.probes import owners

PROGRAMS = {
    "accepted into a list": """
        import socket
        SESSIONS = []
        def work(ready, stop):
            with socket.create_server(("127.0.0.1", 0)) as listener:
                clients = [socket.create_connection(listener.getsockname()) for _ in range(3)]
                for _ in clients:
                    conn, _peer = listener.accept()  # here
                    SESSIONS.append(conn)
                ready.put({conn.fileno() for conn in SESSIONS})
                stop.wait()
                for one in (*clients, *SESSIONS):
                    one.close()
    """,
    "a variable of a thread": """
        import socket
        def work(ready, stop):
            left, right = socket.socketpair()
            with left, right:
                ready.put({left.fileno(), right.fileno()})
                stop.wait()  # here
    """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_who_holds_a_descriptor_is_told_with_the_line(tmp_path, name):
    file = tmp_path / f"owning_{list(PROGRAMS).index(name)}.py"
    file.write_text(textwrap.dedent(PROGRAMS[name]))
    line = next(n for n, text in enumerate(file.read_text().splitlines(), 1) if "# here" in text)
    spec = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module
    spec.loader.exec_module(module)
    ready, stop = queue.Queue(), threading.Event()
    thread = threading.Thread(target=module.work, args=(ready, stop))
    thread.start()
    try:
        numbers = ready.get(timeout=10)
        (owner,) = owners.find(numbers)
    finally:
        stop.set()
        thread.join()
        del sys.modules[file.stem]
    assert owner.held == numbers
    assert (owner.place.file, owner.place.line) == (str(file), line), owner
    assert owner.exact
    assert f"holds {len(numbers)} of them" in owner.describe()


def test_what_nobody_holds_has_no_owner():
    assert owners.find({987_654}) == []
