"""What the `ports` domain measures, and when it is worth a look."""

from __future__ import annotations

from functools import partial

from beamlens.detect import Growth, Reading, Sensor, Threshold
from beamlens.domains.ports.watch import STALE, descriptor_limit
from beamlens.metrics import Metric

METRICS: tuple[Metric, ...] = (
    Metric("port_count", "descriptors", description="open descriptors", direction="up", matters=50),
    Metric("port_limit", "descriptors", description="the limit of open descriptors, RLIMIT_NOFILE", direction="none"),
    Metric(
        "port_utilization_pct",
        "%",
        description="of the limit; the domain runtime has the threshold",
        direction="up",
        matters=10,
    ),
    Metric(
        "minutes_to_limit",
        "min",
        description="until the limit, by the growth of the last minutes",
        direction="none",
    ),
    Metric("files", "descriptors", description="descriptors that are files", direction="up", matters=50),
    Metric("sockets", "descriptors", description="descriptors that are sockets", direction="up", matters=50),
    Metric("pipes", "descriptors", description="descriptors that are pipes", direction="up", matters=50),
    Metric("others", "descriptors", description="eventfd, epoll, memfd, timers and others", direction="up", matters=50),
    Metric("tcp_established", "sockets", description="open TCP connections", direction="up", matters=50),
    Metric("tcp_listening", "sockets", description="listening TCP sockets", direction="none"),
    Metric(
        "close_wait", "sockets", description="the peer closed, this process has not yet", direction="up", matters=20
    ),
    Metric(
        "close_wait_stale",
        "sockets",
        description=f"the same for {STALE:g} s or longer: forgotten",
        direction="up",
        matters=20,
    ),
    Metric(
        "time_wait",
        "sockets",
        description="TIME_WAIT in the whole network namespace; normal in itself",
        direction="none",
    ),
    Metric(
        "listen_backlog_pct", "%", high=80, description="fullest accept queue of its own listening sockets", matters=30
    ),
    Metric(
        "listen_overflows_per_s",
        "connections/s",
        high=1,
        description="connections that found a full accept queue, of the whole network namespace",
    ),
    Metric(
        "ephemeral_used_pct", "%", high=70, critical=90, description="local ports used up by connections to one peer"
    ),
    Metric(
        "send_queue_kb",
        "KB",
        description="written and not acknowledged by peers, all sockets",
        direction="up",
        matters=1000,
    ),
    Metric(
        "receive_queue_kb",
        "KB",
        description="received and not read by this process, all sockets",
        direction="up",
        matters=1000,
    ),
    Metric(
        "deleted_mb", "MB", description="disk space of deleted files that are still open", direction="up", matters=100
    ),
)

# Pools keep connections that the server has closed until they want to use them: some dozen, and it ends.
_CLOSE_WAIT = 20.0
_NEAR = 600.0
_USED = 0.8
_SEND_MB, _RECEIVE_MB, _DELETED_MB = 16.0, 8.0, 256.0


class NearLimit:
    """Steady growth of descriptors that ends soon: within ten minutes at this pace, or beyond 80 % of the limit.

    Growth as such is told by the domain `runtime`; this says that it becomes an outage.
    """

    def __init__(self) -> None:
        self._growth = Growth(least=30.0, unit="descriptors", limit=descriptor_limit, what="open descriptors")

    def update(self, timestamp: float, value: float) -> Reading:
        """See `beamlens.detect.Detector.update`."""
        reading = self._growth.update(timestamp, value)
        limit = reading.data.get("limit")
        if limit is None or (reading.data["seconds_to_limit"] > _NEAR and value < _USED * limit):
            return Reading(active=False)
        return reading


_close_wait = partial(
    Growth, least=_CLOSE_WAIT, unit="sockets", limit=descriptor_limit, what="the number of sockets left in CLOSE_WAIT"
)

SENSORS: tuple[Sensor, ...] = (
    Sensor("close_wait_growth", "close_wait_stale", _close_wait, "close_wait_leak"),
    Sensor("close_wait_growth_slow", "close_wait_stale", partial(_close_wait, bucket=60.0), "close_wait_leak"),
    Sensor(
        "close_wait_many",
        "close_wait_stale",
        partial(Threshold, Metric("close_wait_stale", "sockets", high=200), lasting=10.0),
        "close_wait_leak",
    ),
    Sensor("descriptor_exhaustion", "port_count", NearLimit),
    Sensor(
        "send_queue_growth",
        "send_queue_mb",
        partial(Growth, least=_SEND_MB, unit="MB", what="what waits in send buffers"),
    ),
    Sensor(
        "receive_queue_growth",
        "receive_queue_mb",
        partial(Growth, least=_RECEIVE_MB, unit="MB", what="what waits in receive buffers"),
    ),
    Sensor(
        "deleted_files_growth",
        "deleted_mb",
        partial(Growth, least=_DELETED_MB, unit="MB", what="disk space of deleted files that are open"),
    ),
)
