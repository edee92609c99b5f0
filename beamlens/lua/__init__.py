"""Lua in a box: code that a model wrote, run where it can do no harm."""

from beamlens.lua.errors import LuaError
from beamlens.lua.sandbox import Sandbox

__all__ = ["LuaError", "Sandbox"]
