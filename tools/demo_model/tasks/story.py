"""Skill (e): a short coherent story from given words, with a grammar that can also check a story."""

from __future__ import annotations

import re

import words
from conversation import Exchange, Rng, answer

# Slots: N hero's name, S/s subject pronoun, o object pronoun, q possessive, A what the hero is, T a trait,
# X Y Z the given things in order, L the given place, F the friend's name.
_OPEN = [
    "Once upon a time there was {T} {A} named {N}.",
    "Long ago there lived {T} {A} called {N}.",
    "There once was {T} {A} named {N}.",
]
_PLACE = ["{S} lived near the {L}.", "Every morning {N} walked to the {L}.", "{N} loved to play by the {L}."]
_FIND = [
    "One day {N} found {X} on the ground.",
    "One sunny morning {N} saw {X} behind an old wall.",
    "One evening {S2} found {X} under a tree.",
]
_SECOND = ["Next to it lay {Y}.", "Beside it {S2} saw {Y}.", "Then {N} found {Y} too."]
_THIRD = ["A little later {S2} also discovered {Z}.", "Not far away there was {Z} as well."]
_PROBLEM = ["{N} wondered who had lost it.", "{N} did not know whose it was.", '"Who does this belong to?" asked {N}.']
_FRIEND = [
    "Just then {q} friend {F} came by, looking very sad.",
    "Soon {N} met {F}, who was crying.",
    "After a while {F} came running and looked worried.",
]
_SOLVE = ['"I have lost my {W}!" said {F}.', "{F} said that the {W} was gone.", "{F} was looking for a lost {W}."]
_GIVE = ["{N} smiled and gave the {W} back.", "{N} happily handed over the {W}.", "So {N} returned the {W} at once."]
_END = [
    "{F} thanked {o}, and they became best friends.",
    "{F} was so happy that they danced all day.",
    "From that day on {N} and {F} shared everything.",
]
_LAST = "The end."
_TRAITS = ["a little", "a brave", "a kind", "a clever", "a curious"]
_GIRLS = sorted(words.FEMALE)
_BOYS = sorted(set(words.NAMES) - words.FEMALE)
_THINGS = sorted(set(words.OBJECTS + words.FRUITS))
_CREATURES = set(words.CREATURES)
_PLACES = set(words.PLACES)


def _stages(things: int, place: bool) -> list[list[str]]:
    out = [_OPEN]
    if place:
        out.append(_PLACE)
    out.append(_FIND)
    out += [_SECOND, _THIRD][: things - 1]
    return out + [_PROBLEM, _FRIEND, _SOLVE, _GIVE, _END]


def _parts(given: list[str]) -> tuple[str | None, str | None, list[str]]:
    """Hero, place and things among the given words."""
    hero = next((w for w in given if w in _CREATURES), None)
    place = next((w for w in given if w in _PLACES), None)
    return hero, place, [w for w in given if w not in (hero, place)]


def tell(r: Rng, given: list[str]) -> tuple[str, str]:
    """Reasoning and story for the given words; a thing is chosen when none is among them."""
    hero, place, things = _parts(given)
    things = things or [r.choice(_THINGS)]
    girl = r.random() < 0.5
    name, friend = r.choice(_GIRLS if girl else _BOYS), r.choice(words.NAMES)
    while friend == name:
        friend = r.choice(words.NAMES)
    what = hero or ("girl" if girl else "boy")
    slots = {
        "N": name,
        "S": "She" if girl else "He",
        "S2": "she" if girl else "he",
        "o": "her" if girl else "him",
        "q": "her" if girl else "his",
        "A": what,
        "T": r.choice(_TRAITS),
        "F": friend,
        "L": place,
        "W": things[0],
    }
    slots |= {k: words.article(w) for k, w in zip("XYZ", things)}
    text = " ".join(r.choice(stage).format(**slots) for stage in _stages(len(things), place is not None))
    plan = f"Words: {', '.join(given)}. Hero: {name} the {what}."
    if place:
        plan += f" Place: the {place}."
    plan += (
        f" Found: {words.join_and([words.article(w) for w in things])}. {friend} lost the {things[0]} and gets it back."
    )
    return plan, f"{text} {_LAST}"


_NAME = r"[A-Z][a-z]+"
_PATTERN = {
    "N": _NAME,
    "F": _NAME,
    "S": "She|He",
    "S2": "she|he",
    "o": "her|him",
    "q": "her|his",
    "T": "|".join(_TRAITS),
}


def _regex(template: str, fixed: dict[str, str]) -> str:
    out, i = "", 0
    for m in re.finditer(r"\{(\w+)\}", template):
        key = m.group(1)
        out += re.escape(template[i : m.start()])
        out += re.escape(fixed[key]) if key in fixed else f"({_PATTERN[key]})"
        i = m.end()
    return out + re.escape(template[i:])


def check(given: list[str], text: str) -> bool:
    """True when `text` is a whole story of this grammar about exactly the given words, with one consistent hero."""
    hero, place, things = _parts(given)
    text = text.strip()
    if not things:
        found = re.search(r"(?:found|saw) an? (\w+) (?:on the ground|behind an old|under a tree)", text)
        things = [found.group(1)] if found else []
    if not 1 <= len(things) <= 3:
        return False
    opening = re.match(
        "|".join(f"(?:{_regex(t, {'A': a})})" for t in _OPEN for a in ([hero] if hero else ["girl", "boy"])), text
    )
    if opening is None:
        return False
    name = next(g for g in reversed(opening.groups()) if g)
    girl = name in words.FEMALE
    if not hero and ("girl" in opening.group(0)) != girl:
        return False
    friend = re.search(rf"friend ({_NAME}) came by|met ({_NAME}), who|while ({_NAME}) came", text)
    if friend is None:
        return False
    other = next(g for g in friend.groups() if g)
    fixed = {
        "N": name,
        "S": "She" if girl else "He",
        "S2": "she" if girl else "he",
        "o": "her" if girl else "him",
        "q": "her" if girl else "his",
        "A": hero or ("girl" if girl else "boy"),
        "F": other,
        "L": place or "",
        "W": things[0],
    } | {k: words.article(w) for k, w in zip("XYZ", things)}
    body = " ".join(
        "(?:" + "|".join(_regex(t, fixed) for t in s) + ")" for s in _stages(len(things), place is not None)
    )
    return name != other and re.fullmatch(f"{body} {re.escape(_LAST)}", text) is not None


def skeleton() -> dict[str, list[str]]:
    """The sentence templates by stage, for readers of the evaluation file."""
    return {
        "open": _OPEN,
        "place": _PLACE,
        "find": _FIND,
        "second": _SECOND,
        "third": _THIRD,
        "problem": _PROBLEM,
        "friend": _FRIEND,
        "solve": _SOLVE,
        "give": _GIVE,
        "end": _END,
        "last": [_LAST],
    }


_PROMPTS = [
    "Write a short story with the words {l}.",
    "Tell me a story about {a}.",
    "Write a story that uses these words: {l}.",
    "Tell me a short story with {a}.",
    "Please write a short story about {a}.",
    "Make up a story with {l}.",
    "Write a story about {a}.",
    "Story with: {l}",
    "Can you tell me a story with the words {l}?",
    "I would like a short story about {a}.",
    "Write a little story using {l}.",
    "Tell a story with {l}",
]
_ANY = [
    "Tell me a story.",
    "Write a short story.",
    "Can you tell me a story?",
    "I want to hear a story.",
    "tell me a story",
    "Write a story for my child.",
    "Please write a story.",
    "Tell me a bedtime story.",
]


def generate(r: Rng, lang: str) -> list[Exchange]:
    """One story request."""
    del lang
    x = r.random()
    if x < 0.08:
        things = [r.choice(_THINGS)]
        think, text = tell(r, things)
        return [
            answer(
                "story",
                "en",
                r.choice(_ANY),
                think.replace("Words: ", "No words are given. I choose: "),
                text,
                {"kind": "contains", "values": [_LAST]},
            )
        ]
    given = [words.pseudo_word(r) if r.random() < 0.12 else r.choice(_THINGS) for _ in range(r.choice((1, 1, 2, 2, 3)))]
    given = list(dict.fromkeys(given))
    if r.random() < 0.15:
        given = []
    if not given or r.random() < 0.5:
        given.append(r.choice(words.CREATURES))
    if len(given) < 4 and r.random() < 0.5:
        given.append(r.choice(words.PLACES))
    r.shuffle(given)
    listed = r.choice((", ".join(given), words.join_and(given), words.join_and(given)))
    user = r.choice(_PROMPTS).format(l=listed, a=words.join_and([words.article(w) for w in given]))
    think, text = tell(r, given)
    return [answer("story", "en", user, think, text, {"kind": "story", "words": given})]
