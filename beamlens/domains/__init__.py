"""What can be watched: the contract, and the built-in domains."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from beamlens.domains.domain import Domain, callback

if TYPE_CHECKING:
    from beamlens.domains.allocator import AllocatorDomain
    from beamlens.domains.anomaly import AnomalyDomain
    from beamlens.domains.database import DatabaseDomain
    from beamlens.domains.ets import EtsDomain
    from beamlens.domains.exception import ExceptionDomain
    from beamlens.domains.gc import GcDomain
    from beamlens.domains.http_client import HttpClientDomain
    from beamlens.domains.logger import LoggerDomain
    from beamlens.domains.overload import OverloadDomain
    from beamlens.domains.ports import PortsDomain
    from beamlens.domains.requests import RequestsDomain
    from beamlens.domains.runtime import RuntimeDomain
    from beamlens.domains.sup import SupDomain
    from beamlens.domains.system import SystemDomain
    from beamlens.domains.tracer import TracerDomain
    from beamlens.domains.vm_events import VmEventsDomain

_BUILT_IN = {
    "allocator": "AllocatorDomain",
    "anomaly": "AnomalyDomain",
    "database": "DatabaseDomain",
    "ets": "EtsDomain",
    "exception": "ExceptionDomain",
    "gc": "GcDomain",
    "http_client": "HttpClientDomain",
    "logger": "LoggerDomain",
    "overload": "OverloadDomain",
    "ports": "PortsDomain",
    "requests": "RequestsDomain",
    "runtime": "RuntimeDomain",
    "sup": "SupDomain",
    "system": "SystemDomain",
    "tracer": "TracerDomain",
    "vm_events": "VmEventsDomain",
}
_MODULES = {cls: f"beamlens.domains.{name}" for name, cls in _BUILT_IN.items()}
_REQUIRED = {"database": "engine"}


def built_in_names() -> tuple[str, ...]:
    """Names of the built-in domains."""
    return tuple(sorted(_BUILT_IN))


def required_argument(name: str) -> str | None:
    """The argument without which a built-in domain cannot be made; ``None`` for most."""
    return _REQUIRED.get(name)


class _Classes(Mapping[str, type[Domain]]):
    """Imports a class when it is asked for."""

    def __getitem__(self, name: str) -> type[Domain]:
        return built_in(name)

    def __iter__(self) -> Iterator[str]:
        return iter(built_in_names())

    def __len__(self) -> int:
        return len(_BUILT_IN)


def built_in(name: str) -> type[Domain]:
    """The class of a built-in domain; raises `KeyError`. What is not used is not imported."""
    cls: type[Domain] = __getattr__(_BUILT_IN[name])
    return cls


BUILT_IN: Mapping[str, type[Domain]] = _Classes()
"""The built-in domains by name; what is not used is not imported."""


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


__all__ = [
    "BUILT_IN",
    "AllocatorDomain",
    "AnomalyDomain",
    "DatabaseDomain",
    "Domain",
    "EtsDomain",
    "ExceptionDomain",
    "GcDomain",
    "HttpClientDomain",
    "LoggerDomain",
    "OverloadDomain",
    "PortsDomain",
    "RequestsDomain",
    "RuntimeDomain",
    "SupDomain",
    "SystemDomain",
    "TracerDomain",
    "VmEventsDomain",
    "built_in",
    "built_in_names",
    "callback",
    "required_argument",
]
