"""Domain `logger`: what the host logs."""

from beamlens.domains.logger.domain import LoggerDomain
from beamlens.domains.logger.store import LogStore

__all__ = ["LogStore", "LoggerDomain"]
