"""Every test runs on both backends unless it is marked for one."""

from tests.support.backends import *  # noqa: F403 - fixtures and hooks are found by their names here
