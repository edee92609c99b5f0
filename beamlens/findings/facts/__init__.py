"""Are the numbers of a text in the evidence? Pure: no clock, no state, nothing of an agent (design D6)."""

from beamlens.findings.facts.check import Mismatch, Verdict, check
from beamlens.findings.facts.numbers import Number, read
from beamlens.findings.facts.pool import Pool
from beamlens.findings.facts.units import Unit

__all__ = ["Mismatch", "Number", "Pool", "Unit", "Verdict", "check", "read"]
