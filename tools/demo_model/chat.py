"""The GLM-4.7 conversation format: messages, text segments with loss flags, parsing of answers, and checking."""

from __future__ import annotations

import json
import re
from typing import Any

from conversation import Conversation, Json, Step
from tasks import story

SPECIAL_TOKENS = [
    "<|endoftext|>",
    "[MASK]",
    "[gMASK]",
    "[sMASK]",
    "<sop>",
    "<eop>",
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
    "<|observation|>",
    "<|begin_of_image|>",
    "<|end_of_image|>",
    "<|begin_of_video|>",
    "<|end_of_video|>",
    "<|begin_of_audio|>",
    "<|end_of_audio|>",
    "<|begin_of_transcription|>",
    "<|end_of_transcription|>",
]
PLAIN_ADDED_TOKENS = [
    "<|code_prefix|>",
    "<|code_middle|>",
    "<|code_suffix|>",
    "<think>",
    "</think>",
    "<tool_call>",
    "</tool_call>",
    "<tool_response>",
    "</tool_response>",
    "<arg_key>",
    "</arg_key>",
    "<arg_value>",
    "</arg_value>",
    "/nothink",
    "<|begin_of_box|>",
    "<|end_of_box|>",
    "<|image|>",
    "<|video|>",
]
EOS_TOKENS = ["<|endoftext|>", "<|user|>", "<|observation|>"]

_TOOLS_HEAD = (
    "<|system|>\n# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>\n"
)
_TOOLS_TAIL = (
    "</tools>\n\nFor each function call, output the function name and arguments within the following XML format:\n"
    "<tool_call>{function-name}<arg_key>{arg-key-1}</arg_key><arg_value>{arg-value-1}</arg_value>"
    "<arg_key>{arg-key-2}</arg_key><arg_value>{arg-value-2}</arg_value>...</tool_call>"
)

Segment = tuple[str, bool]


def _calls_text(step: Step) -> str:
    out = ""
    for call in step.calls:
        out += f"<tool_call>{call.name}"
        for key, value in call.arguments.items():
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            out += f"<arg_key>{key}</arg_key><arg_value>{text}</arg_value>"
        out += "</tool_call>"
    return out


def segments(conversation: Conversation, thinking: str) -> list[Segment]:
    """Rendered text in pieces, each with a flag: True where the model is to produce it.

    `thinking` is "off", "on" (reasoning kept after the last user message only, as the template does by default) or
    "keep" (reasoning kept everywhere, clear_thinking=false). A piece always begins and ends at a special token.
    """
    head = "[gMASK]<sop>"
    if conversation.tools:
        head += (
            _TOOLS_HEAD + "".join(json.dumps(t, ensure_ascii=False) + "\n" for t in conversation.tools) + _TOOLS_TAIL
        )
    if conversation.system:
        head += "<|system|>" + conversation.system
    out: list[Segment] = [(head, False)]
    last = len(conversation.exchanges) - 1
    for i, exchange in enumerate(conversation.exchanges):
        out.append(("<|user|>", i > 0))
        out.append((exchange.user, False))
        shown = thinking == "keep" or (thinking == "on" and i == last)
        for step in exchange.steps:
            body = _calls_text(step) if step.calls else step.content
            if shown:
                out.append(("<|assistant|><think>", False))
                out.append((f"{step.reasoning}</think>{body}", True))
            else:
                out.append(("<|assistant|></think>", False))
                out.append((body, True))
            if step.calls:
                out.append(("<|observation|>", True))
                out.append(("".join(f"<tool_response>{t}</tool_response>" for t in step.results), False))
    out.append(("<|user|>", True))
    return out


def messages(conversation: Conversation, steps: int, thinking: bool) -> list[Json]:
    """Template messages up to, and without, step number `steps` of the last exchange."""
    out: list[Json] = []
    if conversation.system:
        out.append({"role": "system", "content": conversation.system})
    for i, exchange in enumerate(conversation.exchanges):
        out.append({"role": "user", "content": exchange.user})
        final = i == len(conversation.exchanges) - 1
        for step in exchange.steps[:steps] if final else exchange.steps:
            message: Json = {"role": "assistant", "content": step.content}
            if final and thinking:
                message["reasoning_content"] = step.reasoning
            if step.calls:
                message["tool_calls"] = [
                    {"type": "function", "function": {"name": c.name, "arguments": c.arguments}} for c in step.calls
                ]
            out.append(message)
            out += [{"role": "tool", "content": text} for text in step.results]
    return out


def split_thinking(text: str, thinking: bool) -> tuple[str, str] | None:
    """Reasoning and answer of a generated text, or None when the reasoning never ends."""
    if not thinking:
        return "", text
    if "</think>" not in text:
        return None
    reasoning, _, reply = text.partition("</think>")
    return reasoning, reply


_CALL = re.compile(r"<tool_call>(.*?)</tool_call>", re.S)
_ARG = re.compile(r"<arg_key>(.*?)</arg_key><arg_value>(.*?)</arg_value>", re.S)


def parse_calls(text: str, tools: list[Json]) -> list[Json]:
    """Tool calls of an answer; values are typed by the declared schema as the usual GLM parsers do."""
    schemas = {}
    for tool in tools:
        function = tool.get("function", tool)
        schemas[function["name"]] = function["parameters"]["properties"]
    calls = []
    for body in _CALL.findall(text):
        name = body.split("<arg_key>")[0]
        arguments: dict[str, Any] = {}
        for key, value in _ARG.findall(body):
            if schemas.get(name, {}).get(key, {}).get("type") == "string":
                arguments[key] = value
                continue
            try:
                arguments[key] = json.loads(value)
            except ValueError:
                arguments[key] = value
        calls.append({"name": name, "arguments": arguments})
    return calls


def accepts(check: Json, text: str, thinking: bool, tools: list[Json] | None) -> bool:
    """Judge a generated text (without the final EOS) by its check."""
    parts = split_thinking(text, thinking)
    if parts is None:
        return False
    reply = parts[1].strip()
    kind = check["kind"]
    if kind == "tool_call":
        found = parse_calls(reply, tools or [])
        same_types = json.dumps(found, sort_keys=True) == json.dumps(check["calls"], sort_keys=True)
        return same_types and "<tool_call>" in reply
    if "<tool_call>" in reply:
        return False
    if kind == "equals":
        return reply == check["value"]
    if kind == "story":
        return story.check(check["words"], reply)
    lowered = reply.lower()
    return all(v.lower() in lowered for v in check["values"]) and not any(
        v.lower() in lowered for v in check.get("excludes", [])
    )
