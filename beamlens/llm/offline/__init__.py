"""The analyst that needs no model: rules over what the domains declare and the detectors say."""

from beamlens.llm.offline.analyst import OfflineAnalyst

__all__ = ["OfflineAnalyst"]
