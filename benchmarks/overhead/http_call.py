"""What an outgoing HTTP call costs the host: requests and httpx, bare, watched, with each peer that is installed.

Most of a call is the kernel and the other side, and differs from one moment to the next. So what the taps add to the
caller's own thread is measured apart: its CPU time, in one process in which they are put in and taken out in turns.
"""

from __future__ import annotations

from benchmarks.measure import in_turns, spread
from benchmarks.overhead.hot_path import EXIT_AT_ONCE, HotPath, Side

_SERVER = """
import socket, threading

ANSWER = b"HTTP/1.1 200 OK\\r\\nContent-Length: 5\\r\\n\\r\\nhello"

def serve(connection):
    while connection.recv(65536):
        connection.sendall(ANSWER)

def accept(listener):
    while True:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=serve, args=(connection,), daemon=True).start()

listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=accept, args=(listener,), daemon=True).start()
url = f"http://127.0.0.1:{listener.getsockname()[1]}/orders/17"
"""
_REQUESTS = """
import requests
session = requests.Session()

def once(number):
    session.get(url, timeout=5).content
"""
_HTTPX = """
import httpx
client = httpx.Client()

def once(number):
    client.get(url).content
"""
_BEAMLENS = 'from beamlens import Beamlens\nlens = Beamlens.start(watchers=["http_client"])\n'
_OTEL = (
    "from opentelemetry.sdk.trace import TracerProvider\n"
    "from opentelemetry.instrumentation.{name} import {instrumentor}\n"
    "{instrumentor}().instrument(tracer_provider=TracerProvider(), skip_dep_check=True)\n"
)
# It wraps http.client, and httpx where that is imported, at its init.
_SENTRY = "import {name}, sentry_sdk\nsentry_sdk.init(dsn='http://key@127.0.0.1:9/1', traces_sample_rate={rate})\n"


def _measure(name: str, operation: str, instrumentor: str) -> HotPath:
    return HotPath(
        title=f"GET by {name} on a kept connection over loopback, 5 bytes",
        operation=operation,
        sides={
            "bare": Side(_SERVER),
            # The libraries are imported by then: taps are put in at the start.
            "beamlens": Side(f"{_SERVER}import {name}\n{_BEAMLENS}", "lens.stop()"),
            "opentelemetry": Side(
                _SERVER + _OTEL.format(name=name, instrumentor=instrumentor),
                EXIT_AT_ONCE,
                f"opentelemetry.instrumentation.{name}",
            ),
            "sentry-sdk": Side(_SERVER + _SENTRY.format(name=name, rate="None"), EXIT_AT_ONCE, "sentry_sdk"),
            "sentry traces": Side(_SERVER + _SENTRY.format(name=name, rate="1.0"), EXIT_AT_ONCE, "sentry_sdk"),
        },
        count=1000,
    )


_MEASURES = (
    _measure("requests", _REQUESTS, "RequestsInstrumentor"),
    _measure("httpx", _HTTPX, "HTTPXClientInstrumentor"),
)


_CPU = """
import json, time
from beamlens.domains.http_client.recorder import CallRecorder
recorder = CallRecorder()
def block():
    began = time.thread_time()
    for number in range(20):
        once(number)
    return (time.thread_time() - began) / 20 * 1e6
bare, tapped = [], []
for _ in range(150):
    bare.append(block())
    recorder.install()
    tapped.append(block())
    recorder.uninstall()
# The tenth least: what else runs on the machine only ever adds to it.
bare, tapped = sorted(bare)[15], sorted(tapped)[15]
print(json.dumps({"bare": bare, "added": tapped - bare, "percent": 100 * (tapped - bare) / bare}))
import os
os._exit(0)
"""


def run(rounds: int) -> None:
    """Measure both libraries."""
    for measure in _MEASURES:
        measure.run(rounds)
    sides = {"requests": _SERVER + _REQUESTS + _CPU, "httpx": _SERVER + _HTTPX + _CPU}
    print(f"CPU time of the caller's thread, taps out and in by turns, {rounds} processes each; us a call:")
    for name, rows in in_turns(sides, rounds).items():
        bare, added, percent = (spread([row[key] for row in rows]) for key in ("bare", "added", "percent"))
        print(f"  {name:10} bare {bare}; added {added}, which is {percent} %")
