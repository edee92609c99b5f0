from __future__ import annotations

import pytest

from beamlens.metrics import Metric


@pytest.mark.parametrize(
    ("metric", "harm"),
    [
        (Metric("m"), "both"),
        (Metric("m", high=1), "up"),
        (Metric("m", critical=1), "up"),
        (Metric("m", low=1), "down"),
        (Metric("m", low=1, high=2), "both"),
        (Metric("m", high=1, direction="none"), "none"),
    ],
)
def test_thresholds_say_which_way_is_harmful_unless_it_is_declared(metric, harm):
    assert metric.harm == harm


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"kind": "histogram"}, "metric m: kind='histogram'; the choices are: gauge, counter"),
        ({"direction": "left"}, "metric m: direction='left'; the choices are: up, down, both, none"),
    ],
)
def test_what_is_no_choice_is_refused_with_the_choices(wrong, text):
    with pytest.raises(ValueError, match=text):
        Metric("m", **wrong)


def test_the_least_change_that_matters_is_declared_or_the_units():
    assert Metric("m", "ms").least_change == 10.0
    assert Metric("m", "ms", matters=0).least_change == 0
    assert Metric("m", "orders").least_change == 0.0
