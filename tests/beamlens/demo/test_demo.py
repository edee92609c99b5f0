from __future__ import annotations

import pytest

from beamlens.demo import FAULTS, choose
from beamlens.demo.faults import marks
from beamlens.errors import ConfigError
from beamlens.evidence import Place
from tests.support.demo_matrix import judge, run


def test_every_variant_has_exactly_one_marked_line():
    wanted = {f"{fault.name}/{variant.name}" for fault in FAULTS for variant in fault.variants}
    assert set(marks()) == wanted
    assert all(isinstance(place, Place) for place in marks().values())


def test_a_seed_gives_the_same_parameters_again_and_another_one_others():
    first, again, other = (choose("cache-leak", seed).changes for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_without_a_name_the_seed_chooses_the_fault():
    assert {choose(None, seed).fault.name for seed in range(len(FAULTS))} == {fault.name for fault in FAULTS}


def test_an_unknown_fault_is_named_with_the_choices():
    with pytest.raises(ConfigError, match="the faults are: cache-leak"):
        choose("nope", 1)


# Two of them, one of memory and one of errors: all of them with ten seeds each are `nox -s scenarios`.
@pytest.mark.parametrize("name", ["cache-leak", "failing-dependency"])
def test_the_cause_of_a_fault_is_named_with_its_line(name):
    result, code, seconds = run("--fault", name, "--seed", "1")
    assert judge(result, code, seconds) == ""


def test_a_healthy_service_gets_no_alert():
    result, code, seconds = run("--no-fault", "--seed", "1")
    assert judge(result, code, seconds) == ""
    assert (result["truth"], result["cause"], result["alerts"]) == (None, None, [])
