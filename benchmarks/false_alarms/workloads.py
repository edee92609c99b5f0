"""Healthy processes that are busy in different ways: programs that `record` runs, with all built-in domains watched."""

from __future__ import annotations

_LOAD = """
import json, logging, math, os, queue, random, sqlite3, sys, tempfile, threading, time
log = logging.getLogger("shop")
log.setLevel(logging.INFO)
log.addHandler(logging.NullHandler())
chance = random.Random({seed})
database = sqlite3.connect(":memory:", check_same_thread=False)
database.execute("create table orders (id integer primary key, body text)")
cache, guard = {{}}, threading.Lock()

from beamlens.integrations.wsgi import WSGIMiddleware

def application(environ, start_response):
    "What a small service does: parses, asks its database and its cache, logs; now and then refuses."
    body = json.dumps({{"items": [chance.random() for _ in range(chance.randrange(5, 200))]}})
    with guard:
        database.execute("insert into orders (body) values (?)", (body,))
        database.execute("delete from orders where id < (select max(id) from orders) - 500")
        list(database.execute("select * from orders order by id desc limit 5"))
    cache[chance.randrange(2000)] = body
    log.info("order of %d bytes", len(body))
    if chance.random() < 0.01:
        try:
            raise ValueError("no such article")
        except ValueError:
            log.warning("order refused", exc_info=True)
    if chance.random() < 0.002:
        log.error("payment not possible")
    if chance.random() < 0.05:
        with tempfile.TemporaryFile() as file:
            file.write(body.encode())
            time.sleep(chance.random() * 0.2)
    start_response("200 OK", [])
    return [body.encode()]

application = WSGIMiddleware(application)

def request():
    environ = {{"REQUEST_METHOD": "POST", "PATH_INFO": "/orders"}}
    for _ in application(environ, lambda status, headers: None):
        pass

def serve(rate):
    "Requests at random times, at a rate that `rate` gives for the seconds since the start."
    began = time.monotonic()
    jobs = queue.Queue()
    def work():
        while True:
            jobs.get()
            request()
    for _ in range(4):
        threading.Thread(target=work, daemon=True).start()
    while True:
        jobs.put(None)
        time.sleep(chance.expovariate(max(0.2, rate(time.monotonic() - began))))
"""

_BODIES = {
    "idle": "threading.Event().wait()",
    # A day is `day` seconds of the recording; least at its beginning.
    "load waves": "serve(lambda t: 15 - 12 * math.cos(2 * math.pi * t / {day}))",
    # Restarted by `record`; each process begins with empty caches.
    "deploys": "serve(lambda t: 10)",
    # A small job every hour, a large one twice a day.
    "batch jobs": """
def job(size):
    rows = [{{"id": n, "value": chance.random()}} for n in range(size)]
    rows.sort(key=lambda row: row["value"])
    with tempfile.TemporaryFile() as file:
        for row in rows:
            file.write(json.dumps(row).encode())
    log.info("job of %d rows done", size)

def jobs():
    hours = 0
    while True:
        time.sleep({day} / 24)
        hours += 1
        job(200_000 if hours % 12 == 0 else 20_000)

threading.Thread(target=jobs, daemon=True).start()
serve(lambda t: 5)
""",
    "gc-heavy": """
class Node:
    def __init__(self, before):
        self.before, self.self = before, self

def churn():
    while True:
        nodes = None
        for _ in range(chance.randrange(200, 5000)):
            nodes = Node(nodes)
        time.sleep(chance.random() * 0.1)

threading.Thread(target=churn, daemon=True).start()
serve(lambda t: 5)
""",
}

NAMES = tuple(_BODIES)
RESTARTS = {"deploys": 6}
"""Processes one after the other in a recording, where there is more than one."""


def program(name: str, seed: int, day: float) -> str:
    """Source of a workload, which never ends.

    Args:
        name: One of `NAMES`.
        seed: For its random numbers.
        day: Seconds of the recording that stand for a day.
    """
    return (_LOAD + _BODIES[name]).format(seed=seed, day=day)
