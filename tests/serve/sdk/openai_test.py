"""The `openai` SDK against the demo model."""

import json

import openai
import pytest

SUM = [{"role": "user", "content": "What is 17 + 25?"}]
NO_THINKING = {"chat_template_kwargs": {"enable_thinking": False}}
WEATHER = {"type": "function",
           "function": {"name": "get_weather", "description": "Current weather of a place",
                        "parameters": {"type": "object", "properties": {"city": {"type": "string"}},
                                       "required": ["city"]}}}


@pytest.fixture
def chat(openai_client):
    def create(messages=SUM, **fields):
        return openai_client.chat.completions.create(model="demo", messages=messages, **fields)
    return create


def joined(stream):
    """The message that chunks put together are, and the last chunk's usage."""
    content, reasoning, calls, finish, usage, roles = "", "", [], None, None, []
    for chunk in stream:
        assert chunk.object == "chat.completion.chunk" and chunk.model == "demo"
        usage = chunk.usage or usage
        for choice in chunk.choices:
            roles += [choice.delta.role] if choice.delta.role else []
            content += choice.delta.content or ""
            reasoning += getattr(choice.delta, "reasoning_content", None) or ""
            finish = choice.finish_reason or finish
            for call in choice.delta.tool_calls or []:
                if call.id:
                    assert call.index == len(calls) and call.type == "function"
                    calls.append([call.function.name, ""])
                calls[call.index][1] += call.function.arguments or ""
    assert roles == ["assistant"]
    return content, reasoning, calls, finish, usage


# ---- chat completions ----

def test_answers(chat):
    answer = chat()
    message = answer.choices[0].message
    assert (message.role, message.content) == ("assistant", "17 + 25 = 42.")
    assert "So 42" in message.reasoning_content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.id.startswith("chatcmpl-") and answer.model == "demo"
    usage = answer.usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert 0 < usage.completion_tokens_details.reasoning_tokens < usage.completion_tokens
    assert chat().usage.prompt_tokens_details.cached_tokens > 0


def test_streams_the_same(chat):
    whole = chat()
    content, reasoning, calls, finish, usage = joined(chat(stream=True, stream_options={"include_usage": True}))
    assert content == whole.choices[0].message.content
    assert reasoning == whole.choices[0].message.reasoning_content
    assert (calls, finish) == ([], "stop")
    assert usage.completion_tokens == whole.usage.completion_tokens
    assert joined(chat(stream=True))[4] is None


@pytest.mark.parametrize("off", [dict(reasoning_effort="none"), dict(extra_body=NO_THINKING),
                                 dict(extra_body={"thinking": {"type": "disabled"}})])
def test_answers_without_thinking(chat, off):
    answer = chat(**off)
    assert getattr(answer.choices[0].message, "reasoning_content", None) is None
    assert answer.choices[0].message.content == "17 + 25 = 42."
    assert answer.usage.completion_tokens_details.reasoning_tokens == 0


def test_thinks_when_asked(chat):
    assert chat(reasoning_effort="high").choices[0].message.reasoning_content


def test_stops_at_a_string(chat):
    answer = chat(stop=[" = "])
    assert answer.choices[0].message.content == "17 + 25"
    assert "So 42" in answer.choices[0].message.reasoning_content  # which has it too, and is not stopped
    assert answer.choices[0].finish_reason == "stop"
    assert joined(chat(stop=" = ", stream=True))[0] == "17 + 25"


def test_stops_at_a_length(chat):
    for limit in ({"max_tokens": 5}, {"max_completion_tokens": 5}):
        answer = chat(extra_body=NO_THINKING, **limit)
        assert answer.choices[0].finish_reason == "length"
        assert answer.usage.completion_tokens == 5
    thinking = chat(max_tokens=5)
    assert thinking.choices[0].message.content == ""
    assert thinking.choices[0].message.reasoning_content


def test_gives_several_answers(chat):
    story = [{"role": "user", "content": "Tell a story with a fox and a lamp."}]
    answer = chat(story, n=3, temperature=1.2, seed=5, max_tokens=60, extra_body=NO_THINKING)
    texts = [choice.message.content for choice in answer.choices]
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert len(set(texts)) > 1
    again = chat(story, n=3, temperature=1.2, seed=5, max_tokens=60, extra_body=NO_THINKING)
    assert [choice.message.content for choice in again.choices] == texts
    one = chat(story, temperature=1.2, seed=6, max_tokens=60, extra_body=NO_THINKING)
    assert one.choices[0].message.content == texts[1]  # the answer i of n has the seed + i


def test_streams_several_answers(chat):
    texts = ["", "", ""]
    finishes = {}
    for chunk in chat(n=3, stream=True, extra_body=NO_THINKING):
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
            if choice.finish_reason:
                finishes[choice.index] = choice.finish_reason
    assert texts == ["17 + 25 = 42."] * 3
    assert finishes == {0: "stop", 1: "stop", 2: "stop"}


def test_gives_logprobs(chat):
    choice = chat(logprobs=True, top_logprobs=3).choices[0]
    tokens = choice.logprobs.content
    assert b"".join(bytes(token.bytes) for token in tokens).decode() == choice.message.content
    for token in tokens:
        assert token.logprob <= 0 and len(token.top_logprobs) == 3
        assert token.top_logprobs[0].token == token.token  # greedy
        assert token.top_logprobs[0].logprob >= token.top_logprobs[1].logprob
    streamed = [token.token for chunk in chat(logprobs=True, stream=True) for c in chunk.choices if c.logprobs
                for token in c.logprobs.content]
    assert streamed == [token.token for token in tokens]


def test_biases_tokens(chat, openai_client):
    token = openai_client.post("/tokenize".replace("/", "../"), cast_to=object, body={"prompt": "4"})["tokens"][0]
    answer = chat(logit_bias={str(token): -100}, extra_body=NO_THINKING)
    assert "4" not in answer.choices[0].message.content


# The loop of an agent: a call, its result, the answer; reasoning goes back with it.
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("thinking", [False, True])
def test_calls_a_tool(chat, stream, thinking):
    extra = {} if thinking else NO_THINKING
    messages = [{"role": "user", "content": "What is the weather in Paris?"}]
    if stream:
        content, reasoning, calls, finish, _ = joined(chat(messages, tools=[WEATHER], stream=True, extra_body=extra))
        assert finish == "tool_calls"
        (name, arguments), call_id = calls[0], "call_1"
    else:
        choice = chat(messages, tools=[WEATHER], extra_body=extra).choices[0]
        assert choice.finish_reason == "tool_calls" and choice.message.content is None
        call = choice.message.tool_calls[0]
        name, arguments, call_id = call.function.name, call.function.arguments, call.id
        reasoning = getattr(choice.message, "reasoning_content", None)
        assert call.type == "function" and call.id.startswith("call_")
    assert (name, json.loads(arguments)) == ("get_weather", {"city": "Paris"})
    assert bool(reasoning) == thinking
    messages += [{"role": "assistant", "content": None, "reasoning_content": reasoning or None,
                  "tool_calls": [{"id": call_id, "type": "function",
                                  "function": {"name": name, "arguments": arguments}}]},
                 {"role": "tool", "tool_call_id": call_id, "content": '{"temperature": 21, "condition": "sunny"}'}]
    answer = chat(messages, tools=[WEATHER], extra_body=extra).choices[0]
    assert answer.finish_reason == "stop" and answer.message.tool_calls is None
    assert "Paris" in answer.message.content


def test_calls_twice_or_once(chat):
    messages = [{"role": "user", "content": "How is GD and MX trading?"}]
    stock = {"type": "function",
             "function": {"name": "stock_price", "description": "Stock quote",
                          "parameters": {"type": "object", "properties": {"symbol": {"type": "string"}},
                                         "required": ["symbol"]}}}
    shot = {"type": "function", "function": {"name": "take_screenshot", "description": "Capture the screen",
                                             "parameters": {"type": "object", "properties": {}}}}
    calls = chat(messages, tools=[shot, stock]).choices[0].message.tool_calls
    assert [json.loads(call.function.arguments)["symbol"] for call in calls] == ["GD", "MX"]
    assert len({call.id for call in calls}) == 2
    answer = chat(messages, tools=[shot, stock], parallel_tool_calls=False).choices[0]
    assert [call.function.name for call in answer.message.tool_calls] == ["stock_price"]
    assert answer.finish_reason == "tool_calls"


def test_types_arguments_by_their_schema(chat):
    tool = {"type": "function",
            "function": {"name": "disable_sprint", "description": "Use this to disable a sprint.",
                         "parameters": {"type": "object", "properties": {
                             "id": {"type": "integer"}, "silent": {"type": "boolean"}, "count": {"type": "integer"}}}}}
    answer = chat([{"role": "user", "content": "Disable the sprint 519 with silent false and count 12"}], tools=[tool])
    arguments = json.loads(answer.choices[0].message.tool_calls[0].function.arguments)
    assert arguments == {"id": 519, "silent": False, "count": 12}


def test_calls_none_when_told(chat):
    answer = chat([{"role": "user", "content": "What is the weather in Paris?"}], tools=[WEATHER], tool_choice="none")
    assert answer.choices[0].message.tool_calls is None


def test_continues_a_message(chat):
    messages = SUM + [{"role": "assistant", "content": "17 + 25 ="}]
    answer = chat(messages, extra_body={"continue_final_message": True, "add_generation_prompt": False})
    assert answer.choices[0].message.content == " 42."


def test_the_streaming_helper_reads_it(openai_client):
    with openai_client.chat.completions.stream(model="demo", messages=[
            {"role": "user", "content": "What is the weather in Paris?"}], tools=[WEATHER]) as stream:
        for _ in stream:
            pass
        completion = stream.get_final_completion()
    assert completion.choices[0].message.tool_calls[0].function.name == "get_weather"


# ---- errors ----

@pytest.mark.parametrize("fields, param", [
    (dict(temperature=-1), "temperature"), (dict(temperature="warm"), "temperature"), (dict(n=0), "n"),
    (dict(n=1000), "n"), (dict(top_logprobs=2), "top_logprobs"), (dict(stop=["x"] * 17), "stop"),
    (dict(tool_choice="required", tools=[WEATHER]), "tool_choice"),
    (dict(response_format={"type": "json_object"}), "response_format"), (dict(max_tokens=0), "max_tokens"),
    (dict(messages=[]), "messages"), (dict(messages=[{"role": "user", "content": 5}]), "messages[0].content"),
])
def test_says_what_is_wrong(chat, fields, param):
    with pytest.raises(openai.BadRequestError) as caught:
        chat(**fields)
    assert caught.value.param == param
    assert caught.value.type == "invalid_request_error"


def test_refuses_wrong_keys_and_models(server, openai_client):
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=server.url + "/v1", api_key="wrong", max_retries=0).models.list()
    with pytest.raises(openai.NotFoundError):
        openai_client.models.retrieve("gpt-9")
    assert openai_client.models.retrieve("demo").id == "demo"
    assert [model.id for model in openai_client.models.list()] == ["demo"]


# ---- completions ----

def test_completes_text(openai_client):
    prompt = "[gMASK]<sop><|user|>What is 17 + 25?<|assistant|></think>"
    create = openai_client.completions.create
    answer = create(model="demo", prompt=prompt)
    assert answer.choices[0].text == "17 + 25 = 42."
    assert answer.choices[0].finish_reason == "stop"
    text = "".join(chunk.choices[0].text for chunk in create(model="demo", prompt=prompt, stream=True))
    assert text == answer.choices[0].text
    assert create(model="demo", prompt=prompt, echo=True).choices[0].text == prompt + "17 + 25 = 42."
    several = create(model="demo", prompt=[prompt, prompt.replace("17", "10")], n=2)
    assert [choice.text for choice in several.choices] == ["17 + 25 = 42."] * 2 + ["10 + 25 = 35."] * 2
    assert create(model="demo", prompt=prompt, max_tokens=3).choices[0].finish_reason == "length"
    assert create(model="demo", prompt=prompt, stop="25").choices[0].text == "17 + "
    ids = openai_client.post("../tokenize", cast_to=object, body={"prompt": prompt})["tokens"]
    assert create(model="demo", prompt=ids).choices[0].text == "17 + 25 = 42."
    logprobs = create(model="demo", prompt=prompt, logprobs=2).choices[0].logprobs
    assert "".join(logprobs.tokens) == "17 + 25 = 42."
    assert logprobs.text_offset[0] == 0 and len(logprobs.top_logprobs[0]) == 2


def test_completes_thinking_as_text(openai_client):
    prompt = "[gMASK]<sop><|user|>What is 17 + 25?<|assistant|><think>"
    answer = openai_client.completions.create(model="demo", prompt=prompt, max_tokens=200)
    assert "</think>" in answer.choices[0].text


# ---- responses ----

RESPONSE_TOOL = {"type": "function", "strict": None, **WEATHER["function"]}


def test_responds(openai_client):
    answer = openai_client.responses.create(model="demo", input="What is 17 + 25?")
    assert answer.status == "completed" and answer.output_text == "17 + 25 = 42."
    assert [item.type for item in answer.output] == ["reasoning", "message"]
    assert "So 42" in answer.output[0].content[0].text
    assert answer.usage.output_tokens_details.reasoning_tokens > 0
    short = openai_client.responses.create(model="demo", input="What is 17 + 25?", max_output_tokens=3)
    assert short.status == "incomplete" and short.incomplete_details.reason == "max_output_tokens"
    plain = openai_client.responses.create(model="demo", input="What is 17 + 25?", reasoning={"effort": "none"},
                                           instructions="Be brief.", include=["message.output_text.logprobs"])
    assert [item.type for item in plain.output] == ["message"]
    assert plain.output[0].content[0].logprobs[0].bytes
    assert plain.instructions == "Be brief."


def test_responds_in_a_stream(openai_client):
    whole = openai_client.responses.create(model="demo", input="What is 17 + 25?")
    with openai_client.responses.stream(model="demo", input="What is 17 + 25?") as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[0].type == "response.created" and events[-1].type == "response.completed"
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    reasoning = "".join(event.delta for event in events if event.type == "response.reasoning_text.delta")
    assert text == final.output_text == whole.output_text
    assert reasoning == whole.output[0].content[0].text


@pytest.mark.parametrize("stream", [False, True])
def test_responds_with_tools(openai_client, stream):
    items = [{"role": "user", "content": "What is the weather in Paris?"}]
    if stream:
        with openai_client.responses.stream(model="demo", input=items, tools=[RESPONSE_TOOL]) as events:
            for _ in events:
                pass
            first = events.get_final_response()
    else:
        first = openai_client.responses.create(model="demo", input=items, tools=[RESPONSE_TOOL])
    call = first.output[-1]
    assert call.type == "function_call" and json.loads(call.arguments) == {"city": "Paris"}
    items += [item.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for item in first.output]
    items.append({"type": "function_call_output", "call_id": call.call_id,
                  "output": '{"temperature": 21, "condition": "sunny"}'})
    answer = openai_client.responses.create(model="demo", input=items, tools=[RESPONSE_TOOL])
    assert "Paris" in answer.output_text


def test_responses_say_what_is_wrong(openai_client):
    for fields in (dict(previous_response_id="resp_1"), dict(background=True), dict(input=[{"type": "item_reference", "id": "x"}]),
                   dict(text={"format": {"type": "json_object"}})):
        with pytest.raises(openai.BadRequestError):
            openai_client.responses.create(**{"model": "demo", "input": "x", **fields})
