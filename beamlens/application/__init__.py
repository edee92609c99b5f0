"""The application: starts an instance, and answers for it."""

from beamlens.application.coordinator import Coordinator
from beamlens.application.instance import Beamlens
from beamlens.application.instance_status import InstanceStatus
from beamlens.application.instances import running
from beamlens.application.lookup import DefaultRegistry
from beamlens.application.report import Report
from beamlens.application.specs import WatcherSpec

registry = DefaultRegistry(running)

__all__ = ["Beamlens", "Coordinator", "InstanceStatus", "Report", "WatcherSpec", "registry"]
