"""What the headers of a request tell about its way to us."""

from __future__ import annotations

from beamlens_actors import clock

_LONGEST = 600.0
_MICROSECONDS, _MILLISECONDS = 1e14, 1e11


def queue_seconds(sent: str | None) -> float | None:
    """How long a request waited, from ``X-Request-Start`` or ``X-Queue-Start``.

    Args:
        sent: When the proxy took it in, in seconds, milliseconds or microseconds since the epoch, with or without the
            ``t=`` that some put before.

    Returns:
        Seconds, 0 when the clocks disagree by less than a second; ``None`` for anything else that makes no sense.
    """
    if not sent:
        return None
    try:
        at = float(sent.removeprefix("t="))
    except ValueError:
        return None
    if at > _MICROSECONDS:
        at /= 1e6
    elif at > _MILLISECONDS:
        at /= 1e3
    waited = clock.time() - at
    if not -1.0 <= waited <= _LONGEST:
        return None
    return max(0.0, waited)
