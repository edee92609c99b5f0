"""OTP's supervisor and ours through the same scenarios: what one does, the other must do.

`BEAMLENS_ORACLE_SCENARIOS` and `BEAMLENS_ORACLE_SEED` choose how many, and which.
"""

from __future__ import annotations

import logging
import os
import shutil

import pytest

from tests.support.oracle import Chance, Otp, Ours, Scenario, Seen

SCENARIOS = int(os.environ.get("BEAMLENS_ORACLE_SCENARIOS", "400"))
SEED = int(os.environ.get("BEAMLENS_ORACLE_SEED", "1"))


@pytest.fixture(scope="module")
def told() -> list[tuple[Scenario, list[Seen]]]:
    """Scenarios with what OTP does in each."""
    erl = shutil.which("erl")
    if erl is None:
        pytest.skip("engine: erl is not on the path (Debian: apt-get install erlang-base)")
    scenarios = [Chance(SEED + number).scenario() for number in range(SCENARIOS)]
    with Otp(erl) as otp:
        return list(zip(scenarios, otp.run(scenarios), strict=True))


def test_ours_does_in_every_scenario_what_otp_does(
    told: list[tuple[Scenario, list[Seen]]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    different = []
    for number, (scenario, otp) in enumerate(told):
        ours = Ours(scenario).run()
        if ours != otp:
            different.append(explain(SEED + number, scenario, otp, ours))
    assert not different, f"{len(different)} of {len(told)}:\n\n" + "\n\n".join(different[:3])


@pytest.mark.backend("threads")
def test_the_scenarios_reach_every_end_and_every_reply(told: list[tuple[Scenario, list[Seen]]]) -> None:
    steps = [step for _, seen in told for step in seen]
    replies = {str(reply) for step in steps for reply in [step[0], *step[1]] if isinstance(reply, str)}
    assert replies == {
        "already_present",
        "already_started",
        "boom",
        "dead",
        "invalid",
        "not_found",
        "ok",
        "restarting",
        "running",
    }
    # Of themselves, before the last step stops those that are left.
    assert sum(seen[-1][0] != "ok" or len(seen) < len(scenario.steps) + 2 for scenario, seen in told) > len(told) / 10
    assert any(step[0][0] == "failed" for step in steps)


def explain(seed: int, scenario: Scenario, otp: list[Seen], ours: list[Seen]) -> str:
    """The scenario up to the first step that differs."""
    first = next((at for at, (one, other) in enumerate(zip(otp, ours, strict=False)) if one != other), len(ours))
    lines = [
        f"seed {seed}: {scenario.strategy}, intensity {scenario.intensity}, auto_shutdown {scenario.auto_shutdown}",
        *map(str, scenario.specs),
    ]
    for at, step in enumerate([scenario.outcomes, *scenario.steps][: first + 1]):
        lines.append(str(step))
        if at < first:
            lines.append(f"   both: {otp[at]}")
    lines += [f"   OTP:  {otp[first : first + 1]}", f"   ours: {ours[first : first + 1]}"]
    return "\n".join(lines)
