"""Programs that nobody watches: is the cause named when an operator is asked, without a key?"""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import pytest

ASK = """
    import json, threading
    from beamlens import Beamlens, Operator
    threading.Thread(target=work, daemon=True).start()
    with Beamlens.start({arguments}) as lens:
        found = Operator.run("{domain}", {{"reason": "it grows"}}, timeout=60)
        told = Operator.message("{domain}", "what is it?")
        print(json.dumps({{
            "types": [alert.anomaly_type for alert in found],
            "models": [alert.model for alert in found],
            "hypotheses": [alert.hypothesis for alert in found],
            "lines": [piece.place.line for alert in found for piece in alert.evidence if piece.place],
            "state": told.state,
            "said": told.response.findings,
            "fired": lens.status().inbox.fired,
            "left": [child for child in lens.tree().splitlines() if ".stores" in child],
        }}))
"""
CACHE = """
    import time
    CACHE = {}
    def work():
        number = 0
        while True:
            number += 1
            CACHE[number] = bytes(100_000)  # here
            time.sleep(0.015)
"""
FILES = """
    import time
    FILES = []
    def work():
        while True:
            FILES.append(open("/dev/null"))  # here
            time.sleep(0.04)
"""
HEALTHY = """
    import time
    def work():
        while True:
            with open("/dev/null"):
                time.sleep(0.01)
"""


def asked(program, domain, tmp_path, arguments="watchers=[]"):
    """Run a program whose operator is asked; its line marked ``here``, and what it found."""
    file = tmp_path / "program.py"
    lines = textwrap.dedent(program) + textwrap.dedent(ASK).format(domain=domain, arguments=arguments)
    file.write_text(lines)
    done = subprocess.run([sys.executable, str(file)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    marked = [number for number, line in enumerate(lines.splitlines(), 1) if line.endswith("# here")]
    return marked, json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    ("program", "domain", "kind", "holder", "cause"),
    [
        (CACHE, "ets", "table_growth", "__main__.CACHE", "Memory leak"),
        (FILES, "ports", "port_count_growth", "__main__.FILES", "Descriptor leak"),
    ],
)
def test_an_operator_that_is_asked_names_the_line_and_the_holder(tmp_path, program, domain, kind, holder, cause):
    marked, found = asked(program, domain, tmp_path)
    assert found["types"] == [kind]
    assert found["models"] == ["offline"]
    assert found["lines"] == marked
    assert found["hypotheses"][0].startswith(cause)
    assert holder in found["hypotheses"][0]
    assert holder in found["said"][0]
    assert (found["state"], found["fired"], found["left"]) == ("warning", 0, [])


@pytest.mark.parametrize("domain", ["ports", "ets"])
def test_an_operator_finds_nothing_where_nothing_grows(tmp_path, domain):
    _marked, found = asked(HEALTHY, domain, tmp_path)
    assert (found["types"], found["state"]) == ([], "healthy")
