"""Runs `beamlens demo --json` over faults and seeds and compares what was found with the truth.

``python -m tests.support.demo_matrix [--seeds 10] [--healthy 20]``; the exit code is 1 when one differs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time


def run(*arguments):
    """One run: its result, its exit code, its seconds."""
    began = time.monotonic()
    command = [sys.executable, "-m", "beamlens", "demo", "--json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    seconds = time.monotonic() - began
    try:
        return json.loads(done.stdout.splitlines()[-1]), done.returncode, seconds
    except (IndexError, ValueError):
        return {"error": done.stderr[-500:]}, done.returncode, seconds


def judge(result, code, seconds):
    """What is wrong with a run, or an empty text."""
    if code or "error" in result:
        return f"exit code {code}: {result.get('error', '')}"
    if seconds >= 30:
        return f"took {seconds:.1f} s"
    if doubtful := [alert["observation"] for alert in result["alerts"] if alert["numbers_verified"] is not True]:
        return f"alerts whose numbers were not found: {doubtful}"
    truth, cause = result["truth"], result["cause"]
    if truth is None:
        return f"alerts: {[alert['observation'] for alert in result['alerts']]}" if result["alerts"] else ""
    if cause is None:
        return "no cause was named"
    place = cause["place"] or {}
    if (cause["kind"], place.get("file"), place.get("line")) != (truth["kind"], truth["file"], truth["line"]):
        return f"{cause['confidence']} confidence in {cause['kind']} at {place}, truth {truth}"
    return ""


def faults():
    """Names of the faults."""
    command = [sys.executable, "-m", "beamlens", "demo", "--list", "--json"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return [json.loads(line)["name"] for line in lines]


def main():
    """Run the matrix."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--healthy", type=int, default=20)
    options = parser.parse_args()
    runs = [("--fault", name, "--seed", str(seed)) for name in faults() for seed in range(1, options.seeds + 1)]
    runs += [("--no-fault", "--seed", str(seed)) for seed in range(1, options.healthy + 1)]
    wrong = confident = 0
    for arguments in runs:
        result, code, seconds = run(*arguments)
        problem = judge(result, code, seconds)
        wrong += bool(problem)
        cause = result.get("cause")
        confident += bool(problem and cause and cause["confidence"] == "high")
        confidence = cause["confidence"] if cause else "-"
        what = result.get("fault") or "healthy"
        verdict = "WRONG" if problem else "ok"
        line = " ".join(arguments)
        print(f"{verdict:5} {what:28} {line:44} {confidence:6} {seconds:5.1f} s {problem}", flush=True)
    print(f"{len(runs) - wrong} of {len(runs)} as they should be; wrong with high confidence: {confident}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
