"""Watchers: agents that watch a domain continuously."""

from beamlens.watcher.actor import WatcherActor
from beamlens.watcher.sensing import Sensing

__all__ = ["Sensing", "WatcherActor"]
