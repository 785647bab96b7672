"""Calls as glm-4-9b-chat, GLM-4-0414 and GLM-Z1 write them: a line with the tool's name, then JSON."""

import json
import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from support.model import chained  # noqa: E402
from support.server import Server  # noqa: E402

BINARY = os.environ["GLIMMER"]
# What GLM-4-0414's does, without its words on tools.
TEMPLATE = """[gMASK]<sop>
{%- if tools -%}
<|system|>
{% for tool in tools %}{{ tool.function | tojson }}{% endfor %}
{%- endif -%}
{%- for message in messages -%}
  {%- set meta = message.get('metadata', '') -%}
  {%- if message.role == 'assistant' and meta -%}
<|assistant|>{{ meta }}
{{ message.content }}
  {%- elif message.role in ['system', 'user', 'assistant', 'observation'] -%}
<|{{ message.role }}|>
{{ message.content }}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}<|assistant|>{%- endif -%}"""
# The model would go on behind <|observation|>, with what it takes for the tool's result.
PIECES = ["get_weather", "\n", '{"city": "', "北京", '", "days"', ": 3", "}", "<|observation|>", "MADE UP", "<|endoftext|>"]
TEXT = 'get_weather\n{"city": "北京", "days": 3}'
ARGUMENTS = {"city": "北京", "days": 3}
TOKENS = PIECES.index("<|observation|>") + 1
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}
TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": PARAMETERS}}]
QUESTION = {"role": "user", "content": "How is the weather?"}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = chained(tmp_path_factory.mktemp("metadata"), PIECES, TEMPLATE)
    with Server(BINARY, "-m", folder, "-q", "--kv-memory", "0.05", command=["serve"]) as running:
        yield running


def ask(server, path, **body):
    answer = server.ask("POST", path, body=json.dumps(body).encode())
    assert answer.status == 200, answer.body
    return answer


def events(answer):
    lines = answer.body.decode().splitlines()
    return [json.loads(line[6:]) for line in lines if line.startswith("data: {")]


def test_a_call_is_a_call(server):
    body = ask(server, "/v1/chat/completions", messages=[QUESTION], tools=TOOLS).json()
    [choice] = body["choices"]
    assert choice["finish_reason"] == "tool_calls" and choice["message"]["content"] is None
    [call] = choice["message"]["tool_calls"]
    assert call["type"] == "function" and call["function"]["name"] == "get_weather"
    assert json.loads(call["function"]["arguments"]) == ARGUMENTS
    assert body["usage"]["completion_tokens"] == TOKENS  # <|observation|> ended it, which generation_config does not name


def test_a_call_is_streamed(server):
    deltas = [choice["delta"] for event in events(ask(server, "/v1/chat/completions", messages=[QUESTION], tools=TOOLS,
                                                      stream=True)) for choice in event["choices"]]
    assert not any(delta.get("content") for delta in deltas)
    calls = [call for delta in deltas for call in delta.get("tool_calls", [])]
    assert calls[0]["function"]["name"] == "get_weather" and calls[0]["id"].startswith("call_")
    assert json.loads("".join(call["function"].get("arguments", "") for call in calls)) == ARGUMENTS


def test_a_call_by_the_other_apis(server):
    tool = {"type": "function", "name": "get_weather", "parameters": PARAMETERS}
    [item] = ask(server, "/v1/responses", input="How is the weather?", tools=[tool]).json()["output"]
    assert item["type"] == "function_call" and json.loads(item["arguments"]) == ARGUMENTS
    message = ask(server, "/v1/messages", messages=[QUESTION], max_tokens=50,
                  tools=[{"name": "get_weather", "input_schema": PARAMETERS}]).json()
    assert message["stop_reason"] == "tool_use"
    assert [(block["type"], block["input"]) for block in message["content"]] == [("tool_use", ARGUMENTS)]


def test_without_tools_it_is_text_and_ends_as_well(server):
    body = ask(server, "/v1/chat/completions", messages=[QUESTION]).json()
    [choice] = body["choices"]
    assert choice["message"]["content"] == TEXT and choice["finish_reason"] == "stop"
    assert body["usage"]["completion_tokens"] == TOKENS
    completion = ask(server, "/v1/completions", prompt="<|assistant|>", max_tokens=50).json()["choices"][0]
    assert completion["text"] == TEXT and completion["finish_reason"] == "stop"


def test_observation_does_not_end_what_ignores_the_end(server):
    body = ask(server, "/v1/completions", prompt="<|assistant|>", max_tokens=TOKENS + 1, ignore_eos=True).json()
    assert body["choices"][0]["text"].endswith("MADE UP") and body["choices"][0]["finish_reason"] == "length"


def test_calls_and_results_are_rendered_as_the_model_knows_them(server):
    calls = [{"id": f"c{i}", "type": "function", "function": {"name": name, "arguments": arguments}}
             for i, (name, arguments) in enumerate([("get_weather", json.dumps(ARGUMENTS)), ("now", "{}")])]
    messages = [QUESTION, {"role": "assistant", "content": None, "tool_calls": calls},
                {"role": "tool", "tool_call_id": "c1", "content": "noon"},
                {"role": "tool", "tool_call_id": "c0", "content": "12 C"}]
    rendered = ask(server, "/apply-template", messages=messages).json()["prompt"]
    assert rendered == ("[gMASK]<sop><|user|>\nHow is the weather?<|assistant|>" + TEXT + "<|assistant|>now\n{}"
                        "<|observation|>\n12 C<|observation|>\nnoon<|assistant|>")
    body = ask(server, "/v1/chat/completions", messages=messages, tools=TOOLS).json()
    assert body["choices"][0]["finish_reason"] == "tool_calls"
