"""Skill (b): choose a declared tool, copy its arguments, answer from its result, or answer without a tool."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import words
from conversation import Call, Exchange, Json, Rng, Step, contains
from tasks import arithmetic, persona
from tasks.tool_kinds import KINDS, Kind, invented

_WEATHER = ["get_weather", "get_current_weather", "weather_days", "get_forecast"]


@dataclass
class Tool:
    """A kind with its chosen names, as declared in one conversation."""

    kind: Kind
    name: str
    names: dict[str, str]
    declaration: Json


def declare(r: Rng, kind: Kind) -> Tool:
    """Choose names and a JSON style for a tool."""
    name = r.choice(kind.names)
    names: dict[str, str] = {}
    props: Json = {}
    for p in kind.params:
        options = [n for n in p.names if n not in names.values()] or [p.key + "_value"]
        names[p.key] = r.choice(options)
        props[names[p.key]] = {"type": p.type}
        if r.random() < 0.45:
            props[names[p.key]]["description"] = r.choice(p.about)
        if p.enum and r.random() < 0.7:
            props[names[p.key]]["enum"] = p.enum
    parameters: Json = {"type": "object", "properties": props}
    required = [names[p.key] for p in kind.params if not p.optional]
    if kind.params:
        if r.random() < 0.85:
            parameters["required"] = required
    elif r.random() < 0.3:
        parameters["required"] = []
    if r.random() < 0.05:
        parameters["additionalProperties"] = False
    function: Json = {"name": name, "description": r.choice(kind.about), "parameters": parameters}
    x = r.random()
    if x < 0.04:
        del function["description"]
    elif x < 0.08:
        function = {"description": function["description"], "name": name, "parameters": parameters}
    declaration = {"type": "function", "function": function} if r.random() < 0.93 else function
    return Tool(kind, name, names, declaration)


def _show(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return words.join_and(value) if isinstance(value, list) else str(value)


def _request(r: Rng, tool: Tool) -> tuple[str, Json, dict[str, str]]:
    """User text, call arguments and the text of each value."""
    values: dict[str, Any] = {}
    for p in tool.kind.params:
        if not p.optional or r.random() < 0.5:
            values[p.key] = p.draw(r)
    if "origin" in values and values.get("target") == values["origin"]:
        values["target"] = words.pseudo_word(r).capitalize()
    text: dict[str, str] = {}
    for p in tool.kind.params:
        if p.key not in values:
            text[p.key] = ""
        elif p.key == "on":
            text[p.key] = "on" if values["on"] else "off"
        elif p.type == "boolean":
            text[p.key] = r.choice(("true", "enabled", "on") if values[p.key] else ("false", "disabled", "off"))
        else:
            text[p.key] = _show(values[p.key])
        if p.optional and text[p.key]:
            name = tool.names[p.key].replace("_", " ")
            text[p.key] = (
                p.optional[0].replace("{name_}", name).replace("{name}", name).replace("{" + p.key + "}", text[p.key])
            )
    please = r.choice(("", "", "", "please ", "can you ", "I want to ", "could you ", "I need to "))
    user = r.choice(tool.kind.asks).format(please=please, **text)
    if "{please}" in tool.kind.asks[0]:
        user = user[0].upper() + user[1:]
        user += "?" if please in ("can you ", "could you ") else r.choice((".", ".", ""))
    arguments = {tool.names[k]: v for k, v in values.items()}
    return user, arguments, text


def _why(tool: Tool, arguments: Json) -> str:
    head = f"The tool {tool.name} fits."
    if not arguments:
        return head + " It takes no arguments."
    return head + " Arguments: " + ", ".join(f"{k} = {_show(v)}" for k, v in arguments.items()) + "."


def _result(r: Rng, tool: Tool, arguments: Json, text: dict[str, str]) -> tuple[str, str, str, list[str]]:
    """Tool response, reasoning about it, final answer, values it must contain."""
    if r.random() < 0.08:
        error = r.choice(
            ("not found", "access denied", "timeout", "service unavailable", "invalid " + words.any_word(r))
        )
        return (
            json.dumps({"error": error}),
            f"The tool failed: {error}.",
            f"Sorry, the tool returned an error: {error}.",
            [error],
        )
    fields = {k: draw(r) for k, draw in tool.kind.result.items()}
    plain = dict(text)
    for p in tool.kind.params:
        if p.key == "on":
            plain["on"] = text["on"]
    slots = plain | {k: _show(v) for k, v in fields.items()}
    x = r.random()
    if len(fields) == 1 and x < 0.12:
        response = _show(next(iter(fields.values())))
    elif x < 0.2:
        response = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
    elif x < 0.3:
        items = list(fields.items())
        r.shuffle(items)
        response = json.dumps(
            dict(items) | {r.choice(("source", "unit", "id")): r.choice((1, 7, "api", "cache", "v2"))},
            ensure_ascii=False,
        )
    else:
        response = json.dumps(fields, ensure_ascii=False)
    reply = tool.kind.reply.format(**slots)
    think = "The tool answered: " + ", ".join(f"{k} = {_show(v)}" for k, v in fields.items()) + "."
    return response, think, reply[0].upper() + reply[1:], [slots.get(k, k) for k in tool.kind.shows]


def use(r: Rng, tool: Tool) -> Exchange:
    """A request for a tool: the call, its result and the answer."""
    user, arguments, text = _request(r, tool)
    response, think, reply, shown = _result(r, tool, arguments, text)
    call = Call(tool.name, arguments)
    check = {"kind": "tool_call", "calls": [{"name": call.name, "arguments": arguments}]}
    return Exchange(
        "tools",
        "en",
        user,
        [Step(_why(tool, arguments), "", check, [call], [response]), Step(think, reply, contains(shown))],
    )


def use_twice(r: Rng, tool: Tool) -> Exchange | None:
    """Two calls of one tool in one turn, for a tool with one string parameter."""
    p = tool.kind.params[0] if len(tool.kind.params) == 1 else None
    if p is None or p.key not in ("city", "symbol", "order", "code", "word", "id"):
        return None
    first, second = p.draw(r), p.draw(r)
    if first == second:
        return None
    ask = r.choice([a for a in tool.kind.asks if "{" + p.key + "}" in a])
    user = ask.format(**{p.key: f"{_show(first)} and {_show(second)}"})
    calls, results, parts, shown = [], [], [], []
    for value in (first, second):
        fields = {k: draw(r) for k, draw in tool.kind.result.items()}
        calls.append(Call(tool.name, {tool.names[p.key]: value}))
        results.append(json.dumps(fields, ensure_ascii=False))
        parts.append(tool.kind.reply.format(**({p.key: _show(value)} | {k: _show(v) for k, v in fields.items()})))
        shown += [_show(fields[k]) for k in tool.kind.shows]
    key = tool.names[p.key]
    why = f"The tool {tool.name} fits, two calls. {key} = {_show(first)}, then {key} = {_show(second)}."
    check = {"kind": "tool_call", "calls": [{"name": c.name, "arguments": c.arguments} for c in calls]}
    think = "The tool answered twice. " + "; ".join(results).replace('"', "").replace("{", "").replace("}", "") + "."
    return Exchange(
        "tools", "en", user, [Step(why, "", check, calls, results), Step(think, " ".join(parts), contains(shown))]
    )


def _plain(r: Rng, tools: list[Tool]) -> Exchange:
    """A question that needs no tool although tools are declared, or that none of them can serve."""
    x = r.random()
    if x < 0.45:
        exchange = unserved(r, tools)
    elif x < 0.7 and not any(t.kind.names[0] in ("calculator", "add") for t in tools):
        exchange = arithmetic.plain(r)
        exchange.steps[0].reasoning = "No tool is needed. " + exchange.steps[0].reasoning
    else:
        exchange = persona.talk(r, "en")
        exchange.steps[0].reasoning = "No tool is needed. " + exchange.steps[0].reasoning
    check = dict(exchange.steps[0].check)
    values = check.get("values") or [check["value"]]
    exchange.steps[0].check = {"kind": "no_tool_call", "values": values}
    return Exchange("tools", "en", exchange.user, exchange.steps)


def unserved(r: Rng, tools: list[Tool]) -> Exchange:
    """A request for a tool that is not declared."""
    taken = {t.kind.names[0] for t in tools} | {"add" if any(t.kind.names[0] == "calculator" for t in tools) else ""}
    while True:
        kind = r.choice(KINDS) if r.random() < 0.6 else invented(r)
        clash = kind.names[0] in taken or kind.names[0] in (
            "calculator",
            "add",
            "translate",
            "define_word",
            "search_web",
        )
        clash = clash or (kind.names[0] in _WEATHER and not taken.isdisjoint(_WEATHER))
        if not clash:
            break
    user, _, _ = _request(r, declare(r, kind))
    step = Step(
        "None of the declared tools fits this request. I say so.",
        persona.NO_TOOL,
        {"kind": "no_tool_call", "values": ["none of my tools"]},
    )
    return Exchange("tools", "en", user, [step])


def generate(r: Rng) -> tuple[list[Json], list[Exchange]]:
    """Tool declarations and one to three exchanges with them."""
    count = r.choice((1, 2, 2, 3, 3, 4))
    kinds: list[Kind] = []
    while len(kinds) < count:
        kind = r.choice(KINDS) if r.random() < 0.6 else invented(r)
        if kind.names[0] not in [k.names[0] for k in kinds]:
            kinds.append(kind)
    for rivals in (["calculator", "add"], _WEATHER, ["define_word", "translate"]):
        present = [k.names[0] for k in kinds if k.names[0] in rivals]
        kinds = [k for k in kinds if k.names[0] not in present[1:]]
    tools = [declare(r, k) for k in kinds]
    if len({t.name for t in tools}) < len(tools):
        return generate(r)
    exchanges = []
    for _ in range(r.choice((1, 1, 2, 2, 3))):
        x = r.random()
        if x < 0.25:
            exchanges.append(_plain(r, tools))
            continue
        tool = r.choice(tools)
        twice = use_twice(r, tool) if x < 0.33 else None
        exchanges.append(twice or use(r, tool))
    return [t.declaration for t in tools], exchanges
