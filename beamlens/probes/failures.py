"""What a failure means: is it a dependency that fails, and which failures are the same."""

from __future__ import annotations

import re

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
        "psycopg.errors.OperationalError", "psycopg2.OperationalError", "pymysql.err.OperationalError",
        "MySQLdb.OperationalError", "django.db.utils.OperationalError", "kombu.exceptions.OperationalError",
        "pymongo.errors.PyMongoError", "pika.exceptions.AMQPError", "elastic_transport.TransportError",
        "kafka.errors.KafkaError", "grpc.RpcError", "botocore.exceptions.BotoCoreError",
        "botocore.exceptions.ClientError", "smtplib.SMTPException", "asyncio.exceptions.TimeoutError",
    }
)  # fmt: skip
# What the program itself got wrong, whatever its message speaks of: ValueError("timeout must be positive").
_OWN_MISTAKES = frozenset(
    {
        "ValueError", "TypeError", "LookupError", "AttributeError", "NameError", "ArithmeticError", "AssertionError",
        "SyntaxError", "ImportError", "MemoryError", "RecursionError", "NotImplementedError",
    }
)  # fmt: skip
_DEPENDENCY_TEXT = re.compile(
    r"connection (?:was )?(?:refused|reset|aborted|closed|timed out)|\btime(?:d[ -])?out\b|\btimed? out\b|unreachable|"
    r"name or service not known|temporary failure in name resolution|no route to host|"
    r"service (?:temporarily )?unavailable|bad gateway|gateway time-?out|remote end closed|"
    r"\b(?:http|status|code|error|responded|answered|returned|got)(?:[ _](?:code|status|with|error))*[ :=/]{1,3}"
    r"(?:1\.[01] )?50[0234]\b|\b50[0234] (?:server error|internal server)",
    re.IGNORECASE,
)
# The other side works and refuses what it was asked: 408 and 429 apart, the fault is on this side.
_REFUSED_TEXT = re.compile(
    r"\b4(?!08|29)\d\d client error|http error 4(?!08|29)\d\d|client error '4(?!08|29)\d\d", re.IGNORECASE
)
_HEX = re.compile(r"\b0x[0-9a-f]+\b|\b(?=[a-f]*\d)[0-9a-f]{8,}\b", re.IGNORECASE)
_QUOTED = re.compile(r"'[^']{0,200}'|\"[^\"]{0,200}\"")
_NUMBER = re.compile(r"\d+")
_MOST_TEXT = 500


def is_dependency_failure(error: ExceptionText) -> bool:
    """Whether an exception says that something outside of the process failed: refused, reset, timed out, 5xx.

    By its types first; then by what caused it; by its message only where the type says nothing, never for a type that
    means a mistake of the program's own.
    """
    # A certificate that is not trusted is a ValueError too.
    if "ssl.SSLError" in error.bases:
        return True
    if not _OWN_MISTAKES.isdisjoint(error.bases):
        return not _DEPENDENCY_TYPES.isdisjoint(_chained_types(error))
    if not _DEPENDENCY_TYPES.isdisjoint(error.bases):
        return _REFUSED_TEXT.search(error.message[:_MOST_TEXT]) is None
    return not _DEPENDENCY_TYPES.isdisjoint(_chained_types(error)) or text_says_dependency(error.message)


def _chained_types(error: ExceptionText) -> list[str]:
    return [text.partition(":")[0] for text in error.chain]


def text_says_dependency(text: str) -> bool:
    """Whether a message speaks of a dependency that fails."""
    return _DEPENDENCY_TEXT.search(text[:_MOST_TEXT]) is not None


def template(text: str) -> str:
    """A message without what differs from one to the next: numbers, hex, quoted text."""
    return _NUMBER.sub("#", _HEX.sub("#", _QUOTED.sub("'..'", text[:300])))
