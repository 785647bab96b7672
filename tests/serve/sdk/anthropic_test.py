"""The `anthropic` SDK against the demo model."""

import anthropic
import pytest

SUM = [{"role": "user", "content": "What is 17 + 25?"}]
WEATHER = {"name": "get_weather", "description": "Current weather of a place",
           "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}
THINKING = {"type": "enabled", "budget_tokens": 1024}


@pytest.fixture
def create(anthropic_client):
    def call(messages=SUM, **fields):
        return anthropic_client.messages.create(**{"model": "demo", "max_tokens": 1500, "messages": messages, **fields})
    return call


@pytest.fixture
def stream(anthropic_client):
    def call(messages=SUM, **fields):
        return anthropic_client.messages.stream(**{"model": "demo", "max_tokens": 1500, "messages": messages, **fields})
    return call


def test_answers(create):
    message = create()
    assert message.role == "assistant" and message.type == "message" and message.id.startswith("msg_")
    assert [(block.type, block.text) for block in message.content] == [("text", "17 + 25 = 42.")]
    assert (message.stop_reason, message.stop_sequence) == ("end_turn", None)
    again = create().usage
    assert again.cache_read_input_tokens > 0
    assert again.input_tokens + again.cache_read_input_tokens == \
        message.usage.input_tokens + message.usage.cache_read_input_tokens
    assert again.output_tokens == message.usage.output_tokens > 0


def test_thinks(create):
    message = create(thinking=THINKING)
    assert [block.type for block in message.content] == ["thinking", "text"]
    assert "So 42" in message.content[0].thinking and message.content[0].signature
    assert message.usage.output_tokens_details.thinking_tokens > 0
    hidden = create(thinking={**THINKING, "display": "omitted"})
    assert hidden.content[0].thinking == "" and hidden.content[1].text == "17 + 25 = 42."


@pytest.mark.parametrize("thinking", [{"type": "disabled"}, {"type": "adaptive"}])
def test_streams_the_same(create, stream, thinking):
    whole = create(thinking=thinking)
    with stream(thinking=thinking) as events:
        types = [event.type for event in events]
        final = events.get_final_message()
    assert types[0] == "message_start" and types[-1] == "message_stop" and types[-2] == "message_delta"
    assert types.count("content_block_start") == types.count("content_block_stop") == len(whole.content)
    assert [block.to_dict() for block in final.content] == [block.to_dict() for block in whole.content]
    assert final.stop_reason == whole.stop_reason
    assert final.usage.output_tokens == whole.usage.output_tokens
    with stream(thinking=thinking) as events:
        assert "".join(events.text_stream) == "17 + 25 = 42."


def test_raw_events_come_in_order(anthropic_client):
    raw = anthropic_client.messages.create(model="demo", max_tokens=1500, messages=SUM, stream=True, thinking=THINKING)
    events = list(raw)
    block = None
    for event in events[1:-2]:
        if event.type == "content_block_start":
            assert block is None
            block = event.index
        elif event.type == "content_block_delta":
            assert event.index == block
        elif event.type == "content_block_stop":
            assert event.index == block
            block = None
    assert block is None
    kinds = [event.delta.type for event in events if event.type == "content_block_delta"]
    assert kinds.index("signature_delta") == kinds.index("text_delta") - 1


def test_stops(create):
    message = create(stop_sequences=[" = "])
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", " = ")
    assert message.content[0].text == "17 + 25"
    short = create(max_tokens=3)
    assert short.stop_reason == "max_tokens" and short.usage.output_tokens == 3


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("thinking", [{"type": "disabled"}, THINKING])
def test_uses_a_tool(create, stream, streamed, thinking):
    messages = [{"role": "user", "content": "What is the weather in Paris?"}]
    if streamed:
        with stream(messages, tools=[WEATHER], thinking=thinking) as events:
            message = events.get_final_message()
    else:
        message = create(messages, tools=[WEATHER], thinking=thinking)
    assert message.stop_reason == "tool_use"
    use = message.content[-1]
    assert (use.type, use.name, use.input) == ("tool_use", "get_weather", {"city": "Paris"})
    assert use.id.startswith("toolu_")
    assert (message.content[0].type == "thinking") == (thinking is THINKING)
    messages += [{"role": "assistant", "content": message.content},
                 {"role": "user", "content": [{"type": "tool_result", "tool_use_id": use.id, "content": [
                     {"type": "text", "text": '{"temperature": 21, "condition": "sunny"}'}]}]}]
    answer = create(messages, tools=[WEATHER], thinking=thinking)
    assert answer.stop_reason == "end_turn" and "Paris" in answer.content[-1].text


def test_uses_one_tool_when_told(create):
    stock = {"name": "stock_price", "description": "Stock quote",
             "input_schema": {"type": "object", "properties": {"symbol": {"type": "string"}}, "required": ["symbol"]}}
    shot = {"name": "take_screenshot", "description": "Capture the screen",
            "input_schema": {"type": "object", "properties": {}}}
    messages = [{"role": "user", "content": "How is GD and MX trading?"}]
    both = create(messages, tools=[shot, stock], thinking=THINKING)
    assert [b.input["symbol"] for b in both.content if b.type == "tool_use"] == ["GD", "MX"]
    one = create(messages, tools=[shot, stock], thinking=THINKING,
                 tool_choice={"type": "auto", "disable_parallel_tool_use": True})
    assert [b.input["symbol"] for b in one.content if b.type == "tool_use"] == ["GD"]
    none = create(messages, tools=[shot, stock], tool_choice={"type": "none"})
    assert all(block.type == "text" for block in none.content)


def test_takes_what_agents_send(create):
    message = create(
        [{"role": "user", "content": [{"type": "text", "text": "What is 17 + 25?",
                                       "cache_control": {"type": "ephemeral"}}]}],
        system=[{"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.0; cch=12345;"},
                {"type": "text", "text": "You are a helpful assistant.", "cache_control": {"type": "ephemeral"}}],
        metadata={"user_id": "u"}, extra_body={"temperature": 0, "top_k": 5, "context_management": {"edits": []}})
    assert "42" in message.content[0].text


def test_goes_on_from_a_beginning(create):
    message = create(SUM + [{"role": "assistant", "content": "17 + 25 ="}])
    assert message.content[0].text == " 42."


def test_counts_tokens(anthropic_client, create):
    count = anthropic_client.messages.count_tokens(model="demo", messages=SUM, tools=[WEATHER], system="Be kind.")
    usage = create(tools=[WEATHER], system="Be kind.").usage
    assert count.input_tokens == usage.input_tokens + usage.cache_read_input_tokens


@pytest.mark.parametrize("fields, words", [
    (dict(max_tokens=-2), "max_tokens"), (dict(tool_choice={"type": "any"}, tools=[WEATHER]), "structured output"),
    (dict(messages=[]), "messages"), (dict(thinking={"type": "enabled", "budget_tokens": 3}), "budget_tokens"),
    (dict(messages=[{"role": "user", "content": [{"type": "smell"}]}]), "not known"),
    (dict(messages=[{"role": "user", "content": "word " * 3000}]), "prompt is too long"),
    (dict(extra_body={"temperature": "hot"}), "temperature"),
])
def test_says_what_is_wrong(create, fields, words):
    with pytest.raises(anthropic.BadRequestError) as caught:
        create(**fields)
    assert words in caught.value.api_message
    assert caught.value.type == "invalid_request_error"
    assert caught.value.request_id == caught.value.body["request_id"]


def test_refuses_wrong_keys_and_models(server, anthropic_client):
    with pytest.raises(anthropic.AuthenticationError):
        anthropic.Anthropic(base_url=server.url, api_key="wrong", max_retries=0).messages.create(
            model="demo", max_tokens=1, messages=SUM)
    assert [model.id for model in anthropic_client.models.list()] == ["demo"]
    assert anthropic_client.models.retrieve("demo").max_input_tokens == 2048
