"""How long a look at many descriptors keeps another thread waiting: as many as the hard limit permits, half sockets."""

from __future__ import annotations

import resource

from benchmarks.overhead.stall import compare, program

_MOST = 200_000
_SPARE = 200

_SETUP = """
import os, resource, socket
_soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
held = []
while len(held) < {count}:
    held += socket.socketpair()
    held += [os.open("/dev/null", os.O_RDONLY), os.open("/dev/zero", os.O_RDONLY)]
"""
_DOMAIN = "from beamlens.domains.ports import PortsDomain\nfrom beamlens.domains.ports import table\n"

_LOOKS = {
    "no look": ("", "time.sleep(0.5)"),
    "ports.sense()": (_DOMAIN + "domain = PortsDomain(); domain.sense()", "domain.sense()"),
    "ports.snapshot()": (_DOMAIN + "domain = PortsDomain(); domain.sense()", "domain.snapshot()"),
    "ports, whole table": (_DOMAIN + "table.read(30.0)", "table.read(30.0)"),
    "os.listdir and os.readlink": ("", '[os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd")[:-1]]'),
    "psutil: open_files, net_connections": (
        "import psutil; process = psutil.Process()",
        "process.open_files(); process.net_connections()",
    ),
}


def run(rounds: int) -> None:
    """Measure and print."""
    count = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1] - _SPARE, _MOST)
    held = _SETUP.format(count=count)
    # The sockets are not closed one by one at the end.
    programs = {name: program(held + setup, work, "os._exit(0)") for name, (setup, work) in _LOOKS.items()}
    compare(f"{count:,} descriptors", programs, rounds)
