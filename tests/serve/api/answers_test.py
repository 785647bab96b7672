"""What lies between a request and its answer: the order of tools' results, answers that were begun, large numbers."""

import json
import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from support.model import demo_with_template, without  # noqa: E402
from support.server import Server  # noqa: E402

BINARY = os.environ["GLIMMER"]
MODEL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "models", "demo")
SUM = {"role": "user", "content": "What is 17 + 25?"}
NO_THINKING = {"enable_thinking": False}
CLOSING = ("{%- for m in messages -%}<|{{ m.role }}|>{{ '</think>' if m.role == 'assistant' }}{{ m.content }}"
           "<|endoftext|>{% endfor -%}{%- if add_generation_prompt -%}<|assistant|></think>{% endif -%}")


@pytest.fixture(scope="module")
def server():
    with Server(BINARY, "-m", MODEL, "-q", "--log-prompts", command=["serve"]) as running:
        yield running


@pytest.fixture(scope="module")
def closing(tmp_path_factory):
    """A model whose template closes every turn, and keeps white space."""
    folder = demo_with_template(MODEL, tmp_path_factory.mktemp("closing"), CLOSING)
    with Server(BINARY, "-m", folder, "-q", command=["serve"]) as running:
        yield running


def ask(server, path, **body):
    answer = server.ask("POST", path, headers={"Content-Type": "application/json"}, body=json.dumps(body).encode())
    return answer


def post(server, path, **body):
    answer = ask(server, path, **body)
    assert answer.status == 200, answer.body
    return answer.json()


def stream(server, path, **body):
    """The objects of a stream's events."""
    answer = ask(server, path, stream=True, **body)
    assert answer.status == 200, answer.body
    lines = answer.body.decode().split("\n")
    return [json.loads(line[5:]) for line in lines if line.startswith("data:") and line.strip() != "data: [DONE]"]


def call(id, city):
    return {"id": id, "type": "function", "function": {"name": "weather", "arguments": json.dumps({"city": city})}}


# ---- results of tools ----

IN_ORDER = "<tool_response>sunny</tool_response><tool_response>snow</tool_response>"


def test_results_of_parallel_calls_take_the_order_of_the_calls(server):
    messages = [SUM, {"role": "assistant", "content": None, "tool_calls": [call("r", "Rome"), call("o", "Oslo")]},
                {"role": "tool", "tool_call_id": "o", "content": "snow"},
                {"role": "tool", "tool_call_id": "r", "content": "sunny"}]
    assert IN_ORDER in post(server, "/apply-template", messages=messages)["prompt"]
    ordered = messages[:2] + messages[:1:-1]
    assert post(server, "/tokenize", messages=messages) == post(server, "/tokenize", messages=ordered)
    post(server, "/v1/chat/completions", messages=messages, max_tokens=1)
    server.wait_for_log("put in the order of their calls")


def test_results_are_put_in_order_in_the_other_apis_too(server):
    messages = [{"role": "user", "content": "go"},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "r", "name": "weather", "input": {"city": "Rome"}},
                                                  {"type": "tool_use", "id": "o", "name": "weather", "input": {"city": "Oslo"}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "o", "content": "snow"},
                                             {"type": "tool_result", "tool_use_id": "r", "content": "sunny"},
                                             {"type": "text", "text": "and?"}]}]
    ordered = json.loads(json.dumps(messages))
    ordered[2]["content"][:2] = ordered[2]["content"][1::-1]
    def text(body):
        return post(server, "/v1/messages", max_tokens=16, temperature=0, messages=body)["content"]
    assert text(messages) == text(ordered)

    items = [{"role": "user", "content": "go"},
             {"type": "function_call", "call_id": "r", "name": "weather", "arguments": '{"city": "Rome"}'},
             {"type": "function_call", "call_id": "o", "name": "weather", "arguments": '{"city": "Oslo"}'},
             {"type": "function_call_output", "call_id": "o", "output": "snow"},
             {"type": "function_call_output", "call_id": "r", "output": "sunny"}]
    post(server, "/v1/responses", input=items, max_output_tokens=1)
    server.wait_for_log(r"/v1/responses.*" + IN_ORDER)


@pytest.mark.parametrize("ids, remark", [(["o", "x"], "no call before"), (["o", "o"], "two results"), (["o", None], "no id"),
                                         (["o"], "1 for 2 calls")])
def test_results_whose_ids_do_not_tell_stay_and_are_told_of(server, ids, remark):
    results = [{"role": "tool", "content": f"result {i}", **({"tool_call_id": id} if id else {})} for i, id in enumerate(ids)]
    messages = [SUM, {"role": "assistant", "content": "", "tool_calls": [call("r", "Rome"), call("o", "Oslo")]}, *results]
    prompt = post(server, "/apply-template", messages=messages)["prompt"]
    places = [prompt.index(f"result {i}") for i in range(len(ids))]
    assert places == sorted(places)
    server.wait_for_log(remark)


# ---- answers that were begun ----

BEGUN = ["17 + 25 =", "17 + 25 =\n", " 17 + 25 = \n\n", "17"]


@pytest.mark.parametrize("text", BEGUN)
def test_a_begun_answer_is_gone_on_with(server, text):
    whole = {"messages": [SUM, {"role": "assistant", "content": text}], "chat_template_kwargs": NO_THINKING}
    prompt = post(server, "/apply-template", continue_final_message=True, add_generation_prompt=False, **whole)["prompt"]
    assert prompt.endswith("<|assistant|></think>" + text.strip())
    raw = post(server, "/v1/completions", prompt=prompt, temperature=0, max_tokens=40)["choices"][0]
    assert raw["finish_reason"] == "stop"

    body = {"continue_final_message": True, **whole}
    choice = post(server, "/v1/chat/completions", logprobs=True, **body)["choices"][0]
    assert choice["message"]["content"] == raw["text"]
    assert "".join(entry["token"] for entry in choice["logprobs"]["content"]) == raw["text"]
    events = stream(server, "/v1/chat/completions", **body)
    assert "".join(e["choices"][0]["delta"].get("content") or "" for e in events if e["choices"]) == raw["text"]
    # The message may say so itself.
    for field in ("prefix", "partial"):
        messages = [SUM, {"role": "assistant", "content": text, field: True}]
        body = {"messages": messages, "chat_template_kwargs": NO_THINKING}
        assert post(server, "/v1/chat/completions", **body)["choices"][0]["message"]["content"] == raw["text"]

    messages = [SUM, {"role": "assistant", "content": text}]
    answer = post(server, "/v1/messages", messages=messages, max_tokens=40, temperature=0)
    assert "".join(block["text"] for block in answer["content"]) == raw["text"]
    events = stream(server, "/v1/messages", messages=messages, max_tokens=40, temperature=0)
    assert "".join(e["delta"].get("text", "") for e in events if e["type"] == "content_block_delta") == raw["text"]

    item = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}
    for extra in ({"input": [SUM, {**item, "status": "incomplete"}]},
                  {"input": [SUM, item], "continue_final_message": True}):
        answer = post(server, "/v1/responses", chat_template_kwargs=NO_THINKING, **extra)
        assert answer["output"][0]["content"][0]["text"] == raw["text"]
    events = stream(server, "/v1/responses", input=[SUM, {**item, "status": "in_progress"}])
    assert "".join(e["delta"] for e in events if e["type"] == "response.output_text.delta") == raw["text"]


def test_begun_reasoning_is_gone_on_with(server):
    messages = [SUM, {"role": "assistant", "reasoning_content": "17 + 25: "}]
    body = {"messages": messages, "continue_final_message": True}
    prompt = post(server, "/apply-template", **body)["prompt"]
    assert prompt.endswith("<|assistant|><think>17 + 25:")
    raw = post(server, "/v1/completions", prompt=prompt, temperature=0, max_tokens=200)["choices"][0]["text"]
    reasoning, content = raw.split("</think>")
    message = post(server, "/v1/chat/completions", **body)["choices"][0]["message"]
    assert message["reasoning_content"] == reasoning.rstrip()
    assert message["content"] == content.lstrip()
    # With both, it is the answer that goes on.
    messages = [SUM, {"role": "assistant", "reasoning_content": "Easy.", "content": "It is"}]
    assert post(server, "/apply-template", messages=messages, continue_final_message=True)["prompt"].endswith(
        "<think>Easy.</think>It is")


def test_a_begun_answer_is_cut_where_turns_are_closed(server, closing):
    body = {"messages": [SUM, {"role": "assistant", "content": "17 + 25 =\n"}], "continue_final_message": True}
    prompt = post(closing, "/apply-template", **body)["prompt"]
    assert prompt == "<|user|>What is 17 + 25?<|endoftext|><|assistant|></think>17 + 25 =\n"
    raw = post(closing, "/v1/completions", prompt=prompt, temperature=0, max_tokens=5)["choices"][0]["text"]
    answer = post(closing, "/v1/chat/completions", max_tokens=5, temperature=0, **body)
    assert answer["choices"][0]["message"]["content"] == raw
    # Without it the turn is closed, and add_generation_prompt means what it says.
    messages = body["messages"]
    prompt = post(closing, "/apply-template", messages=messages)["prompt"]
    assert prompt.endswith("=\n<|endoftext|><|assistant|></think>")
    prompt = post(closing, "/apply-template", messages=messages, add_generation_prompt=False)["prompt"]
    assert prompt.endswith("=\n<|endoftext|>")


def test_what_cannot_be_gone_on_with_is_refused(server):
    calls = {"role": "assistant", "content": "", "tool_calls": [call("r", "Rome")]}
    for path in ("/v1/chat/completions", "/apply-template", "/tokenize"):
        for last in (calls, {"role": "user", "content": "x"}, {"role": "tool", "content": "x"}):
            answer = ask(server, path, messages=[SUM, last], continue_final_message=True)
            assert answer.status == 400, answer.body
            assert "the last message must be the assistant's, without tool calls" in answer.json()["error"]["message"]
    assert ask(server, "/v1/chat/completions", messages=[SUM, {"role": "assistant", "content": "x"}],
               continue_final_message=True, add_generation_prompt=True).status == 400
    item = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{", "status": "incomplete"}
    assert ask(server, "/v1/responses", input=[SUM, item]).status == 400
    assert ask(server, "/v1/responses", input="x", continue_final_message=True).status == 400
    use = {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]}
    assert ask(server, "/v1/messages", messages=[SUM, use], max_tokens=5).status == 400


# A text of the client's that looks like the beginning of a call, of a tag or of a stop string is its own affair.
@pytest.mark.parametrize("text", ["<tool_call>weather<arg_key>city", "<tool_", "</thi", "17 + 25 = 42", "<think>a</think>"])
def test_a_begun_answer_never_comes_back(server, text):
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    body = {"messages": [SUM, {"role": "assistant", "content": text}], "continue_final_message": True, "tools": [tool],
            "max_tokens": 12, "temperature": 0}
    prompt = post(server, "/apply-template", messages=body["messages"], tools=[tool], continue_final_message=True)["prompt"]
    choice = post(server, "/v1/chat/completions", **body)["choices"][0]
    assert choice["finish_reason"] in ("stop", "length")
    ids = post(server, "/tokenize", messages=body["messages"], tools=[tool], continue_final_message=True)["tokens"]
    raw = post(server, "/v1/completions", prompt=ids, max_tokens=12, temperature=0)["choices"][0]["text"]
    assert choice["message"]["content"].strip() == raw.strip()
    assert prompt.endswith(text)


# ---- numbers ----

NUMBERS = ["18446744073709551615", "9223372036854775808", "18446744073709551616", "-9223372036854775809",
           "12345678901234567890123", "-" + "123456789" * 50, "1e400", "0.1000000000000000055"]


@pytest.mark.parametrize("number", NUMBERS)
def test_numbers_keep_their_digits(server, number):
    arguments = '{"n": %s, "list": [%s, 1]}' % (number, number)
    function = '{"name": "f", "parameters": {"type": "object", "properties": {"n": {"type": "integer", "maximum": %s}}}}' % number

    def prompt(arguments):
        messages = '[{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [{"id": "c", "function": ' \
                   '{"name": "f", "arguments": %s}}]}, {"role": "tool", "tool_call_id": "c", "content": "y"}]' % arguments
        body = '{"messages": %s, "tools": [{"type": "function", "function": %s}]}' % (messages, function)
        answer = server.ask("POST", "/apply-template", headers={"Content-Type": "application/json"}, body=body.encode())
        assert answer.status == 200, answer.body
        return answer.json()["prompt"]

    for text in (prompt(json.dumps(arguments)), prompt(arguments)):
        assert f"<arg_value>{number}</arg_value>" in text
        assert f"<arg_value>[{number}, 1]</arg_value>" in text
        assert f'"maximum": {number}}}' in text


def test_numbers_keep_their_digits_in_the_other_apis(server):
    n = 12345678901234567890123
    tool = {"name": "f", "input_schema": {"type": "object", "properties": {"n": {"enum": [n]}}}}
    messages = [{"role": "user", "content": "x"},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {"n": n}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "ok"}]}]
    post(server, "/v1/messages", messages=messages, tools=[tool], max_tokens=1)
    server.wait_for_log(rf"/v1/messages.*\[{n}\].*<arg_value>{n}</arg_value>")
    items = [{"type": "function_call", "call_id": "c", "name": "f", "arguments": json.dumps({"n": n})},
             {"type": "function_call_output", "call_id": "c", "output": "ok"}]
    answer = post(server, "/v1/responses", input=items, max_output_tokens=1,
                  tools=[{"type": "function", "name": "f", "parameters": {"properties": {"n": {"maximum": n}}}}])
    assert answer["tools"][0]["parameters"]["properties"]["n"]["maximum"] == n
    server.wait_for_log(rf"/v1/responses.*<arg_value>{n}</arg_value>")


def test_numbers_of_fields_are_checked_whatever_their_size(server):
    for field, value in (("max_tokens", 10**400), ("seed", 2**70), ("temperature", 10**30), ("top_k", -2**64)):
        answer = ask(server, "/v1/chat/completions", messages=[SUM], **{field: value})
        assert answer.status == 400, answer.body
        assert answer.json()["error"]["param"] == field
    body = b'{"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1, "temperature": 0.70000000000000000001}'
    assert server.ask("POST", "/v1/chat/completions", headers={"Content-Type": "application/json"}, body=body).status == 200


# ---- logprobs ----

@pytest.mark.parametrize("stop", ["25", " 25", "+", "17 + 25", "2."])
def test_logprobs_end_where_the_text_ends(server, stop):
    body = {"messages": [SUM], "stop": [stop], "logprobs": True, "chat_template_kwargs": NO_THINKING}
    choice = post(server, "/v1/chat/completions", **body)["choices"][0]
    assert "".join(entry["token"] for entry in choice["logprobs"]["content"] or []).startswith(choice["message"]["content"])
    tokens = [entry["token"] for entry in choice["logprobs"]["content"] or []]
    assert "".join(tokens[:-1]) != choice["message"]["content"] or not tokens
    events = stream(server, "/v1/chat/completions", **body)
    streamed = [entry["token"] for e in events for c in e["choices"] if c.get("logprobs")
                for entry in c["logprobs"]["content"]]
    assert streamed == tokens


# ---- logprobs of the prompt ----

def scored(server, prompt, **fields):
    return post(server, "/v1/completions", prompt=prompt, echo=True, temperature=0, **{"logprobs": 1, **fields})["choices"]


PROMPTS = ["What is 17 + 25?", "a", "[gMASK]<sop><|user|>Hi<|assistant|></think>Hello", "日本語 and ünï 😀 text", " \n\n x" * 40]


@pytest.mark.parametrize("prompt", PROMPTS)
def test_echo_tells_logprobs_of_the_prompt(server, prompt):
    ids = post(server, "/tokenize", prompt=prompt)["tokens"]
    [choice] = scored(server, prompt, max_tokens=3, logprobs=2)
    got = choice["logprobs"]
    assert choice["text"].startswith(prompt)
    assert got["token_logprobs"][0] is None and got["top_logprobs"][0] is None and got["text_offset"][0] == 0
    assert all(value <= 0 for value in got["token_logprobs"][1:])
    assert all(len(top) == 2 for top in got["top_logprobs"][1:])
    assert len({len(values) for values in got.values()}) == 1
    answer = post(server, "/v1/completions", prompt=prompt, temperature=0, max_tokens=3, logprobs=2)["choices"][0]
    assert choice["text"] == prompt + answer["text"]
    count = len(answer["logprobs"]["tokens"])
    assert got["token_logprobs"][len(ids):len(ids) + count] == answer["logprobs"]["token_logprobs"]
    for token, offset in zip(got["tokens"], got["text_offset"]):
        assert token.startswith("bytes:") or choice["text"][offset:offset + len(token)] in (token, "")
    # The same as ids, without an answer, in a list, streamed, and several times.
    assert scored(server, ids, max_tokens=3, logprobs=2)[0] == choice
    [bare] = scored(server, prompt, max_tokens=0, logprobs=2)
    assert bare["text"] == prompt and bare["finish_reason"] == "length"
    for name, values in bare["logprobs"].items():
        assert values == got[name][:len(ids)]
    several = scored(server, [prompt, ids, prompt], max_tokens=3, logprobs=2)
    assert [one["logprobs"] for one in several] == [got] * 3
    for n_choice in scored(server, prompt, max_tokens=3, logprobs=2, n=2):
        assert n_choice["logprobs"] == got
    events = stream(server, "/v1/completions", prompt=prompt, echo=True, logprobs=2, temperature=0, max_tokens=3)
    for name, values in got.items():
        streamed = [v for e in events for c in e["choices"] if c["logprobs"] for v in c["logprobs"][name]]
        assert streamed == values, name
    assert "".join(c["text"] for e in events for c in e["choices"]) == choice["text"]


# Each token's logprob is what the model says of it as an answer to what comes before.
def test_logprobs_of_a_prompt_are_those_of_an_answer(server):
    prompt = "[gMASK]<sop><|user|>What is 17 + 25?<|assistant|></think>"
    answer = post(server, "/v1/completions", prompt=prompt, temperature=0, max_tokens=8, logprobs=3)["choices"][0]
    tokens = len(post(server, "/tokenize", prompt=prompt)["tokens"])
    [whole] = scored(server, prompt + answer["text"], max_tokens=0, logprobs=3)
    for name in ("tokens", "token_logprobs", "top_logprobs"):
        assert whole["logprobs"][name][tokens:] == answer["logprobs"][name]


def test_the_token_that_ends_an_answer_at_once_is_behind_the_prompt(server):
    prompt = "[gMASK]<sop><|user|>What is 17 + 25?<|assistant|></think>"
    text = post(server, "/v1/completions", prompt=prompt, temperature=0, max_tokens=40)["choices"][0]["text"]
    ids = post(server, "/tokenize", prompt=prompt + text)["tokens"]
    [choice] = scored(server, ids, max_tokens=1)
    assert choice["finish_reason"] == "stop" and choice["text"] == prompt + text
    assert len(choice["logprobs"]["token_logprobs"]) == len(ids) + 1
    assert choice["logprobs"]["text_offset"][-1] == len(choice["text"])


def test_the_prefix_cache_hides_no_logprobs(server):
    prompt = "17 + 25 = 42, " * 60
    answers = [scored(server, prompt, max_tokens=1) for _ in range(2)]
    assert answers[0] == answers[1]
    post(server, "/v1/completions", prompt=prompt, max_tokens=1)
    assert scored(server, prompt, max_tokens=1) == answers[0]


# ---- text with a gap ----

def test_a_suffix_makes_a_gap(server):
    body = {"prompt": "def f(x):", "suffix": "    return y <|user|>", "max_tokens": 4, "temperature": 0}
    answer = post(server, "/v1/completions", **body)
    server.wait_for_log(r"<\|code_prefix\|>def f\(x\):<\|code_suffix\|>    return y <\|user\|><\|code_middle\|>")
    ids = []
    for text in ("<|code_prefix|>", "def f(x):", "<|code_suffix|>", "    return y <|user|>", "<|code_middle|>"):
        special = text.startswith("<|code")
        ids += post(server, "/tokenize", prompt=text, parse_special=special)["tokens"]
    assert answer["usage"]["prompt_tokens"] == len(ids)
    raw = post(server, "/v1/completions", prompt=ids, max_tokens=4, temperature=0)
    assert raw["choices"][0]["text"] == answer["choices"][0]["text"]
    prompt = post(server, "/tokenize", prompt="def f(x):")["tokens"]
    assert post(server, "/v1/completions", **{**body, "prompt": prompt})["choices"] == answer["choices"]
    echoed = post(server, "/v1/completions", echo=True, **body)["choices"][0]["text"]
    assert echoed == "def f(x):" + answer["choices"][0]["text"]
    assert post(server, "/v1/completions", **{**body, "suffix": ""})["usage"]["prompt_tokens"] == len(prompt)
    assert ask(server, "/v1/completions", echo=True, logprobs=1, **body).status == 400


def test_a_suffix_is_refused_where_the_tokenizer_has_no_tokens_for_it(tmp_path):
    folder = without(MODEL, tmp_path, "tokenizer.json")
    with open(os.path.join(MODEL, "tokenizer.json"), encoding="utf-8") as file:
        text = file.read()
    with open(os.path.join(folder, "tokenizer.json"), "w", encoding="utf-8") as file:
        file.write(text.replace("<|code_middle|>", "<|code_muddle|>"))
    with Server(BINARY, "-m", folder, "-q", command=["serve"]) as running:
        answer = ask(running, "/v1/completions", prompt="x", suffix="y", max_tokens=1)
        assert answer.status == 400
        assert answer.json()["error"]["param"] == "suffix"
        assert "<|code_middle|>" in answer.json()["error"]["message"]
