"""What went wrong with a call of a provider's API: which kind, in words, and whether to try again.

The SDKs of Anthropic and OpenAI come from one generator, so their errors have the same names and attributes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from beamlens.errors import LLMError, LLMErrorKind
from beamlens_actors import clock
from beamlens_actors.words import text_of

_STATUS_KINDS: Mapping[int, LLMErrorKind] = {
    401: "authentication",
    402: "authentication",  # no credit: the account's fault, not the request's
    403: "authentication",
    408: "timeout",
    409: "server",
    429: "rate_limit",
    529: "overloaded",
}
# What an error that comes in the middle of an answer would have been as a status: it comes with 200.
_STATUSES: Mapping[str, int] = {
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "invalid_request_error": 400,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "timeout_error": 408,
    "overloaded_error": 529,
    # Amazon Bedrock's
    "validationException": 400,
    "modelTimeoutException": 408,
    "throttlingException": 429,
    "serviceUnavailableException": 503,
}
# Sent as 429, yet no waiting helps: the account has no credit.
_SPENT = "insufficient_quota"
_MOST_TEXT = 300


class Errors(NamedTuple):
    """The error classes of an SDK, the general before the particular."""

    base: type[Exception]
    api: type[Exception]
    connection: type[Exception]
    timeout: type[Exception]
    status: type[Exception]


@dataclass(frozen=True, slots=True)
class Failure:
    """A call that failed.

    Attributes:
        error: What to raise.
        again: Whether to try the call again at once, after a while.
        after: Seconds that the server asks to wait before; ``None``: it did not say.
    """

    error: LLMError
    again: bool = False
    after: float | None = None


def timed_out() -> Failure:
    """No answer came in time."""
    return Failure(LLMError("no answer within the timeout", kind="timeout", retryable=True))


def broken_off() -> LLMError:
    """The answer ended before its end."""
    return LLMError("the connection failed: the answer broke off", kind="connection", retryable=True)


def describe(error: Exception, secrets: Sequence[str], kinds: Errors) -> Failure:
    """A failure of an SDK as ours. Its text never contains a secret, nor does it keep the SDK's own error.

    Args:
        error: What was raised.
        secrets: Texts that must not show.
        kinds: The SDK's errors.
    """
    if isinstance(error, LLMError):
        return Failure(error, again=error.retryable)
    if isinstance(error, kinds.timeout) or _is_transports(error, "TimeoutException"):
        return timed_out()
    if isinstance(error, kinds.status):
        return _status(error, secrets)
    if isinstance(error, kinds.connection) or _is_transports(error, "TransportError"):
        text = f"the connection failed: {words(error.__cause__ or error, secrets)}"
        return Failure(LLMError(text, kind="connection", retryable=True), again=True)
    if isinstance(error, kinds.base) and not isinstance(error, kinds.api):
        return Failure(LLMError(words(error, secrets), kind="invalid_request", retryable=False))
    if type(error) is kinds.api:  # OpenAI's word for an error in the middle of an answer
        return _answered(None, getattr(error, "body", None), {}, secrets, str(error))
    text = f"the answer cannot be read: {words(error, secrets)}"
    return Failure(LLMError(text, kind="response", retryable=True), again=True)


def kind_of(status: int) -> LLMErrorKind:
    """The kind of an HTTP status."""
    return _STATUS_KINDS.get(status, "server" if status >= 500 else "invalid_request")


def may_pass(status: int) -> bool:
    """Whether what an HTTP status says may be over after a while."""
    return status in (408, 409, 429) or status >= 500


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks to wait: ``retry-after-ms``, or ``retry-after`` in seconds or as a date."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) / unit
        except ValueError:
            continue
        if math.isfinite(seconds):
            return max(0.0, seconds)
    try:
        until = parsedate_to_datetime(headers.get("retry-after", ""))
        # A date without a zone is read as local time otherwise; HTTP's dates are GMT.
        until = until if until.tzinfo is not None else until.replace(tzinfo=UTC)
        return max(0.0, (until - datetime.fromtimestamp(clock.time(), UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None


def readable(text: str, secrets: Sequence[str]) -> str:
    """The first line, without the secrets and without control characters."""
    for secret in secrets:
        text = text.replace(secret, "[key]") if secret else text
    line = (text.strip().splitlines() or [""])[0]
    return "".join(char if char.isprintable() else "?" for char in line)[:_MOST_TEXT]


def words(error: BaseException, secrets: Sequence[str]) -> str:
    """An exception as a line of text."""
    text = text_of(error)
    return readable(f"{type(error).__name__}: {text}" if text else type(error).__name__, secrets)


def _is_transports(error: Exception, name: str) -> bool:
    """Whether it is an error of the HTTP library of that name: in a stream, not every SDK makes it one of its own."""
    return any(each.__name__ == name and each.__module__.startswith("httpx") for each in type(error).__mro__)


def _status(error: Any, secrets: Sequence[str]) -> Failure:
    status = error.status_code if error.status_code >= 400 else None
    return _answered(status, error.body, error.response.headers, secrets, str(error))


def _answered(
    status: int | None, body: object, headers: Mapping[str, str], secrets: Sequence[str], otherwise: str
) -> Failure:
    """An error that the provider sent; without a status, in the middle of an answer."""
    said = _details(body)
    middle = " in the middle of its answer" if status is None else ""
    status = _status_of(said) if status is None else status
    again = may_pass(status) and headers.get("x-should-retry") != "false" and _SPENT not in _codes(said)
    after = retry_after(headers) if again else None
    message = str(said.get("message") or "no reason given") if said else otherwise
    text = f"the provider answered {status}{middle}: {readable(message, secrets)}"
    return Failure(LLMError(text, kind=kind_of(status), retryable=again, retry_after=after), again, after)


def _details(body: object) -> Mapping[str, Any]:
    """What a body says of the error: under ``error``, at its top, or, as Google has it, in a list."""
    if isinstance(body, list) and body:
        body = body[0]
    if isinstance(body, dict) and isinstance(body.get("error"), dict):
        body = body["error"]
    return body if isinstance(body, dict) else {}


def _status_of(said: Mapping[str, Any]) -> int:
    for code in _codes(said):
        if isinstance(code, int) and code >= 400:
            return code
        if isinstance(code, str) and code in _STATUSES:
            return _STATUSES[code]
    return 500


def _codes(said: Mapping[str, Any]) -> tuple[object, object]:
    return said.get("code"), said.get("type")
