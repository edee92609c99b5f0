"""The `anomaly` domain: what is unusual in the metrics of all other domains."""

from beamlens.domains.anomaly.domain import AnomalyDomain

__all__ = ["AnomalyDomain"]
