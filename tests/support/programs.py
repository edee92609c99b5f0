"""Programs that go wrong in one way, each with its truth: the line marked ``# here``."""

from __future__ import annotations

MEMORY = {
    "global list": """
        import threading
        HELD = []
        def work(stop):
            while not stop.wait(0.01):
                HELD.append(bytes(20_000) + b"x")  # here
    """,
    "attribute of an instance": """
        class Cache:
            def __init__(self):
                self.entries = {}
            def put(self, key, value):
                self.entries[key] = value  # here
        CACHE = Cache()
        def work(stop):
            number = 0
            while not stop.wait(0.01):
                number += 1
                CACHE.put(number, "x" * 20_000 + str(number))
    """,
    "lists in a dict": """
        import collections
        class History:
            def __init__(self):
                self.by_user = collections.defaultdict(list)
            def remember(self, user, what):
                seen = self.by_user[user]
                seen.append(what)  # here
        HISTORY = History()
        def work(stop):
            number = 0
            while not stop.wait(0.01):
                number += 1
                HISTORY.remember(number % 7, "y" * 20_000 + str(number))
    """,
    "closure": """
        def make():
            kept = []
            def keep(value):
                kept.append(value)  # here
            return keep
        keep = make()
        def work(stop):
            number = 0
            while not stop.wait(0.01):
                number += 1
                keep("z" * 20_000 + str(number))
    """,
    "unbounded functools cache": """
        import functools
        @functools.lru_cache(maxsize=None)  # here
        def page(number):
            return "p" * 20_000 + str(number)
        def work(stop):
            number = 0
            while not stop.wait(0.01):
                number += 1
                page(number)
    """,
    "local variable of a running function": """
        def work(stop):
            results = []
            number = 0
            while not stop.wait(0.01):
                number += 1
                results.append("r" * 20_000 + str(number))  # here
    """,
    "queue without consumer": """
        import queue
        class Mailer:
            def __init__(self):
                self.outbox = queue.Queue()
            def send(self, text):
                self.outbox.put(text)  # here
        MAILER = Mailer()
        def work(stop):
            number = 0
            while not stop.wait(0.01):
                number += 1
                MAILER.send("m" * 20_000 + str(number))
    """,
    "attribute in a coroutine": """
        import asyncio
        class Server:
            def __init__(self):
                self.sessions = {}
            async def handle(self, number):
                self.sessions[number] = "s" * 20_000 + str(number)  # here
        async def serve(stop):
            server, number = Server(), 0
            while not stop.is_set():
                number += 1
                await server.handle(number)
                await asyncio.sleep(0.01)
        def work(stop):
            asyncio.run(serve(stop))
    """,
    "class attribute": """
        class Registry:
            known = set()
            @classmethod
            def add(cls, value):
                cls.known.add(value)  # here
        def work(stop):
            number = 0
            while not stop.wait(0.01):
                number += 1
                Registry.add("k" * 20_000 + str(number))
    """,
}

DESCRIPTORS = {
    "files in a list": """
        OPEN = []
        def work(stop):
            while not stop.wait(0.05):
                handle = open("/dev/null")  # here
                OPEN.append(handle)
        def close():
            for handle in OPEN:
                handle.close()
    """,
    "sockets by a helper": """
        import socket
        class Pool:
            def __init__(self):
                self.idle = []
            def connect(self):
                return socket.socket()  # here
            def keep(self):
                connection = self.connect()
                self.idle.append(connection)
        POOL = Pool()
        def work(stop):
            while not stop.wait(0.05):
                POOL.keep()
        def close():
            for connection in POOL.idle:
                connection.close()
    """,
    "inside objects": """
        class Report:
            def __init__(self):
                self.file = open("/dev/null")
        REPORTS = {}
        def work(stop):
            number = 0
            while not stop.wait(0.05):
                number += 1
                REPORTS[number] = Report()  # here
        def close():
            for report in REPORTS.values():
                report.file.close()
    """,
}

THREADS = {
    "a lock": """
        import threading
        LOCK = threading.Lock()
        def one():
            with LOCK:  # here
                pass
        def work(stop):
            with LOCK:
                while not stop.wait(0.05):
                    threading.Thread(target=one, daemon=True).start()
    """,
    "an event": """
        import threading
        READY = threading.Event()
        def one():
            READY.wait()  # here
        def work(stop):
            while not stop.wait(0.05):
                threading.Thread(target=one, daemon=True).start()
            READY.set()
    """,
}

SOCKETS_HELD_BY_THREADS = """
    import socket, threading
    HELD = set()
    READY = threading.Event()
    def one():
        with socket.socket() as connection:
            HELD.add(connection)
            READY.wait()  # here
    def work(stop):
        started = []
        while not stop.wait(0.05):
            started.append(threading.Thread(target=one, daemon=True))
            started[-1].start()
        READY.set()
        for thread in started:
            thread.join()
"""

GIL = {
    "a python loop": """
        def score(rows):
            total = 0
            for row in rows:
                total += sum(value * value for value in row)  # here
            return total
        ROWS = [list(range(200)) for _ in range(200)]
        def work(stop):
            while not stop.is_set():
                score(ROWS)
    """,
    "a regular expression": """
        import re
        SLOW = re.compile(r"(a+)+b")
        def matches(text):
            return SLOW.match(text) is not None  # here
        def work(stop):
            while not stop.wait(0.001):
                matches("a" * 21)
    """,
}
