"""Loads the shop as a program of its own would be, and runs it with its gateway."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Self

from beamlens.demo.faults import SHOP, Injection
from beamlens.errors import BeamlensError


def load_shop() -> ModuleType:
    """Import the shop as the top-level package ``shop``: to who watches it is a program like any other."""
    if "shop" in sys.modules:
        return sys.modules["shop"]
    spec = importlib.util.spec_from_file_location("shop", SHOP / "__init__.py", submodule_search_locations=[str(SHOP)])
    if spec is None or spec.loader is None:
        raise BeamlensError(f"the sample service is not at {SHOP}")
    module = importlib.util.module_from_spec(spec)
    sys.modules["shop"] = module
    spec.loader.exec_module(module)
    return module


class Gateway:
    """The gateway's process."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own script
            [sys.executable, "-I", str(SHOP / "gateway.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            process_group=0,  # a terminal's Ctrl-C is for the demo, which then ends its gateway
        )
        if self._process.stdin is None or self._process.stdout is None:
            raise BeamlensError("the gateway has no pipes")
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        line = self._stdout.readline()
        if not line.strip().isdigit():
            self.stop()
            raise BeamlensError("the sample service's gateway did not start")
        self.address = ("127.0.0.1", int(line))

    def set_mood(self, mood: str) -> None:
        """``well``, ``busy``, ``silent``, or ``down``: it ends."""
        if mood == "down":
            self._process.kill()
            return
        self._stdin.write(f"{mood}\n".encode())
        self._stdin.flush()

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        for stream in (self._stdin, self._stdout):
            try:
                stream.close()
            except OSError:
                continue


class Stage:
    """The shop with its gateway and a folder; all of it gone when left."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._gateway: Gateway | None = None
        self.service: Any = None
        self._settings: Any = None

    def __enter__(self) -> Self:
        load_shop()
        from shop.service import Service
        from shop.settings import Settings

        self._folder = tempfile.TemporaryDirectory(prefix="beamlens-demo-")
        try:
            self._gateway = Gateway()
            self._settings = Settings(Path(self._folder.name), self._gateway.address)
            self.service = Service(self._settings, self._seed)
            self.service.start()
        except BaseException:
            self.close()
            raise
        return self

    def inject(self, injection: Injection) -> None:
        """Let the fault begin."""
        if self._gateway is None:
            raise BeamlensError("the sample service does not run")
        if injection.variant.gateway != "well":
            self._gateway.set_mood(injection.variant.gateway)
        self.service.reload(dataclasses.replace(self._settings, **injection.changes))

    def close(self) -> None:
        """Stop all of it, the rest too if a part fails."""
        with contextlib.ExitStack() as ending:  # the last one in is the first to end
            if self._folder is not None:
                ending.callback(self._folder.cleanup)
            if self._gateway is not None:
                ending.callback(self._gateway.stop)
            if self.service is not None:
                ending.callback(self.service.stop)

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self.close()
