"""What is the same statement: its text without literals, parameters, comments and the length of its lists."""

from __future__ import annotations

import re

MOST_TEXT = 4096
"""Characters of a statement that are looked at."""
_MOST_SHOWN = 600
_CACHED = 1024

_CAST = r"(?:::\w+(?:\(\d+(?:, ?\d+)?\))?(?:\[\])*)*"
_TOKENS = r"""
    (?P<space>(?:\s|{comment}[^\r\n]*|/\*(?:[^*]|\*(?!/))*(?:\*/|\Z))+)
  | (?P<literal>(?:
        \$(?P<tag>[A-Za-z_]*)\$.*?(?:\$(?P=tag)\$|\Z)
      | [eE]'(?:[^'\\]|''|\\.)*(?:'|\Z)
      | (?:[nNbBxX]|[uU]&)?'{plain}*(?:'|\Z)
      | %\(\w+\)s | %s | (?<![:\w]):(?!:)\w+ | \$\d+ | @\w+ | \?
      | (?<![\w$.])(?:0[xX][0-9a-fA-F]+|\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)(?![\w$])
      | (?<![\w$])\.\d+(?![\w$])
    ){cast})
  | (?P<name>"{quoted}*(?:"|\Z))
  | (?P<savepoint>\bsa_savepoint_\d+)
  | [\w$]+
"""
_LIST = re.compile(r"\( ?\?(?: ?, ?\?)* ?\)")
_ROWS = re.compile(r"\(\?\)(?: ?, ?\(\?\))+")
_COMPARED = re.compile(r"(?:[=<>(,]|\b(?:like|glob|in|values)) ?\Z", re.IGNORECASE)
_NAME = r"(?:[\w$]+|\"[^\"]{1,63}\"|`[^`]{1,63}`)"
_SOURCE = re.compile(rf"\b(?:from|into|update|join|table) (?:only )?({_NAME}(?:\.{_NAME})?)", re.IGNORECASE)
_READS = ("select", "with", "show", "table", "values")


class Fingerprints:
    """Makes fingerprints for one kind of database, and remembers those of the last thousand texts, by their hashes."""

    def __init__(self, dialect: str = "") -> None:
        """Make it for a dialect by its SQLAlchemy name, such as ``postgresql``: quotes mean different things."""
        backslashes = dialect in ("mysql", "mariadb")
        plain = r"(?:[^'\\]|''|\\.)" if backslashes else r"(?:[^']|'')"
        pattern = _TOKENS.replace("{plain}", plain).replace("{cast}", _CAST)
        pattern = pattern.replace("{quoted}", plain.replace("'", '"'))
        pattern = pattern.replace("{comment}", r"(?:--|\#)" if backslashes else "--")
        self._tokens = re.compile(pattern, re.VERBOSE | re.DOTALL)
        self._quotes_strings = backslashes
        self._quotes_may_be_strings = dialect == "sqlite"
        # By the text's hash: a text may hold literals, which are not to be kept.
        self._known: dict[int, str] = {}

    def of(self, statement: str) -> str:
        """The fingerprint of a statement, at most 600 characters; about 20 us at first, then 0.1."""
        found = self._known.get(hash(statement))
        if found is None:
            found = self._make(statement[:MOST_TEXT])
            if len(self._known) >= _CACHED:
                self._known.clear()
            self._known[hash(statement)] = found
        return found

    def _make(self, text: str) -> str:
        parts: list[str] = []
        done = 0
        for token in self._tokens.finditer(text):
            parts += [text[done : token.start()], self._replace(token, parts)]
            done = token.end()
        parts.append(text[done:])
        folded = re.sub(r" {2,}", " ", "".join(parts)).strip(" ;")
        folded = _ROWS.sub("(?)", _LIST.sub("(?)", folded))
        if len(folded) <= _MOST_SHOWN:
            return folded
        # A long list of columns comes first; what tells statements apart comes after it.
        return f"{folded[: _MOST_SHOWN // 2]} .. {folded[4 - _MOST_SHOWN // 2 :]}"

    def _replace(self, token: re.Match[str], before: list[str]) -> str:
        match token.lastgroup:
            case "space":
                return " "
            case "literal":
                return "?"
            case "savepoint":
                return "sa_savepoint_?"
            case "name":
                compared = self._quotes_may_be_strings and _COMPARED.search("".join(before[-4:])) is not None
                return "?" if self._quotes_strings or compared else token[0]
            case _:
                return token[0]


def source(fingerprint: str) -> str | None:
    """The first table that a fingerprint names."""
    found = _SOURCE.search(fingerprint)
    return None if found is None else found[1].replace('"', "").replace("`", "")


def is_read(fingerprint: str) -> bool:
    """Whether a statement only reads, by its first word."""
    return fingerprint.lstrip("( ")[:6].lower().startswith(_READS)
