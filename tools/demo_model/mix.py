"""Compose whole conversations: skills, languages, system prompts and several turns."""

from __future__ import annotations

import random

import words
from conversation import Conversation, Exchange, Rng
from tasks import arithmetic, lists, passage, persona, story, tools

SKILLS = {"arithmetic": 25, "tools": 25, "lists": 13, "passage": 21, "story": 6, "persona": 12}
CHINESE = ("arithmetic", "passage", "persona")
_GENERATE = {
    "arithmetic": arithmetic.generate,
    "lists": lists.generate,
    "passage": passage.generate,
    "story": story.generate,
    "persona": persona.generate,
}
_SYSTEMS = [
    "You are a helpful assistant.",
    "You are helpful.",
    "Answer the user.",
    "You are a friendly assistant.",
    "Be brief.",
    "You are Glimmer's demo model.",
    "Be polite and answer in short sentences.",
    "You are a careful assistant.",
    "Answer correctly.",
    "You help people with small tasks.",
    "You are a test model. Answer every question.",
    "Help the user as well as you can.",
    "You are an assistant that can use tools.",
    "Think before you answer.",
]
_SYSTEMS_ZH = ["你是一个有用的助手。", "请回答用户的问题。", "你是一个友好的助手。", "请简短回答。"]


def _restyle(r: Rng, text: str) -> str:
    """Write a request as hurried users do: no capital, no final mark, an extra word."""
    x = r.random()
    if x < 0.08:
        return text[0].lower() + text[1:]
    if x < 0.14 and text[-1] in ".?":
        return text[:-1]
    if x < 0.19 and text[-1] in ".?":
        return text[0].lower() + text[1:-1]
    if x < 0.22:
        return r.choice(("Hi! ", "Hello, ", "Hey, ", "OK. ", "Well, ", "Thanks. ", "Now: ", "Please: ")) + text
    if x < 0.24:
        return text + r.choice((" Thanks!", " Thank you.", " please", "!", " "))
    if x < 0.25:
        return text.lower() if text.isascii() and '"' not in text else text
    return text


def _group(r: Rng, skill: str, lang: str) -> list[Exchange]:
    out = _GENERATE[skill](r, lang)
    if skill in ("arithmetic", "persona") and lang == "en":
        for exchange in out:
            if len(out) == 1 and exchange.steps[0].check["kind"] == "contains" or skill == "arithmetic":
                exchange.user = _restyle(r, exchange.user)
    return out


def _pick(r: Rng) -> str:
    return r.choices(list(SKILLS), list(SKILLS.values()))[0]


def compose(r: Rng, skill: str | None = None, lang: str | None = None) -> Conversation:
    """A conversation whose last exchange is of `skill` and `lang` (random ones when not given)."""
    skill = skill or _pick(r)
    lang = lang or ("zh" if skill in CHINESE and r.random() < 0.22 else "en")
    system = r.choice(_SYSTEMS_ZH if lang == "zh" and r.random() < 0.7 else _SYSTEMS) if r.random() < 0.25 else None
    if system is not None and r.random() < 0.1:
        system = f"{system} The user is called {words.person(r)}."
    if skill == "tools":
        declared, exchanges = tools.generate(r)
        if r.random() < 0.12:
            exchanges = _group(r, r.choice(("lists", "passage", "story")), "en")[:1] + exchanges
        return Conversation(exchanges, system, declared)
    before: list[Exchange] = []
    turns = r.choice((0, 0, 0, 0, 0, 1, 1, 2)) if r.random() < 0.97 else r.randint(3, 10)
    for _ in range(turns):
        other = r.choice([s for s in SKILLS if s != "tools"])
        other_lang = lang if other in CHINESE else "en"
        before += _group(r, other, other_lang if r.random() < 0.8 else "en")
    last = _group(r, skill, lang)
    if len(last) > 1 and skill == "persona" and r.random() < 0.4:
        between = _group(r, r.choice(("arithmetic", "lists")), "en")[:1]
        last = last[:1] + between + last[1:]
    declared_unused = None
    if r.random() < 0.04 and skill in ("lists", "story", "passage") and not before:
        declared_unused = tools.generate(r)[0]
    return Conversation(before + last, system, declared_unused)


def training_conversation(r: Rng) -> tuple[Conversation, str]:
    """A conversation and the thinking mode to render it with."""
    mode = r.choices(("on", "off", "keep"), (45, 40, 15))[0]
    return compose(r), mode


def rng(seed: int, stream: int) -> random.Random:
    """Independent random streams; training uses even seeds, held-out prompts odd ones."""
    return random.Random(f"glimmer-demo-{seed}-{stream}")
