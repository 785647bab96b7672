"""Data types shared by the task generators: a conversation is a list of exchanges, an exchange a list of steps."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
Rng = random.Random


@dataclass
class Call:
    """One tool call of the assistant."""

    name: str
    arguments: Json


@dataclass
class Step:
    """One assistant message: its reasoning, its text or its tool calls, and how a checker judges it."""

    reasoning: str
    content: str
    check: Json
    calls: list[Call] = field(default_factory=list)
    results: list[str] = field(default_factory=list)


@dataclass
class Exchange:
    """A user message and the assistant steps that answer it (more than one when tools are called)."""

    skill: str
    lang: str
    user: str
    steps: list[Step]


@dataclass
class Conversation:
    """A whole conversation with its optional system prompt and tool declarations."""

    exchanges: list[Exchange]
    system: str | None = None
    tools: list[Json] | None = None


def equals(text: str) -> Json:
    """The answer, stripped, must be exactly `text`."""
    return {"kind": "equals", "value": text}


def contains(values: list[str], excludes: list[str] | None = None) -> Json:
    """The answer must contain each of `values` (compared without case) and none of `excludes`."""
    check: Json = {"kind": "contains", "values": values}
    if excludes:
        check["excludes"] = excludes
    return check


def answer(skill: str, lang: str, user: str, reasoning: str, content: str, check: Json | None = None) -> Exchange:
    """An exchange of one user message and one plain answer."""
    return Exchange(skill, lang, user, [Step(reasoning, content, check or equals(content))])
