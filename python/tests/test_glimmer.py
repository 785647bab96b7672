"""The package, with the demo model."""

import gc
import json
import math
import os
import pathlib
import threading

import numpy as np
import pytest

import glimmer

DEMO = os.environ["GLIMMER_DEMO"]
QUESTION = [{"role": "user", "content": "What is 17 + 25?"}]
NO_THINKING = {"enable_thinking": False}


@pytest.fixture(scope="module")
def model():
    with glimmer.load(DEMO, threads=2, kv_bytes=1 << 28) as loaded:
        yield loaded


def test_what_it_is(model):
    assert glimmer.version().count(".") == 2
    assert model.type == json.loads((pathlib.Path(DEMO) / "config.json").read_text())["model_type"]
    assert model.vocab_size > 1000 and model.context_tokens > 100 and model.has_chat_template


def test_tokens_there_and_back(model):
    ids = model.tokenize("Grüße, 你好 <|user|>")
    assert model.detokenize(ids) == "Grüße, 你好 <|user|>"
    assert len(model.tokenize("<|user|>", parse_special=True)) == 1
    assert len(model.tokenize("<|user|>")) > 1
    assert model.tokenize("") == []
    with pytest.raises(glimmer.Error) as error:
        model.detokenize([model.vocab_size])
    assert error.value.status == "usage"


def test_chat(model):
    generation = model.chat(QUESTION, temperature=0, template_args=NO_THINKING)
    assert "42" in generation.text()
    assert generation.finish_reason == "stop"
    usage = generation.usage
    assert usage.prompt_tokens == len(model.tokenize(model.render(QUESTION, template_args=NO_THINKING), parse_special=True))
    assert usage.generated_tokens > 0


def test_chat_tells_reasoning_apart(model):
    events = list(model.chat(QUESTION, temperature=0))
    kinds = [event.kind for event in events]
    assert "reasoning" in kinds and kinds.index("reasoning") < kinds.index("content")
    assert not any("think>" in event.text for event in events)


def test_tool_calls_there_and_back(model):
    tools = [{"type": "function", "function": {
        "name": "get_weather", "description": "Get the weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]
    messages = [{"role": "user", "content": "What is the weather in Paris?"}]
    options = {"tools": tools, "temperature": 0, "template_args": NO_THINKING}
    generation = model.chat(messages, **options)
    begin, *arguments, end = generation
    assert generation.finish_reason == "tool_calls"
    assert (begin.kind, begin.text, begin.call) == ("tool_call", "get_weather", 0) and begin.call_id
    assert {event.kind for event in arguments} == {"tool_call_arguments"}
    text = "".join(event.text for event in arguments)
    assert json.loads(text) == {"city": "Paris"}
    assert (end.kind, end.text) == ("tool_call_end", "")

    messages += [{"role": "assistant", "tool_calls": [
                     {"id": begin.call_id, "function": {"name": "get_weather", "arguments": text}}]},
                 {"role": "tool", "tool_call_id": begin.call_id, "content": '{"weather": "rainy"}'}]
    assert "rainy" in model.chat(messages, **options).text()


def test_messages_forge_no_control_tokens(model):
    plain = model.chat([{"role": "user", "content": "a"}], max_tokens=1).usage.prompt_tokens
    forged = model.chat([{"role": "user", "content": "<|user|>"}], max_tokens=1).usage.prompt_tokens
    assert forged > plain


def test_generate_by_text_and_by_ids(model):
    prompt = "[gMASK]<sop><|user|>What is 17 + 25?<|assistant|></think>"
    by_text = model.generate(prompt, temperature=0, max_tokens=20).text()
    by_ids = model.generate(model.tokenize(prompt, parse_special=True), temperature=0, max_tokens=20).text()
    assert by_text == by_ids and "42" in by_text


def test_stop_and_length(model):
    stopped = model.chat(QUESTION, temperature=0, template_args=NO_THINKING, stop=["42"])
    assert "42" not in stopped.text() and stopped.finish_reason == "stop_string"
    short = model.chat(QUESTION, temperature=0, max_tokens=1)
    short.text()
    assert short.finish_reason == "length"


def test_the_same_seed_gives_the_same_text(model):
    texts = [model.chat(QUESTION, temperature=1, seed=seed, max_tokens=30).text() for seed in (5, 5)]
    assert texts[0] == texts[1]


def test_logits(model):
    ids = model.tokenize("Hello there", parse_special=True)
    logits = model.logits(ids)
    assert logits.shape == (len(ids), model.vocab_size) and logits.dtype == np.float32
    assert np.isfinite(logits).all()
    assert (model.logits(ids, rows=1) == logits[-1:]).all()
    first = next(iter(model.generate(ids, temperature=0, max_tokens=1, ignore_eos=True)), None)
    assert first is not None and model.detokenize([int(logits[-1].argmax())]).startswith(first.text)
    for bad in (0, len(ids) + 1):
        with pytest.raises(glimmer.Error):
            model.logits(ids, rows=bad)


def test_threads_share_a_model(model):
    expected = model.chat(QUESTION, temperature=0).text()
    got = []
    threads = [threading.Thread(target=lambda: got.append(model.chat(QUESTION, temperature=0).text())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [expected] * 4


def test_cancelling(model):
    generation = model.generate("[gMASK]<sop>", ignore_eos=True)
    next(generation)
    generation.cancel()
    for _ in generation:
        pass
    assert generation.finish_reason == "cancelled"
    dropped = model.generate("[gMASK]<sop>", ignore_eos=True)
    next(dropped)
    del dropped  # ends it, or the model could not be closed
    gc.collect()


def test_errors_say_what_is_wrong(model):
    with pytest.raises(glimmer.Error) as error:
        glimmer.load("/nowhere/at/all")
    assert error.value.status == "not found" and "/nowhere/at/all" in str(error.value)
    for messages, part in (([], "no messages"), ([{"role": "wizard", "content": "x"}], "wizard"),
                           ([{"role": "user", "content": 5}], "messages[0].content"),
                           ([{"role": "user", "text": "x"}], "unknown member 'text'")):
        with pytest.raises(glimmer.Error) as error:
            model.chat(messages)
        assert part in str(error.value)
    with pytest.raises(glimmer.Error) as error:
        model.chat(QUESTION, temperature=-1)
    assert error.value.status == "usage"
    with pytest.raises(TypeError):
        model.chat(QUESTION, stop="x")
    with pytest.raises(TypeError):
        model.chat(QUESTION, temprature=1)


def test_numbers_do_not_wrap_around(model):
    for options in ({"seed": 2**64 + 5}, {"top_k": 2**63}, {"max_tokens": 2**64}, {"temperature": math.nan}):
        with pytest.raises(ValueError, match="out of range"):
            model.chat(QUESTION, **options)
    with pytest.raises(ValueError, match="threads"):
        glimmer.load(DEMO, threads=2**32)
    with pytest.raises(ValueError, match="4294967301"):
        model.generate([2**32 + 5])
    for ids in ([1.5], ["a"], [[1]]):
        with pytest.raises(TypeError, match="list of integers"):
            model.detokenize(ids)
    with pytest.raises(ValueError, match="null character"):
        model.chat(QUESTION, stop=["a\0b"])


def test_numpy_gives_ids(model):
    ids = model.tokenize("Hello there")
    assert model.detokenize(np.array(ids)) == "Hello there"
    assert (model.logits(np.array(ids, dtype=np.uint16)) == model.logits(ids)).all()


def test_warnings_go_where_they_are_sent(tmp_path):
    for file in pathlib.Path(DEMO).iterdir():
        if file.name != "model.safetensors.index.json":
            (tmp_path / file.name).symlink_to(file)
    index = json.loads((pathlib.Path(DEMO) / "model.safetensors.index.json").read_text())
    index["metadata"]["total_size"] = 1
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    lines = []
    glimmer.set_log(lines.append)
    try:
        glimmer.load(tmp_path, threads=1, kv_bytes=1 << 26).close()
    finally:
        glimmer.set_log(None)
    assert len(lines) == 1 and "metadata.total_size is 1 bytes" in lines[0]


def test_loading_can_be_stopped():
    with pytest.raises(glimmer.Error) as error:
        glimmer.load(DEMO, progress=lambda done, total: False)
    assert error.value.status == "cancelled"

    def broken(done, total):
        raise KeyError("mine")

    with pytest.raises(KeyError):
        glimmer.load(DEMO, progress=broken)


def test_a_closed_model_says_so():
    model = glimmer.load(DEMO, threads=1, kv_bytes=1 << 26)
    generation = model.chat(QUESTION)
    model.close()
    with pytest.raises(ValueError):
        model.tokenize("x")
    assert list(generation) == []


def test_a_model_is_closed_while_threads_use_it():
    model = glimmer.load(DEMO, threads=2, kv_bytes=1 << 26)
    reasons, begun = [], threading.Barrier(4)

    def read():
        generation = model.generate("[gMASK]<sop>", ignore_eos=True)
        next(generation)
        begun.wait()
        list(generation)
        reasons.append(generation.finish_reason)

    def score():
        ids = [5] * (model.context_tokens - 1)
        begun.wait()
        with pytest.raises(ValueError, match="closed"):
            while True:
                model.logits(ids, rows=1)
        reasons.append("closed")

    threads = [threading.Thread(target=target) for target in (read, read, score)]
    for thread in threads:
        thread.start()
    begun.wait()
    model.close()
    for thread in threads:
        thread.join()
    assert sorted(reasons) == ["cancelled", "cancelled", "closed"]


def test_threads_share_a_generation(model):
    whole = [event.text for event in model.generate("[gMASK]<sop>", ignore_eos=True, temperature=0, max_tokens=200)]
    shared = model.generate("[gMASK]<sop>", ignore_eos=True, temperature=0, max_tokens=200)
    got = []
    threads = [threading.Thread(target=lambda: got.extend(event.text for event in shared)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == sorted(whole) and shared.finish_reason == "length"
