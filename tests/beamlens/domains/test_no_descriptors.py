"""A process that has run out of descriptors is the one that most needs to be looked into."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

PROGRAM = """
import gc, json, os, resource, sys, threading, traceback

from beamlens.detect import SensorState
from beamlens.domains import built_in, built_in_names, required_argument
from beamlens_supervision import Supervisor


def state(sensor):
    data = {"value": 5.0, "grown": 50.0, "rate_per_s": 1.0, "seconds": 10.0}
    return SensorState(sensor.name, sensor.metric, sensor.name, "critical", "grows", 0.0, 0.0, data)


def asks(domain):
    yield {"sense": domain.sense, "snapshot": domain.snapshot, "excerpt": domain.excerpt, **domain.callbacks()}
    for sensor in domain.all_sensors():
        yield {"evidence of " + sensor.name: lambda sensor=sensor: domain.evidence(state(sensor))}


def look(name, asked):
    for what, ask in asked.items():
        try:
            got = ask()
        except BaseException:
            failed.append([name, what, traceback.format_exc()])
        else:
            count.append(what)
            if isinstance(got, dict) and got.get("error") == "failed":
                failed.append([name, what, got["message"]])


failed, count = [], []
gc.disable()
domains = {name: built_in(name)() for name in built_in_names() if required_argument(name) is None}
supervisors = [Supervisor.start(domain.children()) for domain in domains.values()]
for domain in domains.values():
    domain.sense()
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
held, loaded = [], set(sys.modules)
try:
    while True:
        held.append(os.dup(0))
except OSError:
    pass
looking = [
    threading.Thread(target=look, args=(name, asked)) for name, domain in domains.items() for asked in asks(domain)
]
for thread in looking:
    thread.start()
for thread in looking:
    thread.join()
new = sorted(set(sys.modules) - loaded)
for descriptor in held:
    os.close(descriptor)
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
for domain in domains.values():
    domain.close()
for supervisor in supervisors:
    supervisor.stop()
print(json.dumps({"failed": failed, "imported": new, "asked": len(count), "domains": len(domains)}))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs RLIMIT_NOFILE")
def test_without_a_descriptor_every_domain_is_sensed_explained_and_answers_its_callbacks():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=120)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["failed"] == []
    assert found["imported"] == []
    assert found["domains"] >= 15
    assert found["asked"] >= 100
