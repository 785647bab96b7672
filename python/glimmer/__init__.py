"""Runs language models of the GLM-4 family in this process.

    model = glimmer.load("~/models/GLM-4.7-Flash")
    for event in model.chat([{"role": "user", "content": "Hello"}]):
        print(event.text, end="", flush=True)
"""

from __future__ import annotations

import ctypes
import json
import os
import threading
import weakref
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterator, Optional, Sequence, Union

import numpy as np

from ._library import LOG, PROGRESS, Event as _Event, GenerateOptions, ModelOptions, Usage as _Usage, library

__all__ = ["Error", "Event", "Generation", "Model", "Usage", "load", "set_log", "version"]

_Json = Dict[str, Any]
_OK, _LIMIT, _CANCELLED = 0, 6, 8
_KINDS = ["end", "content", "reasoning", "tool_call", "tool_call_arguments", "tool_call_end"]


class Error(Exception):
    """What the library had to say; `status` is its kind: "usage", "not found", "invalid", "limit", ..."""

    def __init__(self, message: str, status: str):
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Event:
    """A piece of an answer.

    kind     "content", "reasoning", "tool_call" (text: the tool's name), "tool_call_arguments" (of the JSON object of
             its arguments), or "tool_call_end" (text: what the arguments lack to be JSON, where the call was cut off)
    call     of tool calls: which, from 0
    call_id  of "tool_call"
    """

    kind: str
    text: str
    call: int = -1
    call_id: Optional[str] = None


@dataclass(frozen=True)
class Usage:
    """Tokens of a generation. `cached_tokens` of the prompt were found in the prefix cache."""

    prompt_tokens: int
    cached_tokens: int
    generated_tokens: int
    reasoning_tokens: int


def _check(status: int) -> None:
    if status != _OK:
        raise Error(library.glimmer_last_error().decode("utf-8", "replace"),
                    library.glimmer_status_name(status).decode())


def version() -> str:
    """The library's version."""
    return str(library.glimmer_version().decode())


_log_callback: Any = None  # kept alive while the library may call it


def set_log(callback: Optional[Callable[[str], None]]) -> None:
    """Sends the library's warnings to `callback`, a line each; None: to standard error."""
    global _log_callback
    wrapped = LOG(lambda line, _user: callback(line.decode("utf-8", "replace"))) if callback else LOG()
    library.glimmer_set_log(wrapped, None)
    _log_callback = wrapped


class Generation:
    """One answer, as it comes: an iterator of events. Leaving a `with` block, or the last reference, ends it.

    Threads that share one take turns: each event goes to one of them."""

    def __init__(self, model: Model, handle: ctypes.c_void_p):
        self._model = model  # which must outlive it
        self._handle: Optional[ctypes.c_void_p] = handle
        self._turn = threading.Lock()  # held while the library may wait for the next event
        self._alive = threading.RLock()  # held where the handle is only looked at or freed
        self.finish_reason: Optional[str] = None
        """Once it has ended: "stop", "stop_string", "tool_calls", "length" or "cancelled"."""

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        with self._turn:
            if self.finish_reason is not None or self._handle is None:
                raise StopIteration
            event = _Event()
            status = library.glimmer_generation_next(self._handle, ctypes.byref(event))
            if status == _CANCELLED:
                self.finish_reason = "cancelled"
                raise StopIteration
            _check(status)
            text = ctypes.string_at(event.text, event.size).decode("utf-8", "replace")
            if event.kind == 0:
                self.finish_reason = text
                raise StopIteration
            return Event(_KINDS[event.kind], text, event.call, event.call_id.decode() if event.call_id else None)

    def text(self) -> str:
        """Reads to the end; the answer's text, without reasoning and tool calls."""
        return "".join(event.text for event in self if event.kind == "content")

    def cancel(self) -> None:
        """Ends it soon. From any thread."""
        with self._alive:
            if self._handle is not None:
                library.glimmer_generation_cancel(self._handle)

    @property
    def usage(self) -> Usage:
        with self._turn:
            if self._handle is None:
                raise ValueError("the generation is closed")
            usage = _Usage(struct_size=ctypes.sizeof(_Usage))
            _check(library.glimmer_generation_usage(self._handle, ctypes.byref(usage)))
        return Usage(usage.prompt_tokens, usage.cached_tokens, usage.generated_tokens, usage.reasoning_tokens)

    def close(self) -> None:
        """Ends it and frees it. A thread that waits for an event gets no more."""
        self.cancel()
        with self._turn, self._alive:
            handle, self._handle = self._handle, None
            if handle is not None:
                library.glimmer_generation_free(handle)
                self.finish_reason = self.finish_reason or "cancelled"

    def __enter__(self) -> Generation:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    __hash__ = object.__hash__


class Model:
    """A loaded model. Any number of threads may use it; their generations run as one batch."""

    def __init__(self, handle: ctypes.c_void_p):
        self._handle: Optional[ctypes.c_void_p] = handle
        self._generations: Any = weakref.WeakSet()
        self._calls = 0  # that threads are in
        self._change = threading.Condition(threading.RLock())  # of what is above
        self.type: str = library.glimmer_model_type(handle).decode()
        self.vocab_size: int = library.glimmer_model_vocab_size(handle)
        self.context_tokens: int = library.glimmer_model_context_tokens(handle)
        self.has_chat_template: bool = bool(library.glimmer_model_has_chat_template(handle))

    @contextmanager
    def _open(self) -> Iterator[ctypes.c_void_p]:
        """The handle, which close() leaves alone until the block ends."""
        with self._change:
            if self._handle is None:
                raise ValueError("the model is closed")
            handle = self._handle
            self._calls += 1
        try:
            yield handle
        finally:
            with self._change:
                self._calls -= 1
                self._change.notify_all()

    def tokenize(self, text: str, *, parse_special: bool = False) -> list[int]:
        """Ids of a text. `parse_special`: names of special tokens in it become those tokens; not for text of users."""
        data = text.encode()
        with self._open() as handle:
            ids = self._filled(ctypes.c_int32, lambda out, room, count: library.glimmer_tokenize(
                handle, data, len(data), int(parse_special), out, room, count))
        return list(ids)

    def detokenize(self, ids: Union[Sequence[int], np.ndarray]) -> str:
        """The text of ids, special tokens by their names; what is not UTF-8 becomes U+FFFD."""
        array = _id_array(ids)
        with self._open() as handle:
            out = self._filled(ctypes.c_char, lambda out, room, count: library.glimmer_detokenize(
                handle, array, len(array), out, room, count))
        return bytes(out).decode("utf-8", "replace")

    def render(self, messages: Sequence[_Json], *, tools: Sequence[_Json] = (), template_args: Optional[_Json] = None,
               continue_last: bool = False) -> str:
        """The prompt that chat() would use."""
        data = _conversation(messages, tools, template_args, continue_last)
        with self._open() as handle:
            out = self._filled(ctypes.c_char, lambda out, room, count: library.glimmer_render(
                handle, data, len(data), out, room, count))
        return bytes(out).decode("utf-8", "replace")

    def logits(self, ids: Union[Sequence[int], np.ndarray], rows: Optional[int] = None) -> np.ndarray:
        """The logits that follow each of the last `rows` ids (all of them by default): [rows, vocab_size] float32."""
        array = _id_array(ids)
        count = len(array) if rows is None else rows
        out = np.empty((max(count, 0), self.vocab_size), dtype=np.float32)
        with self._open() as handle:
            _check(library.glimmer_logits(handle, array, len(array), max(count, 0),
                                          out.ctypes.data_as(ctypes.POINTER(ctypes.c_float)), out.size))
        return out

    def generate(self, prompt: Union[str, Sequence[int], np.ndarray], **options: Any) -> Generation:
        """Goes on with a text, in which names of special tokens are those tokens, or with ids. `options`: of chat()."""
        if isinstance(prompt, str):
            data = prompt.encode()
            return self._generation(library.glimmer_complete, data, len(data), options)
        array = _id_array(prompt)
        return self._generation(library.glimmer_complete_ids, array, len(array), options)

    def chat(self, messages: Sequence[_Json], *, tools: Sequence[_Json] = (), template_args: Optional[_Json] = None,
             continue_last: bool = False, **options: Any) -> Generation:
        """Answers a conversation: messages as the OpenAI API has them, with texts as content.

        tools          [{"type": "function", "function": {...}}]
        template_args  arguments of the chat template: {"enable_thinking": False}
        continue_last  the answer goes on with the last message, which is the assistant's
        options        max_tokens, temperature (0: the likeliest token), top_p, min_p, top_k, repetition_penalty,
                       presence_penalty, frequency_penalty, seed, stop (texts), ignore_eos. Where one is absent: as the
                       model's makers recommend
        """
        data = _conversation(messages, tools, template_args, continue_last)
        return self._generation(library.glimmer_chat, data, len(data), options)

    def close(self) -> None:
        """Ends all generations and gives the memory back, once other threads' calls have returned."""
        with self._change:
            handle, self._handle = self._handle, None  # no call begins from here on
            self._change.wait_for(lambda: self._calls == 0)
            generations = list(self._generations)
        for generation in generations:
            generation.close()
        if handle is not None:
            library.glimmer_model_free(handle)

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_handle", None) is not None:
            self.close()

    def _generation(self, start: Callable[..., int], data: Any, size: int, options: _Json) -> Generation:
        given = _options(**options)
        made = ctypes.c_void_p()
        with self._open() as handle:
            _check(start(handle, data, size, ctypes.byref(given), ctypes.byref(made)))
            generation = Generation(self, made)
            with self._change:
                self._generations.add(generation)
        return generation

    @staticmethod
    def _filled(kind: Any, call: Callable[..., int]) -> Any:
        """Calls once for the size and once for the values."""
        count = ctypes.c_size_t()
        status = call((kind * 0)(), 0, ctypes.byref(count))
        if status != _LIMIT:
            _check(status)
        out = (kind * count.value)()
        _check(call(out, count.value, ctypes.byref(count)))
        return out


def load(path: Union[str, os.PathLike[str]], *, backend: Optional[str] = None, precision: Optional[str] = None,
         kv_type: Optional[str] = None, threads: int = 0, kv_bytes: int = 0, max_sequences: Optional[int] = None,
         progress: Optional[Callable[[int, int], bool]] = None) -> Model:
    """Loads a model: a folder of Hugging Face's form, a GGUF file or a Distributed Llama file.

    backend    kernels: "avx2", "avx512", "amx", ...; the fastest by default
    precision  "fast" or "exact"
    kv_type    of the KV cache: "bf16", "f32", "int8", "fp8"
    threads    0: all available CPUs
    kv_bytes   memory for the KV cache, taken as it fills; 0: half of what is available
    progress   called with bytes done and in all; False stops loading
    """
    options = ModelOptions()
    library.glimmer_model_options_init(ctypes.byref(options))
    for name, text in (("backend", backend), ("precision", precision), ("kv_type", kv_type)):
        if text is not None:
            setattr(options, name, text.encode())
    for field, number in (("threads", threads), ("kv_bytes", kv_bytes), ("max_sequences", max_sequences)):
        _set_number(options, field, number)
    raised: list[BaseException] = []

    def report(done: int, total: int, _user: Any) -> int:
        try:
            return 1 if progress is not None and progress(done, total) is False else 0
        except BaseException as error:  # it must not pass through the library
            raised.append(error)
            return 1

    if progress is not None:
        options.progress = PROGRESS(report)
    handle = ctypes.c_void_p()
    status = library.glimmer_model_load(os.fsencode(os.path.expanduser(path)), ctypes.byref(options),
                                        ctypes.byref(handle))
    if raised:
        raise raised[0]
    _check(status)
    return Model(handle)


def _set_number(options: Any, name: str, value: Optional[float]) -> None:
    if value is None:
        return
    setattr(options, name, value)
    if getattr(options, name) != value:  # C integers wrap around; and NaN stands for None there
        raise ValueError(f"{name}: {value} is out of range")


def _id_array(ids: Union[Sequence[int], np.ndarray]) -> Any:
    array = np.asarray(ids)
    if array.size == 0:
        return (ctypes.c_int32 * 0)()
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise TypeError(f"ids: expected a list of integers, found {array.ndim} dimensions of {array.dtype}")
    narrow = array.astype(np.int32)
    if (narrow != array).any():
        raise ValueError(f"ids: {array[narrow != array][0]} is out of range")
    return (ctypes.c_int32 * len(narrow)).from_buffer(narrow.data)


def _conversation(messages: Sequence[_Json], tools: Sequence[_Json], template_args: Optional[_Json],
                  continue_last: bool) -> bytes:
    return json.dumps({"messages": list(messages), "tools": list(tools), "template_args": template_args or {},
                       "continue": continue_last}).encode()


def _options(*, max_tokens: Optional[int] = None, temperature: Optional[float] = None, top_p: Optional[float] = None,
             min_p: Optional[float] = None, top_k: Optional[int] = None, repetition_penalty: Optional[float] = None,
             presence_penalty: float = 0, frequency_penalty: float = 0, seed: Optional[int] = None,
             stop: Sequence[str] = (), ignore_eos: bool = False) -> Any:
    options = GenerateOptions()
    library.glimmer_generate_options_init(ctypes.byref(options))
    given = {"max_tokens": max_tokens, "temperature": temperature, "top_p": top_p, "min_p": min_p, "top_k": top_k,
             "repetition_penalty": repetition_penalty, "seed": seed, "presence_penalty": presence_penalty,
             "frequency_penalty": frequency_penalty}
    for name, value in given.items():
        _set_number(options, name, value)
    if isinstance(stop, str):
        raise TypeError("stop: expected a list of texts, found a text")
    for text in stop:
        if "\0" in text:
            raise ValueError("stop: a text has a null character")
    options.stop = (ctypes.c_char_p * len(stop))(*[text.encode() for text in stop])  # which options keep alive
    options.stop_count = len(stop)
    options.ignore_eos = int(ignore_eos)
    return options
