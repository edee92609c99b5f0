"""Operators: agents that look into a domain when asked."""

from beamlens.operator.actor import OperatorActor

__all__ = ["OperatorActor"]
