"""Which operators can tell, from the words of a question."""

from __future__ import annotations

import re
from collections.abc import Mapping

MOST = 6

# What people say, and who sees it. Names of domains that are not there are passed over.
_SAID: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"memor|leak|heap|\brss\b|\boom\b|grow|alloc", ("runtime", "ets", "gc", "allocator")),
    (r"garbage|\bgc\b|pause|collect", ("gc", "vm_events")),
    (r"slow|latenc|hang|stuck|block|wait|timeout|time out|freez|lag", ("requests", "runtime", "vm_events", "database")),
    (r"\bgil\b|\bcpu\b|busy|hot|spin|thread", ("runtime", "vm_events", "system")),
    (r"error|exception|fail|traceback|raise|500", ("exception", "logger", "requests")),
    (r"\blogs?\b|logg|warn", ("logger",)),
    (r"descriptor|socket|connection|\bport|\bfiles?\b|too many open", ("ports", "runtime")),
    (r"disk|load|swap|container|cgroup|throttl|host|machine|network", ("system",)),
    (r"\bsql\b|databas|quer|transaction|postgres|pool", ("database",)),
    (r"queue|backlog|overload|mailbox|executor|worker", ("overload", "sup")),
    (r"crash|restart|supervis|child|process", ("sup", "exception")),
    (r"http|upstream|api|dependenc|remote|call", ("http_client",)),
    (r"request|route|endpoint|traffic|users?\b", ("requests",)),
    (r"cache|table|hit rate", ("ets",)),
    (r"anomal|unusual|strange|odd", ("anomaly",)),
)
_GENERAL = ("runtime", "exception", "logger", "requests", "system", "ports")
_WORD = re.compile(r"[a-z][a-z_]{3,}")


def choose(question: str, operators: Mapping[str, str]) -> list[str]:
    """Names of the operators that can tell, the best first; six at most, and never none if there are any.

    Args:
        question: What is asked.
        operators: Name to what each watches.
    """
    said = question.lower()
    score = dict.fromkeys(operators, 0.0)
    for pattern, names in _SAID:
        if re.search(pattern, said):
            for place, name in enumerate(names):
                if name in score:
                    score[name] += 1.0 - 0.1 * place
    words = set(_WORD.findall(said))
    for name, about in operators.items():
        # By name, or by what it says of itself: that finds domains of the user's own.
        score[name] += 3.0 * (name in said) + 0.3 * len(words & set(_WORD.findall(about.lower())))
    best = sorted((name for name in operators if score[name] >= 0.6), key=lambda name: -score[name])
    return (best or [name for name in _GENERAL if name in operators] or list(operators))[:MOST]
