"""include/glimmer/glimmer.h by ctypes."""

import ctypes
import os
import pathlib
from ctypes import POINTER, c_char_p, c_double, c_float, c_int, c_int32, c_int64, c_size_t, c_void_p

PROGRESS = ctypes.CFUNCTYPE(c_int, c_int64, c_int64, c_void_p)
LOG = ctypes.CFUNCTYPE(None, c_char_p, c_void_p)


class ModelOptions(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("backend", c_char_p),
        ("precision", c_char_p),
        ("kv_type", c_char_p),
        ("threads", c_int32),
        ("kv_bytes", c_int64),
        ("max_sequences", c_int64),
        ("progress", PROGRESS),
        ("progress_user", c_void_p),
    ]


class GenerateOptions(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("max_tokens", c_int64),
        ("temperature", c_double),
        ("top_p", c_double),
        ("min_p", c_double),
        ("top_k", c_int64),
        ("repetition_penalty", c_double),
        ("presence_penalty", c_double),
        ("frequency_penalty", c_double),
        ("seed", c_int64),
        ("stop", POINTER(c_char_p)),
        ("stop_count", c_size_t),
        ("ignore_eos", c_int),
    ]


class Event(ctypes.Structure):
    _fields_ = [
        ("kind", c_int),
        ("text", c_void_p),
        ("size", c_size_t),
        ("call", c_int32),
        ("call_id", c_char_p),
    ]


class Usage(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("prompt_tokens", c_int64),
        ("cached_tokens", c_int64),
        ("generated_tokens", c_int64),
        ("reasoning_tokens", c_int64),
    ]


def _find() -> str:
    """The library that GLIMMER_LIBRARY names; else the package's own; else, in Glimmer's source tree, what was built
    there, so that an editable install works."""
    named = os.environ.get("GLIMMER_LIBRARY")
    here = pathlib.Path(__file__).resolve().parent
    looked = [pathlib.Path(named)] if named else [here / "libglimmer.so",
                                                  here.parents[1] / "build/release/src/libglimmer.so"]
    for path in looked:
        if path.is_file():
            return str(path)
    places = ", ".join(map(str, looked)) + (", which GLIMMER_LIBRARY names" if named else "")
    raise ImportError(f"there is no libglimmer.so at {places}: install the package with pip install ./python, build it "
                      "with ./dev library, or name one in GLIMMER_LIBRARY")


library = ctypes.CDLL(_find())

_bytes, _ids = POINTER(ctypes.c_char), POINTER(c_int32)
_SIGNATURES = {
    "glimmer_version": (c_char_p, []),
    "glimmer_status_name": (c_char_p, [c_int]),
    "glimmer_last_error": (c_char_p, []),
    "glimmer_set_log": (None, [LOG, c_void_p]),
    "glimmer_model_options_init": (None, [POINTER(ModelOptions)]),
    "glimmer_model_load": (c_int, [c_char_p, POINTER(ModelOptions), POINTER(c_void_p)]),
    "glimmer_model_free": (None, [c_void_p]),
    "glimmer_model_type": (c_char_p, [c_void_p]),
    "glimmer_model_vocab_size": (c_int64, [c_void_p]),
    "glimmer_model_context_tokens": (c_int64, [c_void_p]),
    "glimmer_model_has_chat_template": (c_int, [c_void_p]),
    "glimmer_tokenize": (c_int, [c_void_p, c_char_p, c_size_t, c_int, _ids, c_size_t, POINTER(c_size_t)]),
    "glimmer_detokenize": (c_int, [c_void_p, _ids, c_size_t, _bytes, c_size_t, POINTER(c_size_t)]),
    "glimmer_logits": (c_int, [c_void_p, _ids, c_size_t, c_size_t, POINTER(c_float), c_size_t]),
    "glimmer_generate_options_init": (None, [POINTER(GenerateOptions)]),
    "glimmer_complete": (c_int, [c_void_p, c_char_p, c_size_t, POINTER(GenerateOptions), POINTER(c_void_p)]),
    "glimmer_complete_ids": (c_int, [c_void_p, _ids, c_size_t, POINTER(GenerateOptions), POINTER(c_void_p)]),
    "glimmer_chat": (c_int, [c_void_p, c_char_p, c_size_t, POINTER(GenerateOptions), POINTER(c_void_p)]),
    "glimmer_render": (c_int, [c_void_p, c_char_p, c_size_t, _bytes, c_size_t, POINTER(c_size_t)]),
    "glimmer_generation_next": (c_int, [c_void_p, POINTER(Event)]),
    "glimmer_generation_cancel": (None, [c_void_p]),
    "glimmer_generation_usage": (c_int, [c_void_p, POINTER(Usage)]),
    "glimmer_generation_free": (None, [c_void_p]),
}
for _name, (_result, _arguments) in _SIGNATURES.items():
    _function = getattr(library, _name)
    _function.restype, _function.argtypes = _result, _arguments
