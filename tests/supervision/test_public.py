from __future__ import annotations

import types

import beamlens_supervision
from beamlens_supervision import SupervisionError, errors


def test_all_is_sorted_and_is_what_is_there() -> None:
    public = [
        name
        for name, value in vars(beamlens_supervision).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    ]
    # `tree` is a function and the module it is in.
    assert sorted({*public, "tree"}) == beamlens_supervision.__all__


def test_every_error_has_the_base_and_is_drawn() -> None:
    own = [value for value in vars(errors).values() if isinstance(value, type) and value.__module__ == errors.__name__]
    assert all(issubclass(error, SupervisionError) for error in own)
    assert all(error.__name__ in (errors.__doc__ or "") for error in own)
