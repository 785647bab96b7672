"""What agents and other servers' clients send to `glimmer serve`: tools that are no functions, items and blocks of theirs, contents
in every form, fields of other servers; and that docs/serve.md tells what becomes of each field."""

import json
import os
import re
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from support.server import Reader, Server, send  # noqa: E402

BINARY = os.environ["GLIMMER"]
ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..")
MODEL = os.path.join(ROOT, "models", "demo")
SUM = {"role": "user", "content": "What is 17 + 25?"}
QUICK = {"chat_template_kwargs": {"enable_thinking": False}}
SHORT = {**QUICK, "max_tokens": 2}
BODIES = {
    "/v1/chat/completions": {"messages": [SUM], **SHORT},
    "/v1/completions": {"prompt": "Hello", "max_tokens": 2},
    "/v1/responses": {"input": [SUM], **QUICK, "max_output_tokens": 2},
    "/v1/messages": {"messages": [SUM], **SHORT},
}
FUNCTION = {"name": "get_weather", "description": "Get the weather of a city",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}


@pytest.fixture(scope="module")
def server():
    with Server(BINARY, "-m", MODEL, "-q", command=["serve"]) as running:
        yield running


def post(server, path, body, **fields):
    return server.ask("POST", path, headers={"Content-Type": "application/json"}, body=json.dumps({**body, **fields}).encode())


def prompt_of(server, messages, **fields):
    answer = post(server, "/apply-template", {"messages": messages, **fields})
    assert answer.status == 200, answer.body
    return answer.json()["prompt"]


def refusal(answer):
    assert answer.status == 400, answer.body
    return answer.json()["error"]["message"]


# ---- Codex ----

CODEX_TOOLS = [
    {"type": "function", "name": "shell_command", "strict": False, "parameters": {"type": "object", "properties": {}}},
    {"type": "custom", "name": "apply_patch", "format": {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"}},
    {"type": "web_search", "external_web_access": True}, {"type": "local_shell"}, {"type": "tool_search"},
    {"type": "mcp", "server_label": "x", "server_url": "https://x"},
    {"type": "namespace", "name": "mcp__weather__", "description": "Weather",
     "tools": [{"type": "function", **FUNCTION}, {"type": "custom", "name": "free"}]},
]


def test_takes_codex_as_it_comes(server):
    body = {"model": "gpt-5-codex", "instructions": "You are a coding agent.", "store": False, "tools": CODEX_TOOLS,
            "tool_choice": "auto", "parallel_tool_calls": False, "reasoning": {"effort": "none", "summary": "none"},
            "include": ["reasoning.encrypted_content"], "prompt_cache_key": "k", "client_metadata": {"a": "b"},
            "text": {"verbosity": "medium"},
            "input": [{"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Be brief."}]},
                      {"type": "message", **SUM}]}
    answer = post(server, "/v1/responses", body, metadata={"mine": "yes"}).json()
    assert answer["status"] == "completed"
    assert answer["metadata"]["mine"] == "yes"
    left_out = answer["metadata"]["left_out"].split(", ")
    assert left_out == ["tools[1]", "tools[2]", "tools[3]", "tools[4]", "tools[5]", "tools[6].tools[1]"]
    assert answer["reasoning"] == {"effort": "none", "summary": None}
    server.wait_for_log(r"tools\[2\]: left out: a tool of type")
    assert "left_out" not in post(server, "/v1/responses", BODIES["/v1/responses"]).json()["metadata"]


def test_says_so_in_bounds_whatever_is_left_out(server):
    answer = post(server, "/v1/responses", BODIES["/v1/responses"], tools=[{"type": "web_search"}] * 300).json()
    assert len(answer["metadata"]["left_out"]) <= 512 and answer["metadata"]["left_out"].endswith(", ...")


@pytest.mark.parametrize("stream", [False, True])
def test_calls_functions_of_a_namespace_by_both_names(server, stream):
    body = {"input": "What is the weather in Paris?", "tools": [CODEX_TOOLS[-1]], "stream": stream, **QUICK}
    answer = post(server, "/v1/responses", body)
    if stream:
        events = [json.loads(line[6:]) for line in answer.body.decode().split("\n") if line.startswith("data: {")]
        for event in events:
            if event["type"] in ("response.output_item.added", "response.output_item.done"):
                assert (event["item"]["namespace"], event["item"]["name"]) == ("mcp__weather__", "get_weather")
            if event["type"] == "response.function_call_arguments.done":
                assert event["name"] == "get_weather"
        call = events[-1]["response"]["output"][0]
    else:
        call = answer.json()["output"][0]
    assert (call["type"], call["namespace"], call["name"]) == ("function_call", "mcp__weather__", "get_weather")
    assert json.loads(call["arguments"]) == {"city": "Paris"}
    back = post(server, "/v1/responses", {"input": [{"role": "user", "content": "What is the weather in Paris?"}, call,
                                                    {"type": "function_call_output", "call_id": call["call_id"], "output": "sun"}],
                                          "tools": [CODEX_TOOLS[-1]], "max_output_tokens": 2})
    assert back.status == 200


ITEMS = [
    {"type": "web_search_call", "id": "w", "status": "completed", "action": {"type": "search", "query": "x"}},
    {"type": "local_shell_call", "call_id": "l", "status": "completed", "action": {"type": "exec", "command": ["ls"]}},
    {"type": "local_shell_call_output", "id": "l", "output": "{}"},
    {"type": "custom_tool_call", "call_id": "c", "name": "apply_patch", "input": "*** Begin Patch"},
    {"type": "custom_tool_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "done"}]},
    {"type": "mcp_list_tools", "server_label": "x", "tools": []},
    {"type": "mcp_call", "id": "m", "server_label": "x", "name": "f", "arguments": "{}", "output": "ok", "error": None},
    {"type": "mcp_approval_request", "id": "a", "name": "f", "arguments": "{}"},
    {"type": "mcp_approval_response", "approval_request_id": "a", "approve": True},
    {"type": "item_reference", "id": "msg_1"}, {"id": "msg_1"},
    {"type": "compaction", "encrypted_content": "x"}, {"type": "ghost_snapshot", "ghost_commit": {}},
    {"type": "image_generation_call", "id": "i", "result": "AAAA"},
    {"type": "code_interpreter_call", "id": "i", "code": "1", "outputs": None, "container_id": "c"},
    {"type": "file_search_call", "id": "f", "queries": ["x"], "results": None},
    {"type": "computer_call", "call_id": "d", "action": {"type": "click", "x": 1, "y": 2}, "pending_safety_checks": []},
    {"type": "computer_call_output", "call_id": "d", "output": {"type": "computer_screenshot", "image_url": "data:"}},
    {"type": "apply_patch_call", "call_id": "p", "operation": {"type": "delete_file", "path": "a"}, "status": "completed"},
    {"type": "apply_patch_call_output", "call_id": "p", "status": "completed"},
    {"type": "reasoning", "summary": [], "content": None, "encrypted_content": "x"},
    {"type": "function_call_output", "call_id": "z", "output": None},
    {"role": "assistant", "content": None}, {"role": "user"}, {"type": "message", "role": "system", "content": []},
    {"type": "not_invented_yet", "anything": [1]},
]


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.get("type", "no_type"))
def test_takes_items_of_every_kind(server, item):
    answer = post(server, "/v1/responses", BODIES["/v1/responses"], input=[SUM, item, SUM])
    assert answer.status == 200, answer.body


def test_shows_custom_calls_to_the_model():
    with Server(BINARY, "-m", MODEL, "-q", "--log-prompts", command=["serve"]) as logging:
        post(logging, "/v1/responses", BODIES["/v1/responses"], input=[SUM, ITEMS[3], ITEMS[4], SUM])
        line = logging.wait_for_log(r".*event=request.*\n").group()
        assert "<tool_call>apply_patch<arg_key>input</arg_key><arg_value>*** Begin Patch</arg_value></tool_call>" in line
        assert "<tool_response>done</tool_response>" in line


# ---- Claude Code and Anthropic's own tools ----

WEATHER = {"name": "get_weather", "description": FUNCTION["description"], "input_schema": FUNCTION["parameters"]}


@pytest.mark.parametrize("kind", ["web_search_20250305", "bash_20250124", "text_editor_20250728", "computer_20250124",
                                  "code_execution_20250825", "memory_20250818", "web_fetch_20250910", "tool_search_tool_regex_20251119"])
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
def test_leaves_out_tools_that_run_elsewhere(server, kind, path):
    body = {"messages": [SUM], **({"max_tokens": 2} if path == "/v1/messages" else {})}
    alone = post(server, path, body, tools=[WEATHER]).json()
    both = post(server, path, body, tools=[{"type": kind, "name": "x", "max_uses": 8}, WEATHER]).json()
    if path == "/v1/messages":
        tokens = [a["usage"]["input_tokens"] + a["usage"]["cache_read_input_tokens"] for a in (alone, both)]
    else:
        tokens = [alone["input_tokens"], both["input_tokens"]]
    assert tokens[0] == tokens[1]
    server.wait_for_log(re.escape(kind))


BLOCKS = [
    [{"type": "server_tool_use", "id": "w", "name": "web_search", "input": {"query": "x"}},
     {"type": "web_search_tool_result", "tool_use_id": "w",
      "content": [{"type": "web_search_result", "url": "https://x", "title": "X", "encrypted_content": "e", "page_age": None}]}],
    [{"type": "web_search_tool_result", "tool_use_id": "none", "content": {"type": "web_search_tool_result_error"}}],
    [{"type": "server_tool_use", "id": "w", "name": "web_search", "input": {}}],
    [{"type": "mcp_tool_use", "id": "m", "name": "f", "server_name": "s", "input": {}},
     {"type": "mcp_tool_result", "tool_use_id": "m", "is_error": False, "content": [{"type": "text", "text": "ok"}]}],
    [{"type": "server_tool_use", "id": "c", "name": "bash_code_execution", "input": {"command": "ls"}},
     {"type": "bash_code_execution_tool_result", "tool_use_id": "c",
      "content": {"type": "bash_code_execution_result", "stdout": "a", "stderr": "", "return_code": 0, "content": []}}],
    [{"type": "redacted_thinking", "data": "x"}, {"type": "text", "text": "Yes."}],
    [{"type": "compaction", "content": "We spoke of sums."}],
    [{"type": "not_invented_yet", "anything": 1}],
]


@pytest.mark.parametrize("blocks", BLOCKS, ids=lambda blocks: blocks[-1]["type"])
def test_takes_blocks_of_every_kind(server, blocks):
    messages = [SUM, {"role": "assistant", "content": blocks}, SUM]
    answer = post(server, "/v1/messages", BODIES["/v1/messages"], messages=messages, mcp_servers=[{"url": "https://x"}],
                  container="c")
    assert answer.status == 200, answer.body


# A conversation that once had an image goes on.
@pytest.mark.parametrize("block", [
    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
    {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"}},
    {"type": "search_result", "source": "https://x", "title": "X", "content": [{"type": "text", "text": "ok"}]},
    {"type": "tool_reference", "tool_name": "x"}])
def test_goes_on_behind_an_image_in_a_result(server, block):
    messages = [SUM, {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "Read", "input": {"path": "a"}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": [block]}, block]
                 if block["type"] != "tool_reference" else [{"type": "tool_result", "tool_use_id": "t", "content": [block]}]}]
    assert post(server, "/v1/messages", BODIES["/v1/messages"], messages=messages).status == 200


# ---- content ----

def test_reads_content_in_every_form(server):
    parts = [{"type": "input_text", "text": "Look:"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
             {"type": "output_text", "text": "and say."}]
    prompt = prompt_of(server, [{"role": "user", "content": parts}])
    assert "<|user|>Look:\n[image left out: the model reads text only]\nand say." in prompt
    prompt = prompt_of(server, [{"role": "user"}, {"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm."},
                                                                                 {"type": "text", "text": "Hello!"}]},
                                {"role": "user", "content": None}], chat_template_kwargs={"clear_thinking": False})
    assert "<think>Hm.</think>Hello!" in prompt


def test_refuses_images_where_it_is_told_to():
    with Server(BINARY, "-m", MODEL, "-q", "--images", "refuse", command=["serve"]) as strict:
        for path, field, part in [("/v1/chat/completions", "messages", {"type": "image_url", "image_url": {"url": "data:"}}),
                                  ("/v1/chat/completions", "messages", {"type": "input_audio", "input_audio": {}}),
                                  ("/v1/responses", "input", {"type": "input_image", "image_url": "data:"}),
                                  ("/v1/responses", "input", {"type": "input_file", "file_data": "AAAA"}),
                                  ("/v1/messages", "messages", {"type": "image", "source": {"type": "url", "url": "x"}}),
                                  ("/v1/messages", "messages", {"type": "document", "source": {"type": "base64", "data": "A"}})]:
            answer = post(strict, path, BODIES[path], **{field: [{"role": "user", "content": [part]}]})
            assert "text only" in refusal(answer)
        text = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "What is 17 + 25?"}}
        assert post(strict, "/v1/messages", BODIES["/v1/messages"], messages=[{"role": "user", "content": [text]}]).status == 200
        assert post(strict, "/v1/chat/completions", BODIES["/v1/chat/completions"]).status == 200


@pytest.mark.parametrize("arguments", ["null", "", " ", "[]", {}, [], None])
def test_shows_calls_without_arguments_as_such(server, arguments):
    call = {"id": "c", "type": "function", "function": {"name": "now", "arguments": arguments}}
    messages = [{"role": "user", "content": "Time?"}, {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "c"}]
    assert "<tool_call>now</tool_call>" in prompt_of(server, messages)


# ---- fields ----

BINDING = {"guided_json": {"type": "object"}, "guided_regex": "a", "guided_choice": ["a"], "guided_grammar": "root ::= \"a\"",
           "structured_outputs": {"json": {}}, "grammar": "root ::= \"a\"", "json_schema": {"type": "object"}, "regex": "a",
           "ebnf": "root ::= \"a\"", "format": "json", "output_format": {"type": "json_schema"}, "min_tokens": 5,
           "bad_words": ["a"], "response_format": {"type": "json_schema", "json_schema": {}},
           "text": {"format": {"type": "json_object"}}, "output_config": {"format": {"type": "json_schema", "schema": {}}},
           "logits_processors": ["x"], "allowed_token_ids": [5], "stop_regex": "a", "json_mode": True}


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("field", BINDING)
def test_never_answers_200_where_a_form_was_asked_for(server, path, field):
    assert field in refusal(post(server, path, BODIES[path], **{field: BINDING[field]}))
    assert post(server, path, BODIES[path], **{field: None}).status == 200


@pytest.mark.parametrize("path", BODIES)
def test_repeat_penalty_is_the_repetition_penalty(server, path):
    def text(**fields):
        answer = post(server, path, {**BODIES[path], "max_tokens": 20, "temperature": 0}, **fields).json()
        return json.dumps(answer.get("choices") or answer.get("output") or answer["content"]).replace(str(answer["id"]), "")

    strong = re.sub(r'"id": "\w+"', "", text(repeat_penalty=100))
    assert strong == re.sub(r'"id": "\w+"', "", text(repetition_penalty=100))
    assert strong != re.sub(r'"id": "\w+"', "", text())


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens", "n_predict", "max_new_tokens", "num_predict"])
def test_minus_one_is_no_limit(server, field):
    answer = post(server, "/v1/chat/completions", {"messages": [SUM], **QUICK}, **{field: -1}).json()
    assert answer["choices"][0]["message"]["content"] == "17 + 25 = 42."
    assert answer["choices"][0]["finish_reason"] == "stop"
    short = post(server, "/v1/chat/completions", {"messages": [SUM], **QUICK}, **{field: 3}).json()
    assert short["usage"]["completion_tokens"] == 3


@pytest.mark.parametrize("choice", ["auto", {"type": "auto"}, "none", {"type": "none"}])
@pytest.mark.parametrize("path, tool", [("/v1/chat/completions", {"type": "function", "function": FUNCTION}),
                                        ("/v1/responses", {"type": "function", **FUNCTION}), ("/v1/messages", WEATHER)])
def test_tool_choice_means_the_same_in_every_spelling(server, path, tool, choice):
    assert post(server, path, BODIES[path], tools=[tool], tool_choice=choice).status == 200
    for strict in ("required", "any", {"type": "any"}, {"type": "tool", "name": "get_weather"},
                   {"type": "function", "function": {"name": "get_weather"}}, {"type": "function", "name": "get_weather"}):
        assert "structured output" in refusal(post(server, path, BODIES[path], tools=[tool], tool_choice=strict))


def documented_fields():
    """Of docs/serve.md: field -> (what becomes of it by API, the values that are taken of a refused one)."""
    with open(os.path.join(ROOT, "docs", "serve.md"), encoding="utf-8") as file:
        section = file.read().split("\n### Fields\n")[1].split("\n### ")[0]
    found = {}
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")] if line.startswith("| `") else []
        if not cells:
            continue
        taken = [json.loads(value) for value in re.findall(r"`([^`]*)`", cells[5])] if "refused" in cells[1:5] else []
        for name in re.findall(r"`([^`]+)`", cells[0]):
            assert name not in found, f"{name} has two rows"
            found[name] = (dict(zip(BODIES, cells[1:5])), taken)
    return found


def test_documents_what_becomes_of_every_field(server):
    paths = json.loads(server.ask("GET", "/openapi.json").body)["paths"]
    documented = documented_fields()
    assert len(documented) > 150
    real = {}
    for path in BODIES:
        schema = paths[path]["post"]["requestBody"]["content"]["application/json"]["schema"]
        for name, row in schema["properties"].items():
            use = row["x-glimmer-use"]
            real.setdefault(name, {})[path] = use
            assert documented[name][0][path] == use, (name, path)
            if use == "refused":
                assert [value for value in row["enum"] if value is not None] == documented[name][1], name
    for name, (uses, _) in documented.items():
        for path, use in uses.items():
            assert real.get(name, {}).get(path, "") == use, (name, path, "is no field")
