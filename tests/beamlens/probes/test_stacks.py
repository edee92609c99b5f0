from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import threading
from beamlens.probes import stacks

def look():
    print([stack.name for stack in stacks.look() if stack.place is not None])

def main():
    looking = threading.Thread(target=look)
    looking.start()
    looking.join()

main()
"""


def test_the_main_thread_of_a_program_is_seen_under_beamlens_run_too(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, "-m", "beamlens", "run", "--watchers", "logger", "--", str(tmp_path / "program.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0] == "['MainThread']"
