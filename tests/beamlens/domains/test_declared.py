"""What the metrics of the built-in domains say of themselves, on which the `anomaly` domain relies."""

from __future__ import annotations

import pytest

from beamlens.domains import BUILT_IN

# Words and truth values: nothing that could be compared with what is usual.
WORDS = {
    "allocator.malloc", "allocator.tracing", "database.instrumentation", "exception.by_kind", "exception.by_level",
    "exception.top_types", "http_client.by_error", "http_client.by_status", "http_client.libraries",
    "http_client.slowest_host", "overload.bottleneck_location", "overload.overload_severity", "overload.overload_type",
    "overload.recommended_action", "requests.by_status", "requests.slowest_route", "sup.largest_mailbox_actor",
    "tracer.active", "tracer.trace_spec",
}  # fmt: skip
# Any level may be right: what doubles or halves is worth a look.
FREE = {"runtime.memory_mb", "runtime.thread_count", "runtime.descriptor_count", "logger.ring_size"}
# It is left out of what it watches itself.
ITS_OWN = "anomaly"


@pytest.mark.parametrize("name", [name for name in BUILT_IN if name != ITS_OWN])
def test_each_number_of_a_built_in_domain_says_which_way_is_harmful(name):
    silent = {f"{name}.{metric.name}" for metric in BUILT_IN[name].metrics if not metric.declared}
    assert silent - WORDS - FREE == set()


@pytest.mark.parametrize("name", BUILT_IN)
def test_what_a_share_is_of_is_a_metric_of_the_same_domain(name):
    metrics = {metric.name: metric for metric in BUILT_IN[name].metrics}
    assert {metric.of for metric in metrics.values()} - {None} <= metrics.keys()
