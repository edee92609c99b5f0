"""What must not leave the process: secrets and personal data are taken out of everything that is sent to a model."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from typing import Any

from beamlens.errors import ConfigError

_SECRET = "[redacted:secret]"  # noqa: S105 - the replacement
_ROUNDS = 4

# -- forms: what shows by itself that it is a secret ---------------------------------------------------------
# All patterns take linear time: runs are possessive or short, and a run is entered at its first character only.
# The words are what must be in a text for the pattern to be tried at all.
_FORMS: tuple[tuple[str, tuple[str, ...], re.Pattern[str]], ...] = (
    ("jwt", ("eyJ",), re.compile(r"(?<![\w-])eyJ[\w-]{5,}+\.[\w-]{5,}+(?:\.[\w-]*+)?")),
    ("key", ("sk-",), re.compile(r"(?<![\w-])sk-(?=[\w-]{0,80}\d)[\w-]{16,}+")),
    ("key", ("_live_", "_test_"), re.compile(r"(?<!\w)(?:[spr]k|whsec)_(?:live|test)_\w{10,}+")),
    ("key", ("AKIA", "ASIA"), re.compile(r"(?<![A-Za-z0-9])(?:AKIA|ASIA)[0-9A-Z]{16}(?![A-Za-z0-9])")),
    ("key", ("gh", "glpat-"), re.compile(r"(?<!\w)(?:gh[pousr]_\w{20,}+|github_pat_\w{20,}+|glpat-[\w-]{20,}+)")),
    ("key", ("AIza", "ya29."), re.compile(r"(?<!\w)(?:AIza[\w-]{35}|ya29\.[\w-]{20,}+)")),
    ("key", ("npm_", "hf_", "pypi-"), re.compile(r"(?<!\w)(?:npm_\w{30,}+|hf_\w{30,}+|pypi-[\w-]{50,}+)")),
    ("key", ("xox", "xapp-"), re.compile(r"(?<!\w)(?:xox[a-z]|xapp)-[\w-]{10,}+")),
    ("key", ("hooks.slack.com/",), re.compile(r"(?<=hooks\.slack\.com/)[\w/]{20,}+")),
    ("signature", ("sig=",), re.compile(r"(?<=[?&]sig=)[^\s&\"'\[\]]++")),
    # The last @ before the path counts; if there is none, a password with a slash is told from a port with a path.
    (
        "credentials",
        ("://",),
        re.compile(r"(?<=://)(?:[^\s/\"'<>]{1,300}(?=@)|[^\s/@:]{0,100}:(?!\d{1,5}/)[^\s@\"'<>]{1,256}+(?=@))"),
    ),
    (
        "authorization",
        (),
        re.compile(r"(?<!\w)(?i:Bearer|Basic)\s{1,3}(?=[\w.~+/-]{0,100}(?:[\d=+_~]|\.\w|[a-z][A-Z]))[\w.~+/-]{8,}+=*+"),
    ),
    ("e-mail", ("@",), re.compile(r"(?<![\w.+-])[\w.+-]++@(?:[\w-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![\w-])")),
)
_CARD = re.compile(r"(?<![\w-])(?<!\d\.)(?:(?:\d{4}[ -]){3}\d{4}|\d{4}[ -]\d{6}[ -]\d{5}|\d{13,19})(?![\w-])(?!\.\d)")
# Beginnings that card numbers have. Milliseconds since the epoch, and most counters, begin otherwise.
_ISSUERS = re.compile(r"4(?:.{12}|.{15}|.{18})|(?:5[1-5]|2[2-7]).{14}|3[47].{13}|3[0689].{12,17}|6.{15,18}")
_KEY_BEGINS = re.compile(r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----")
_KEY_ENDS = re.compile(r"-----END [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----")
_KEY_BODY = re.compile(r"[\w+/=\s\\:,-]{0,16000}+")  # of a key whose end was cut off

# -- names: what is a secret because of what it is called -----------------------------------------------------
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_STRONG = re.compile(
    "password|passwd|passphrase|passcode|secret(?!ar)|credential|(?:api|access|private|signing|encryption|master)key"
    "|sess(?:ion)?id|(?:auth|access|refresh|security)token|authorization|connectionstring"
)
_WEAK = frozenset({"pass", "auth", "cookie", "cookies", "dsn", "jwt", "otp", "cvv", "cvc", "signature", "csrf", "xsrf"})
# password_file, token_count, auth_status: about a secret, not the secret.
# fmt: off
_ABOUT = frozenset({
    "age", "at", "attempt", "attempts", "budget", "class", "column", "count", "dir", "enabled", "endpoint", "error",
    "errors", "expired", "expires", "expiry", "failed", "failure", "failures", "field", "file", "header", "host",
    "in", "left", "len", "length", "limit", "max", "method", "min", "ms", "name", "path", "policy", "port", "prefix",
    "provider", "rate", "remaining", "required", "seconds", "size", "state", "status", "timeout", "total", "ttl",
    "type", "uri", "url", "usage", "used", "version",
})
# fmt: on
_HARMLESS = frozenset({"", "none", "null", "nil", "true", "false", "undefined"})
_BRACKETS = ("[", "(", "{")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?%?")

_ASSIGNMENT = re.compile(
    r"(?<![\w.$-])(?P<name>[\w.$-]++)(?P<quote>\\{0,7}[\"'])?\]?[ \t]{0,8}(?P<sign>=>|:=|={1,2}|:(?!:|//)|,)[ \t]{0,8}"
)
_FLAG = re.compile(r"(?<![\w.$-])(?P<name>--[\w.$-]++)(?P<quote>)(?P<sign>[ \t]{1,8})(?=[^\s-])")
_OPENING = re.compile(r"[bBrRuUfF]{0,2}(\\{0,7})([\"'])")
_WORD = re.compile(r"(?:(?i:Bearer|Basic|Digest|Token|Negotiate|ApiKey)[ \t]{1,3}(?=\S))?[^\s,;&)\]}\"'<>|]++")
_REST = re.compile(r"(?:[^\r\n\"'\\]|\\(?![nr\"']))++")
_BRACKET_OR_QUOTE = re.compile(r"[\[({]|[\])}]|(\\{0,7})([\"'])")
_IS_KEY = re.compile(r"[\"'\\]{1,8}\s{0,8}:")
_MOST_INSIDE = 20_000
_MARK = re.compile(r"(\[redacted:[\w -]{1,20}\])")
_LINE_END = re.compile(r"$", re.MULTILINE)


class Redactor:
    """Takes secrets out of text and JSON. Paths, line numbers, ids, host names and addresses stay.

    It knows common forms, and values by the names that they are given; what has neither (a person's name, a secret in
    the middle of a sentence) it cannot know: give patterns for your own.
    """

    def __init__(self, extra: Iterable[str | re.Pattern[str]] = ()) -> None:
        """Make a redactor.

        Args:
            extra: Further regular expressions; what they match is replaced. They are yours: how long one takes is
                not bounded.

        Raises:
            ConfigError: One is no regular expression for text; names it by its index.
        """
        if isinstance(extra, (str, bytes, re.Pattern)):
            raise ConfigError("redact must be a list of patterns, not one pattern", field="redact")
        self._extra = [_compiled(pattern, f"redact[{index}]") for index, pattern in enumerate(extra)]

    def text(self, text: str) -> str:
        """A text without secrets; applied twice it changes nothing more."""
        for _ in range(_ROUNDS):  # what one rule leaves may be what another one looks for
            before, text = text, self._once(text)
            if text == before:
                break
        return text

    def value(self, value: Any) -> Any:
        """JSON without secrets: texts, keys, and whatever stands under a key that names a secret."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            found: dict[Any, Any] = {}
            for key, item in value.items():
                kind = _kind(key) if isinstance(key, str) else None
                found[self._key(key, found)] = self.value(item) if kind is None else _hidden(item, kind)
            return found
        if isinstance(value, (list, tuple)):
            return [self.value(item) for item in value]
        return value

    def _key(self, key: Any, taken: dict[Any, Any]) -> Any:
        if not isinstance(key, str):
            return key
        short = name = self.text(key)
        number = 1
        while name in taken:  # two keys that differ in what was taken out only: neither value is lost
            number += 1
            name = f"{short} ({number})"
        return name

    def _once(self, text: str) -> str:
        for pattern in self._extra:
            text = _outside_marks(text, partial(pattern.sub, _custom))
        text = _assigned(_private_keys(text))
        for what, words, pattern in _FORMS:
            if not words or any(word in text for word in words):
                text = pattern.sub(f"[redacted:{what}]", text)
        return _CARD.sub(_card, text)


def _compiled(pattern: Any, field: str) -> re.Pattern[str]:
    try:
        compiled: re.Pattern[Any] = re.compile(pattern)
    except (re.error, TypeError, ValueError, OverflowError, RecursionError) as wrong:
        raise ConfigError(f"{field}: {pattern!r} is not a regular expression: {wrong}", field=field) from None
    if not isinstance(compiled.pattern, str):
        raise ConfigError(f"{field}: {pattern!r} is a pattern for bytes, not for text", field=field)
    if compiled.fullmatch(""):
        raise ConfigError(f"{field}: {pattern!r} matches the empty text", field=field)
    return compiled


def _outside_marks(text: str, replace: Callable[[str], str]) -> str:
    if "[redacted:" not in text:
        return replace(text)
    parts = _MARK.split(text)
    return "".join(part if index % 2 else replace(part) for index, part in enumerate(parts))


def _custom(match: re.Match[str]) -> str:
    return "[redacted:custom]" if match[0] else ""


def _card(match: re.Match[str]) -> str:
    digits = [int(char) for char in match[0] if char.isdigit()]
    if not _ISSUERS.fullmatch("".join(map(str, digits))):
        return match[0]
    doubled = (sum(divmod(2 * digit, 10)) if index % 2 else digit for index, digit in enumerate(reversed(digits)))
    return "[redacted:card]" if sum(doubled) % 10 == 0 else match[0]


def _private_keys(text: str) -> str:
    if "PRIVATE KEY" not in text:
        return text
    parts, done, end = [], 0, None
    ends = _KEY_ENDS.finditer(text)
    for begin in _KEY_BEGINS.finditer(text):
        if begin.start() < done:
            continue
        while end is None or end.start() < begin.end():
            end = next(ends, None)
            if end is None:
                break
        body = _KEY_BODY.match(text, begin.end())
        stop = body.end() if body else begin.end()
        if end is not None and end.start() - begin.end() < 16_000:
            stop = end.end()
        parts += [text[done : begin.start()], "[redacted:private key]"]
        done = stop
    return "".join([*parts, text[done:]])


@lru_cache(maxsize=4096)
def _kind(name: str) -> str | None:
    """Whether a name is that of a secret: ``strong``, ``weak``, ``header`` (the whole line), ``count``, or not."""
    words = [word.lower() for word in _WORDS.findall(name.rstrip(".$-")[-100:].rpartition(".")[2])]
    while words and words[-1].isdigit():
        words.pop()
    if not words or words[-1] in _ABOUT:
        return None
    joined = "".join(words)
    if joined.endswith(("authorization", "cookie")):
        return "header"
    strong = _STRONG.search(joined)
    if not strong and not any(word in _WEAK or word.endswith(("token", "tokens", "pwd")) for word in words):
        return None
    if words[-1].endswith("s") and not words[-1].endswith("pass"):
        return "count"
    return "strong" if strong else "weak"


def _stays(text: str, kind: str) -> bool:
    """Whether a value under the name of a secret is none: nothing, a flag, or a number that is a count."""
    if text.lower() in _HARMLESS or not text.strip("*") or text.startswith("[redacted:"):
        return True
    if not _NUMBER.fullmatch(text):
        return False
    return kind == "count" or (kind != "strong" and (len(text) < 4 or "." in text))


def _hidden(value: Any, kind: str) -> Any:
    """JSON that stands under the name of a secret: its texts hidden, and numbers that are no counts."""
    if isinstance(value, dict):
        return {key: _hidden(item, kind) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_hidden(item, kind) for item in value]
    if value is None or isinstance(value, bool) or _stays(str(value), kind):
        return value
    return _SECRET


def _assigned(text: str) -> str:
    """A text without the values that are assigned to names of secrets: ``name=value``, JSON, headers, flags."""
    text = _each(_ASSIGNMENT, text)
    return _each(_FLAG, text) if "--" in text else text


def _each(assignment: re.Pattern[str], text: str) -> str:
    parts: list[str] = []
    done = position = seen = 0
    while (match := assignment.search(text, position)) is not None:
        start = position = match.end()
        kind = _kind(match["name"])
        if kind is None or (match["sign"] == "," and not (match["quote"] and kind == "header")):
            continue
        if text[start : start + 1] in _BRACKETS:
            # What stands in a list or object that was looked through is not looked through again: linear time.
            spans, seen = _inside(text, start, kind) if start >= seen else ([], seen)
        else:
            spans = _value(text, start, kind, match["sign"])
        for begin, end in spans:
            parts += [text[done:begin], _SECRET]
            done = position = end
    return "".join([*parts, text[done:]]) if parts else text


def _value(text: str, start: int, kind: str, sign: str) -> list[tuple[int, int]]:
    """Where the value that starts there is, without its quotes; nothing if it may stay."""
    opening = _OPENING.match(text, start)
    if opening is not None:
        begin, end = opening.end(), _closing(text, opening)
    else:
        value = (_REST if kind == "header" and sign == ":" else _WORD).match(text, start)
        begin, end = (start, value.end()) if value else (start, start)
    return [] if begin == end or _stays(text[begin:end].strip(), kind) else [(begin, end)]


def _closing(text: str, opening: re.Match[str]) -> int:
    """Where a quoted text ends; that of a quote which is not closed in its line is the end of the line."""
    closed = _inner(opening[1], opening[2]).match(text, opening.end())
    ended = closed or _LINE_END.search(text, opening.end())
    return ended.end() if ended else len(text)


@lru_cache
def _inner(escape: str, quote: str) -> re.Pattern[str]:
    """The text between two quotes, each of them escaped alike: by nothing, or by backslashes (JSON in JSON)."""
    if not escape:
        return re.compile(rf"(?:[^{quote}\\\r\n]|\\.)*+(?={quote})")
    close = rf"(?<!\\){re.escape(escape + quote)}"
    return re.compile(rf"(?:(?!{close}).)*+(?={close})")


def _inside(text: str, start: int, kind: str) -> tuple[list[tuple[int, int]], int]:
    """Where the texts are in the list or object that starts there, not its keys; and where it ends."""
    if text.startswith("[redacted:", start):
        return [], start
    found: list[tuple[int, int]] = []
    depth, position, most = 0, start, min(len(text), start + _MOST_INSIDE)
    while (token := _BRACKET_OR_QUOTE.search(text, position, most)) is not None:
        position = token.end()
        if token[2] is not None:
            begin, position = position, _closing(text, token)
            if not _IS_KEY.match(text, position) and not _stays(text[begin:position], kind) and begin < position:
                found.append((begin, position))
            position += len(token[0])
            continue
        depth += 1 if token[0] in _BRACKETS else -1
        if depth == 0:
            return found, position
    return found, most
