"""For all tests."""

from __future__ import annotations

import signal

# A shell starts its background jobs with SIGINT ignored, and what is ignored stays so in every program that a test
# starts: then Ctrl-C could not be tested in it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
