"""Domain `ets`: the in-memory tables of this process."""

from beamlens.domains.ets.domain import EtsDomain

__all__ = ["EtsDomain"]
