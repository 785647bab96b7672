"""Skill (c): answer a question from a short passage, in English and Chinese."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Callable

import words
from conversation import Exchange, Rng, answer, contains


@dataclass(frozen=True)
class Fact:
    """One attribute: how to draw a value, state it, ask for it and answer. {n} is the subject, {v} the value."""

    draw: Callable[[Rng], str]
    states: list[str]
    asks: list[str]
    reply: str


def _pick(items: list[str]) -> Callable[[Rng], str]:
    return lambda r: r.choice(items)


def _number(low: int, high: int) -> Callable[[Rng], str]:
    return lambda r: str(r.randint(low, high))


_PERSON = [
    Fact(
        words.city,
        ["{n} lives in {v}.", "{n} has a home in {v}."],
        ["Where does {n} live?", "In which city does {n} live?", "Which city does {n} live in?"],
        "{n} lives in {v}.",
    ),
    Fact(
        _pick(words.JOBS),
        ["{n} works as a {v}.", "{n} is a {v}."],
        ["What is {n}'s job?", "What does {n} do for work?", "What does {n} work as?"],
        "{n} works as a {v}.",
    ),
    Fact(
        lambda r: f"{r.choice(words.COLORS)} {r.choice(words.ANIMALS)}",
        ["{n} has a pet, a {v}.", "{n} owns a {v}."],
        ["Which pet does {n} have?", "What animal does {n} own?", "What pet does {n} have?"],
        "{n} has a {v}.",
    ),
    Fact(
        _pick(words.FOODS),
        ["{n} likes to eat {v}.", "{n}'s favorite food is {v}."],
        ["What does {n} like to eat?", "What is {n}'s favorite food?"],
        "{n} likes to eat {v}.",
    ),
    Fact(
        _number(5, 95),
        ["{n} is {v} years old.", "{n} turned {v} this year."],
        ["How old is {n}?", "What is the age of {n}?"],
        "{n} is {v} years old.",
    ),
    Fact(
        _pick(sorted(set(words.MONTHS))),
        ["{n}'s birthday is in {v}.", "{n} was born in {v}."],
        ["In which month is {n}'s birthday?", "When is {n}'s birthday?"],
        "{n}'s birthday is in {v}.",
    ),
    Fact(
        _pick(words.INSTRUMENTS),
        ["{n} plays the {v}.", "{n} practices the {v} every day."],
        ["Which instrument does {n} play?", "What instrument does {n} play?"],
        "{n} plays the {v}.",
    ),
    Fact(
        _pick(words.COLORS),
        ["{n} drives a {v} car.", "{n}'s car is {v}."],
        ["What color is {n}'s car?", "Which color is the car of {n}?"],
        "{n}'s car is {v}.",
    ),
    Fact(
        _pick(words.OBJECTS),
        ["{n} bought a {v} yesterday.", "Yesterday {n} got a new {v}."],
        ["What did {n} buy?", "What did {n} buy yesterday?"],
        "{n} bought a {v}.",
    ),
    Fact(
        _pick(words.SPORTS),
        ["{n} plays {v} on weekends.", "{n} is good at {v}."],
        ["Which sport does {n} play?", "What sport does {n} do?"],
        "{n} plays {v}.",
    ),
    Fact(
        lambda r: words.person(r, 0.3),
        ["{n}'s best friend is {v}.", "{n} has a friend called {v}."],
        ["Who is {n}'s best friend?", "Who is the friend of {n}?"],
        "{n}'s best friend is {v}.",
    ),
    Fact(
        _pick(words.LANGUAGES),
        ["{n} speaks {v}.", "{n} is learning {v}."],
        ["Which language does {n} speak?", "What language does {n} speak?"],
        "{n} speaks {v}.",
    ),
]
_SHOP = [
    Fact(
        words.clock,
        ["{n} opens at {v}.", "The doors of {n} open at {v}."],
        ["When does {n} open?", "At what time does {n} open?"],
        "{n} opens at {v}.",
    ),
    Fact(
        words.clock,
        ["{n} closes at {v}.", "It is open until {v}."],
        ["When does {n} close?", "At what time does {n} close?"],
        "{n} closes at {v}.",
    ),
    Fact(
        lambda r: r.choice(words.OBJECTS) + "s",
        ["{n} sells {v}.", "At {n} you can buy {v}."],
        ["What does {n} sell?", "What can you buy at {n}?"],
        "{n} sells {v}.",
    ),
    Fact(
        words.city,
        ["{n} is located in {v}.", "{n} is in {v}."],
        ["Where is {n}?", "In which city is {n}?"],
        "{n} is in {v}.",
    ),
    Fact(
        lambda r: words.person(r, 0.3),
        ["{n} is run by {v}.", "The owner of {n} is {v}."],
        ["Who runs {n}?", "Who is the owner of {n}?", "Who owns {n}?"],
        "{v} runs {n}.",
    ),
    Fact(
        _pick(words.DAYS),
        ["{n} is closed on {v}.", "On {v} {n} is closed."],
        ["On which day is {n} closed?", "Which day is {n} closed?"],
        "{n} is closed on {v}.",
    ),
    Fact(
        _number(2, 90),
        ["{n} has {v} workers.", "{v} people work at {n}."],
        ["How many people work at {n}?", "How many workers does {n} have?"],
        "{v} people work at {n}.",
    ),
    Fact(
        _number(1850, 2024),
        ["{n} was founded in {v}.", "{n} first opened in {v}."],
        ["When was {n} founded?", "In which year was {n} founded?"],
        "{n} was founded in {v}.",
    ),
]
_EVENT = [
    Fact(
        _pick(words.DAYS),
        ["{n} is on {v}.", "{n} takes place on {v}."],
        ["On which day is {n}?", "When is {n}?", "Which day is {n}?"],
        "{n} is on {v}.",
    ),
    Fact(
        words.clock,
        ["{n} starts at {v}.", "It begins at {v}."],
        ["At what time does {n} start?", "What time does {n} begin?"],
        "{n} starts at {v}.",
    ),
    Fact(
        _number(1, 400),
        ["{n} is in room {v}.", "It is held in room {v}."],
        ["In which room is {n}?", "Which room is {n} in?"],
        "{n} is in room {v}.",
    ),
    Fact(
        lambda r: words.person(r, 0.3),
        ["{n} is led by {v}.", "{v} will lead {n}."],
        ["Who leads {n}?", "Who is leading {n}?"],
        "{v} leads {n}.",
    ),
    Fact(
        _number(3, 500),
        ["{v} people will come to {n}.", "{n} has {v} guests."],
        ["How many people will come to {n}?", "How many guests does {n} have?"],
        "{v} people will come to {n}.",
    ),
    Fact(
        _number(1, 99),
        ["A ticket for {n} costs {v} dollars.", "The price of {n} is {v} dollars."],
        ["How much does a ticket for {n} cost?", "What is the price of {n}?"],
        "A ticket costs {v} dollars.",
    ),
]
_SHOPS = [
    "bakery",
    "bookshop",
    "museum",
    "cafe",
    "library",
    "toy shop",
    "flower shop",
    "restaurant",
    "gallery",
    "cinema",
]
_EVENTS = ["meeting", "concert", "workshop", "party", "lecture", "match", "fair", "show", "course", "dinner"]
_SILENT = "The passage does not say."

_ZH_PERSON = [
    Fact(
        _pick(words.ZH_CITIES),
        ["{n}住在{v}。", "{n}的家在{v}。"],
        ["{n}住在哪里？", "{n}住在哪个城市？"],
        "{n}住在{v}。",
    ),
    Fact(
        _pick(words.ZH_JOBS),
        ["{n}是一名{v}。", "{n}的工作是{v}。"],
        ["{n}的工作是什么？", "{n}做什么工作？"],
        "{n}的工作是{v}。",
    ),
    Fact(
        lambda r: r.choice(words.ZH_COLORS) + "的" + r.choice(words.ZH_PETS),
        ["{n}养了一只{v}。", "{n}有一只{v}。"],
        ["{n}养了什么？", "{n}有什么宠物？"],
        "{n}养了一只{v}。",
    ),
    Fact(
        _pick(words.ZH_FOODS),
        ["{n}喜欢吃{v}。", "{n}最爱吃{v}。"],
        ["{n}喜欢吃什么？", "{n}最爱吃什么？"],
        "{n}喜欢吃{v}。",
    ),
    Fact(_number(5, 90), ["{n}今年{v}岁。", "{n}{v}岁了。"], ["{n}今年几岁？", "{n}多大了？"], "{n}今年{v}岁。"),
    Fact(
        _pick(words.ZH_SPORTS),
        ["{n}喜欢打{v}。", "{n}常常打{v}。"],
        ["{n}喜欢什么运动？", "{n}打什么球？"],
        "{n}喜欢打{v}。",
    ),
    Fact(
        _pick(words.ZH_COLORS),
        ["{n}的车是{v}的。", "{n}开一辆{v}的车。"],
        ["{n}的车是什么颜色？", "{n}开什么颜色的车？"],
        "{n}的车是{v}的。",
    ),
    Fact(
        _pick(words.ZH_DAYS),
        ["{n}{v}去学校。", "{n}在{v}去学校。"],
        ["{n}哪天去学校？", "{n}星期几去学校？"],
        "{n}{v}去学校。",
    ),
    Fact(
        _pick(words.ZH_NAMES),
        ["{n}的好朋友是{v}。", "{n}最好的朋友叫{v}。"],
        ["{n}的好朋友是谁？", "谁是{n}的好朋友？"],
        "{n}的好朋友是{v}。",
    ),
]
_ZH_SILENT = "短文里没有说。"

_FRAMES = [
    "Read the passage and answer the question.\n\nPassage: {p}\n\nQuestion: {q}",
    "{p}\n\n{q}",
    "{p} {q}",
    "{p}\n{q}",
    "Passage: {p}\nQuestion: {q}",
    "Context: {p}\n\nQuestion: {q}\nAnswer:",
    "Here is a text: {p}\n\n{q}",
    "Answer the question from the text.\n{p}\n{q}",
    "Question: {q}\n\nPassage: {p}",
    "{p} Question: {q}",
    "Text: {p}\n\n{q}",
    "Use this passage to answer: {p}\n\n{q}",
    "Based on the text below, answer: {q}\n\n{p}",
]
_ZH_FRAMES = [
    "阅读短文，回答问题。\n\n短文：{p}\n\n问题：{q}",
    "{p}\n\n{q}",
    "{p}{q}",
    "短文：{p}\n问题：{q}",
    "{p}\n请问：{q}",
    "根据短文回答问题。{p}{q}",
]


def _cap(text: str) -> str:
    return text[0].upper() + text[1:]


def _articles(text: str) -> str:
    """'a' before a vowel becomes 'an'."""
    return re.sub(r"\ba (?=[aeiou])", "an ", text)


def _subjects(r: Rng, zh: bool) -> list[tuple[str, list[Fact], str]]:
    """Subjects of one passage: the name in a sentence, its facts, the pronoun."""
    if zh:
        return [(n, _ZH_PERSON, r.choice("他她")) for n in r.sample(words.ZH_NAMES, r.choice((1, 2, 2, 3)))]
    x = r.random()
    if x < 0.65:
        people: list[str] = []
        while len(people) < r.choice((1, 2, 2, 3)):
            name = words.person(r)
            if name not in people:
                people.append(name)
        return [(n, _PERSON, "She" if n in words.FEMALE else "He") for n in people]
    pool, facts = (_SHOPS, _SHOP) if x < 0.83 else (_EVENTS, _EVENT)
    return [("the " + n, facts, "It") for n in r.sample(pool, r.choice((1, 1, 2)))]


def _passage(r: Rng, zh: bool) -> tuple[str, list[tuple[str, Fact, str, str]], list[tuple[str, Fact]]]:
    """Passage text, stated facts (subject, fact, value, sentence) and facts left unsaid."""
    groups: list[list[str]] = []
    stated: list[tuple[str, Fact, str, str]] = []
    unsaid: list[tuple[str, Fact]] = []
    subjects = _subjects(r, zh)
    for name, facts, pronoun in subjects:
        chosen = r.sample(facts, r.randint(2, 4 if len(subjects) > 1 else 5))
        unsaid += [(name, f) for f in facts if f not in chosen]
        group = []
        values: set[str] = set()
        for i, fact in enumerate(chosen):
            value = fact.draw(r)
            while value == name or value in values:
                value = fact.draw(r)
            values.add(value)
            template = r.choice(fact.states)
            if i == 0 and "{n}" not in template:
                template = fact.states[0]
            subject = name
            if i and r.random() < 0.5 and template.startswith("{n}") and (zh or template.startswith("{n} ")):
                subject = pronoun
            sentence = _cap(_articles(template.format(n=subject, v=value)))
            group.append(sentence)
            stated.append((name, fact, value, sentence))
        groups.append(group)
    return ("" if zh else " ").join(s for g in groups for s in g), stated, unsaid


def _question(
    r: Rng, zh: bool, stated: list[tuple[str, Fact, str, str]], unsaid: list[tuple[str, Fact]]
) -> tuple[str, str, str, list[str]]:
    """Question, reasoning (what is said of the subject, then the answer), answer, values that it must contain."""
    silent = bool(unsaid) and r.random() < 0.18
    if silent:
        name, fact = r.choice(unsaid)
        value = ""
    else:
        name, fact, value, _ = r.choice(stated)
    question = _cap(r.choice(fact.asks).format(n=name))
    said = ("" if zh else " ").join(s for n, _, _, s in stated if n == name)
    if zh:
        think = f"问题问的是{name}。短文说：“{said}”"
        if silent:
            return question, think + "没有提到答案。", _ZH_SILENT, ["没有说"]
        return question, f"{think}答案是{value}。", fact.reply.format(n=name, v=value), [value]
    think = f'The question is about {name}. The passage says: "{said}"'
    if silent:
        return question, think + " This does not tell the answer.", _SILENT, ["does not say"]
    return question, f"{think} The answer is {value}.", _cap(_articles(fact.reply.format(n=name, v=value))), [value]


def generate(r: Rng, lang: str) -> list[Exchange]:
    """A passage with a question, sometimes more questions about the same passage."""
    zh = lang == "zh"
    text, stated, unsaid = _passage(r, zh)
    out: list[Exchange] = []
    others = {v for _, _, v, _ in stated}
    for i in range(1 if r.random() < 0.65 else r.randint(2, 3)):
        question, think, reply, values = _question(r, zh, stated, unsaid)
        user = question if i else r.choice(_ZH_FRAMES if zh else _FRAMES).format(p=text, q=question)
        wrong = sorted(o for o in others if o not in values and o.lower() not in reply.lower())
        out.append(answer("passage", lang, user, think, reply, contains(values, wrong)))
    return out
