"""The actor that owns what is installed in the collector."""

from __future__ import annotations

from typing import Any

from beamlens.domains.gc.recorder import GcRecorder
from beamlens.domains.store import Store

_SELDOM, _USUAL, _OFTEN = 2.0, 0.5, 0.1
_FEW, _MANY = 20, 300


class _Drain:
    pass


class GcStore(Store):
    """Installs the tap, and empties its ring before it overflows: the oftener the busier the collector is.

    At an orderly end the callbacks are taken out; after a crash they stay, and the restarted store takes them over.
    """

    def __init__(self, recorder: GcRecorder) -> None:
        super().__init__(recorder)
        self._gc = recorder

    def on_start(self) -> None:
        """Install, and begin to drain."""
        super().on_start()
        self.send_after(_USUAL, _Drain())

    def on_receive(self, message: Any) -> None:
        """Drain, and again."""
        if isinstance(message, _Drain):
            found = self._gc.drain()
            self.send_after(_OFTEN if found >= _MANY else _SELDOM if found < _FEW else _USUAL, message)
