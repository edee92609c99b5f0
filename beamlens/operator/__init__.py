"""Operators: agents that look into a domain when asked."""

from beamlens.operator.actor import OperatorActor
from beamlens.operator.lending import Lender, Lent, StartStores, lend, stores
from beamlens.operator.requests import Invoke, OperatorComplete, OperatorNotification, Say, send

__all__ = [
    "Invoke",
    "Lender",
    "Lent",
    "OperatorActor",
    "OperatorComplete",
    "OperatorNotification",
    "Say",
    "StartStores",
    "lend",
    "send",
    "stores",
]
