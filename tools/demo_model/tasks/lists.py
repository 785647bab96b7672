"""Skill (d): sort, reverse and count the items of a list."""

from __future__ import annotations

from typing import Callable

import words
from conversation import Exchange, Rng, answer

_POOLS = [
    words.FRUITS,
    words.ANIMALS,
    words.OBJECTS,
    words.PLACES,
    words.COLORS,
    words.NAMES,
    words.JOBS,
    words.DAYS,
    words.LANGUAGES,
    words.COUNTRIES,
]
_KNOWN = set().union(*_POOLS)
_FORMATS: list[Callable[[list[str]], str]] = [
    lambda i: ", ".join(i),
    lambda i: ", ".join(i),
    lambda i: ", ".join(i),
    lambda i: "[" + ", ".join(i) + "]",
    lambda i: " ".join(i),
    lambda i: ",".join(i),
    lambda i: words.join_and(i),
    lambda i: "\n" + "\n".join("- " + x for x in i),
]
_PROMPTS = {
    "asc": [
        "Sort these numbers: {l}",
        "Sort {l}",
        "sort: {l}",
        "Sort this list in ascending order: {l}",
        "Put these numbers in order from smallest to largest: {l}",
        "Order these numbers: {l}",
        "Please sort the numbers {l}",
        "Can you sort this list? {l}",
        "Arrange in increasing order: {l}",
        "Sort the following numbers from low to high: {l}",
        "Sort this list: {l}",
        "Sort the list {l}",
    ],
    "desc": [
        "Sort these numbers in descending order: {l}",
        "Sort {l} from largest to smallest",
        "Put these numbers in order from high to low: {l}",
        "Arrange in decreasing order: {l}",
        "Sort this list from biggest to smallest: {l}",
        "Please sort these in descending order: {l}",
    ],
    "alpha": [
        "Sort these words: {l}",
        "Sort {l} alphabetically",
        "Sort these words in alphabetical order: {l}",
        "Put this list in alphabetical order: {l}",
        "Alphabetize: {l}",
        "sort: {l}",
        "Sort this list: {l}",
        "Please sort these words from A to Z: {l}",
        "Can you sort this list? {l}",
        "Sort the list {l}",
        "Order these words alphabetically: {l}",
        "Arrange these in alphabetical order: {l}",
    ],
    "reverse": [
        "Reverse this list: {l}",
        "Reverse {l}",
        "reverse: {l}",
        "Write this list backwards: {l}",
        "Reverse the order of these items: {l}",
        "Please reverse the list {l}",
        "List these in reverse: {l}",
        "Can you reverse this list? {l}",
        "Give me these items in reverse order: {l}",
        "Flip this list: {l}",
    ],
    "count": [
        "How many items are in this list? {l}",
        "Count the items: {l}",
        "Count these: {l}",
        "How many items are there: {l}",
        "How many elements does this list have? {l}",
        "count: {l}",
        "Please count the items in this list: {l}",
        "What is the length of this list? {l}",
        "Tell me how many items are in the list {l}",
        "Count the items in {l}",
    ],
    "max": [
        "What is the largest number: {l}",
        "Which number is the biggest? {l}",
        "Find the maximum of {l}",
        "What is the maximum of {l}",
    ],
    "min": [
        "What is the smallest number: {l}",
        "Which number is the smallest? {l}",
        "Find the minimum of {l}",
        "What is the minimum of {l}",
    ],
}
_AGAIN = {
    "asc": ["Now sort it.", "Now sort it in ascending order.", "Sort the list from smallest to largest.", "Sort it."],
    "desc": ["Now sort it in descending order.", "Sort it from largest to smallest.", "And in descending order?"],
    "alpha": ["Now sort it.", "Now sort it alphabetically.", "Put it in alphabetical order.", "Sort it."],
    "reverse": ["Now reverse it.", "Reverse the list.", "And reversed?", "Now write it backwards.", "Reverse it."],
    "count": [
        "How many items are there?",
        "How many items does it have?",
        "Count the items.",
        "And how many are there?",
    ],
    "max": ["Which one is the largest?", "What is the maximum?"],
    "min": ["Which one is the smallest?", "What is the minimum?"],
}


def _solve(op: str, items: list[str]) -> tuple[str, str, list[str]]:
    """Reasoning, answer and resulting list."""
    if op in ("asc", "desc", "max", "min"):
        out = sorted(items, key=int, reverse=op in ("desc", "max"))
        if op == "max":
            return f"Compare {', '.join(items)}. The largest is {out[0]}.", f"The largest is {out[0]}.", items
        if op == "min":
            return f"Compare {', '.join(items)}. The smallest is {out[0]}.", f"The smallest is {out[0]}.", items
        pick = "smallest" if op == "asc" else "largest"
        think = f"Items: {', '.join(items)}. Pick the {pick} left each time: {', then '.join(out)}."
        return think, "Sorted: " + ", ".join(out), out
    if op == "alpha":
        out = sorted(items, key=str.lower)
        return (
            f"Items: {', '.join(items)}. In alphabetical order: {', then '.join(out)}.",
            "Sorted: " + ", ".join(out),
            out,
        )
    numbered = ", ".join(f"{k}: {x}" for k, x in enumerate(items, 1))
    if op == "reverse":
        out = items[::-1]
        back = ", ".join(f"{len(items) - k}: {x}" for k, x in enumerate(out))
        return f"Number the items. {numbered}. Backwards: {back}.", "Reversed: " + ", ".join(out), out
    return (
        f"Number the items. {numbered}. The last number is {len(items)}.",
        f"The list has {len(items)} items.",
        items,
    )


def _items(r: Rng, numbers: bool, free: bool) -> list[str]:
    n = r.randint(3, 8)
    if numbers:
        top = r.choice((20, 99, 99, 999))
        return [str(x) for x in r.sample(range(top + 1), n)]
    if free and r.random() < 0.4:
        pool = [words.any_word(r) for _ in range(12)]
        return (
            r.sample(sorted(set(pool)), min(n, len(set(pool))))
            if r.random() < 0.7
            else r.sample(list("abcdefghijklmnopqrstuvwxyz"), n)
        )
    x = r.random()
    pool = r.choice(_POOLS) if x < 0.6 else words.FRUITS + words.ANIMALS + words.OBJECTS + words.PLACES
    if x > 0.88:
        pool = pool + words.FOODS + words.NOUNS + words.VERBS + words.ADJECTIVES
    pool = sorted(set(pool))
    return r.sample(pool, min(n, len(pool)))


def generate(r: Rng, lang: str) -> list[Exchange]:
    """One list task, sometimes with follow-ups on the same list."""
    del lang
    numbers = r.random() < 0.5
    ops = (
        ["asc", "asc", "desc", "reverse", "reverse", "count", "count", "max", "min"]
        if numbers
        else ["alpha", "alpha", "alpha", "reverse", "reverse", "count", "count"]
    )
    op = r.choice(ops)
    items = _items(r, numbers, op in ("reverse", "count"))
    text = r.choice(_PROMPTS[op]).format(l=r.choice(_FORMATS)(items))
    if op != "count" and not numbers and "?" not in text and "\n" not in text and r.random() < 0.3:
        text += "."
    think, content, items_after = _solve(op, items)
    out = [answer("lists", "en", text, think, content)]
    free = not numbers and not _KNOWN.issuperset(items)
    while r.random() < 0.25 and len(out) < 3:
        op = r.choice([o for o in sorted(set(ops)) if o != op and not (free and o == "alpha")] or ["count"])
        items = items_after
        think, content, items_after = _solve(op, items)
        out.append(answer("lists", "en", r.choice(_AGAIN[op]), think, content))
    return out
