"""Computes what else a customer might like, in the background."""

from __future__ import annotations

import random
import re

_FLATTERY = re.compile(r"(?:good|goo+d|o+)+!")


def rank(vectors: int) -> int:
    """Compare each product with each other one; the best one's number."""
    generator = random.Random(1)
    known = [[generator.random() for _ in range(64)] for _ in range(vectors)]
    best, best_score = 0, 0.0
    for number, mine in enumerate(known):
        score = sum(sum(a * b for a, b in zip(mine, other, strict=True)) for other in known)  # fault: gil-hog/rank
        if score > best_score:
            best, best_score = number, score
    return best


def flattering(length: int) -> bool:
    """Whether a review is a flattering one."""
    review = "g" + "o" * length + "d?"
    return _FLATTERY.search(review) is not None  # fault: gil-hog/reviews
