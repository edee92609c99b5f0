"""What must not leave the process: secrets and personal data are taken out of everything that is sent to a model."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from beamlens.errors import ConfigError

# Each is linear: no repeat inside a repeat, every repeat bounded or of one class followed by another.
_NAMES_OF_SECRETS = (
    r"(?:pass(?:word|wd|phrase)?|pwd|secret|token|api[_-]?key|apikey|access[_-]?key|private[_-]?key|"
    r"client[_-]?secret|auth(?:orization)?|credential|cookie|session[_-]?id|signature|dsn)"
)
_PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = (
    (
        "private key",
        re.compile(r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----[^-]{0,10000}-----END [A-Z ]{0,30}PRIVATE KEY-----"),
    ),
    ("jwt", re.compile(r"\beyJ[\w-]{5,2000}\.[\w-]{5,4000}\.[\w-]{0,2000}")),
    ("key", re.compile(r"\b(?:sk|pk|rk)[-_](?:[a-z]{2,10}[-_])?[\w-]{16,200}", re.IGNORECASE)),
    ("key", re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")),
    ("key", re.compile(r"\b(?:gh[pousr]_\w{20,255}|github_pat_\w{20,255}|glpat-[\w-]{20,64}|AIza[\w-]{35})\b")),
    ("key", re.compile(r"\bxox[abeprs]-[\w-]{10,200}")),
    ("credentials", re.compile(r"(?<=://)[^\s/:@]{0,200}:[^\s/@]{1,200}(?=@)")),
    ("authorization", re.compile(r"\b(?:Bearer|Basic)\s{1,3}[\w.~+/=-]{8,2000}", re.IGNORECASE)),
    ("e-mail", re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,5}\b")),
)
_ASSIGNED = re.compile(
    rf"([\w-]{{0,40}}{_NAMES_OF_SECRETS}[\w-]{{0,20}}[\"']?\s{{0,3}}[=:]\s{{0,3}})(\"[^\"]{{1,500}}\"|'[^']{{1,500}}'|[^\s,;&)\]}}\"']{{1,500}})",
    re.IGNORECASE,
)
_KEY = re.compile(_NAMES_OF_SECRETS, re.IGNORECASE)
_CARD = re.compile(r"(?<![\w.-])\d(?:[ -]?\d){12,18}(?![\w.-])")
_MARK = re.compile(r"\[redacted:")


class Redactor:
    """Takes secrets out of text and JSON. Paths, line numbers, ids, host names and addresses stay.

    It knows common forms; what has no form (a name, a secret that looks like a word) it cannot know: give patterns for
    your own.
    """

    def __init__(self, extra: Iterable[str | re.Pattern[str]] = ()) -> None:
        """Make a redactor.

        Args:
            extra: Further regular expressions; what they match is replaced.

        Raises:
            ConfigError: One is no regular expression; names it by its index.
        """
        if isinstance(extra, str):
            raise ConfigError("redact must be a list of patterns, not one string", field="redact")
        self._extra: list[re.Pattern[str]] = []
        for index, pattern in enumerate(extra):
            field = f"redact[{index}]"
            try:
                self._extra.append(re.compile(pattern))
            except (re.error, TypeError) as wrong:
                raise ConfigError(f"{field}: {pattern!r} is not a regular expression: {wrong}", field=field) from None

    def text(self, text: str) -> str:
        """A text without secrets; applied twice it changes nothing more."""
        for pattern in self._extra:
            text = pattern.sub("[redacted:custom]", text)
        for what, pattern in _PATTERNS:
            text = pattern.sub(f"[redacted:{what}]", text)
        text = _ASSIGNED.sub(_hide_value, text)
        return _CARD.sub(_hide_card, text)

    def value(self, value: Any) -> Any:
        """JSON without secrets: texts, and whatever stands under a key that names one."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {
                key: "[redacted:secret]" if _names_secret(key, item) else self.value(item)
                for key, item in value.items()
            }
        if isinstance(value, (list, tuple)):
            return [self.value(item) for item in value]
        return value


def _names_secret(key: object, value: object) -> bool:
    # Numbers and flags under such a key are counts (tokens, sessions), not secrets.
    return isinstance(key, str) and isinstance(value, str) and _KEY.search(key) is not None


def _hide_value(match: re.Match[str]) -> str:
    if _MARK.match(match[2].lstrip("\"'")) or match[2].replace(".", "").isdigit():
        return match[0]
    return f"{match[1]}[redacted:secret]"


def _hide_card(match: re.Match[str]) -> str:
    digits = [int(char) for char in match[0] if char.isdigit()]
    doubled = (sum(divmod(2 * digit, 10)) if index % 2 else digit for index, digit in enumerate(reversed(digits)))
    return "[redacted:card]" if sum(doubled) % 10 == 0 else match[0]
