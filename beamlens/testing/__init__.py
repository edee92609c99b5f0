"""What users test with: a client that follows a script, and a check of their own domains."""

from beamlens.testing.domains import check_domain
from beamlens.testing.scripted import ScriptedClient, streamed, tool

__all__ = ["ScriptedClient", "check_domain", "streamed", "tool"]
