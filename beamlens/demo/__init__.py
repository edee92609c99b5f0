"""The demo: a faulty sample service, watched."""

from beamlens.demo.faults import FAULTS, Fault, Injection, choose
from beamlens.demo.runner import DemoResult, run_demo

__all__ = ["FAULTS", "DemoResult", "Fault", "Injection", "choose", "run_demo"]
