"""What went wrong with a call of Anthropic's API: which kind, in words, and whether to try again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from beamlens.errors import LLMError, LLMErrorKind
from beamlens_actors import clock

if TYPE_CHECKING:
    import anthropic

_STATUS_KINDS: Mapping[int, LLMErrorKind] = {
    401: "authentication",
    403: "authentication",
    408: "timeout",
    409: "server",
    429: "rate_limit",
    529: "overloaded",
}
_MOST_TEXT = 300


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


def describe(error: Exception, secret: str) -> Failure:
    """A failure of the SDK as ours. Its text never contains the secret, nor does it keep the SDK's own error."""
    import anthropic

    if isinstance(error, LLMError):
        return Failure(error, again=error.retryable)
    if isinstance(error, anthropic.APITimeoutError):
        return timed_out()
    if isinstance(error, anthropic.APIStatusError):
        return _status(error, secret)
    if isinstance(error, anthropic.APIConnectionError):
        cause = error.__cause__ or error
        text = f"the connection failed: {_words(cause, secret)}"
        return Failure(LLMError(text, kind="connection", retryable=True), again=True)
    if isinstance(error, anthropic.AnthropicError) and not isinstance(error, anthropic.APIError):
        return Failure(LLMError(_words(error, secret), kind="invalid_request", retryable=False))
    text = f"the answer cannot be read: {_words(error, secret)}"
    return Failure(LLMError(text, kind="response", retryable=True), again=True)


def _status(error: anthropic.APIStatusError, secret: str) -> Failure:
    status, headers = error.status_code, error.response.headers
    kind = _STATUS_KINDS.get(status, "server" if status >= 500 else "invalid_request")
    again = status in (408, 409, 429) or status >= 500
    if headers.get("x-should-retry") == "false":
        again = False
    ours = LLMError(f"the provider answered {status}: {_said(error, secret)}", kind=kind, retryable=again)
    return Failure(ours, again, retry_after(headers) if again else None)


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


def _said(error: anthropic.APIStatusError, secret: str) -> str:
    body = error.body
    if isinstance(body, dict) and isinstance(body.get("error"), dict):
        return _readable(str(body["error"].get("message") or "no reason given"), secret)
    return _readable(str(error), secret)


def _words(error: BaseException, secret: str) -> str:
    text = str(error)
    return _readable(f"{type(error).__name__}: {text}" if text else type(error).__name__, secret)


def _readable(text: str, secret: str) -> str:
    """The first line, without the secret and without control characters."""
    if secret:
        text = text.replace(secret, "[key]")
    line = (text.strip().splitlines() or [""])[0]
    return "".join(char if char.isprintable() else "?" for char in line)[:_MOST_TEXT]
