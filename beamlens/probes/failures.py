"""What a failure means: is it a dependency that fails, and which failures are the same."""

from __future__ import annotations

import re
from collections.abc import Iterable

from beamlens.probes.exceptions import ExceptionText

_DEPENDENCY_TYPES = frozenset(
    {
        "ConnectionError", "ConnectionRefusedError", "ConnectionResetError", "ConnectionAbortedError",
        "BrokenPipeError", "TimeoutError", "socket.timeout", "socket.gaierror", "socket.herror", "ssl.SSLError",
        "urllib.error.URLError", "urllib.error.HTTPError", "http.client.HTTPException",
        "requests.exceptions.RequestException", "urllib3.exceptions.HTTPError", "httpx.HTTPError",
        "httpcore.NetworkError", "httpcore.TimeoutException", "aiohttp.client_exceptions.ClientError",
        "redis.exceptions.ConnectionError", "redis.exceptions.TimeoutError",
        "sqlalchemy.exc.OperationalError", "sqlalchemy.exc.TimeoutError", "psycopg.OperationalError",
        "psycopg2.OperationalError", "pymongo.errors.PyMongoError", "pika.exceptions.AMQPError",
        "kafka.errors.KafkaError", "grpc.RpcError", "botocore.exceptions.BotoCoreError",
        "botocore.exceptions.ClientError", "smtplib.SMTPException", "asyncio.exceptions.TimeoutError",
    }
)  # fmt: skip
_DEPENDENCY_TEXT = re.compile(
    r"connection (?:refused|reset|aborted|closed|timed out)|timed? ?out|unreachable|name or service not known|"
    r"temporary failure in name resolution|no route to host|service unavailable|bad gateway|gateway timeout|"
    r"\b50[0234]\b|remote end closed",
    re.IGNORECASE,
)
_HEX = re.compile(r"\b0x[0-9a-f]+\b|\b[0-9a-f]{8,}\b", re.IGNORECASE)
_QUOTED = re.compile(r"'[^']{0,200}'|\"[^\"]{0,200}\"")
_NUMBER = re.compile(r"\d+")


def is_dependency_failure(error: ExceptionText) -> bool:
    """Whether an exception says that something outside of the process failed: refused, reset, timed out, 5xx."""
    if any(base in _DEPENDENCY_TYPES for base in error.bases):
        return True
    if "OSError" in error.bases and _DEPENDENCY_TEXT.search(error.message):
        return True
    causes = (text.partition(":")[0] for text in error.chain)
    return any(cause in _DEPENDENCY_TYPES for cause in causes) or _says_dependency([error.message])


def _says_dependency(texts: Iterable[str]) -> bool:
    return any(_DEPENDENCY_TEXT.search(text[:500]) for text in texts)


def text_says_dependency(text: str) -> bool:
    """Whether a message speaks of a dependency that fails."""
    return _says_dependency([text])


def template(text: str) -> str:
    """A message without what differs from one to the next: numbers, hex, quoted text."""
    return _NUMBER.sub("#", _HEX.sub("#", _QUOTED.sub("'..'", text[:300])))
