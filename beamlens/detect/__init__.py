"""Streaming detectors: they run every few seconds without any model, and wake a watcher when something is off."""

from beamlens.detect.bank import SensorBank
from beamlens.detect.gate import Alarm, AlertGate
from beamlens.detect.growth import Growth
from beamlens.detect.sensors import Detector, Reading, Sensor, SensorState, Severity
from beamlens.detect.shift import Shift
from beamlens.detect.streaming import StreamingDetector
from beamlens.detect.threshold import Threshold
from beamlens.detect.told import Told

__all__ = [
    "Alarm",
    "AlertGate",
    "Detector",
    "Growth",
    "Reading",
    "Sensor",
    "SensorBank",
    "SensorState",
    "Severity",
    "Shift",
    "StreamingDetector",
    "Threshold",
    "Told",
]
