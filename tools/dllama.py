#!/usr/bin/env python3
"""Distributed Llama's .m and .t files in plain numpy, written from docs/formats.md and not from Glimmer's C++.

For LLAMA, QWEN3 and QWEN3_MOE in f32, f16, q40 and q80 its model files, and its tokenizer file, have been found equal,
byte for byte, to those of Distributed Llama's own converters (8d624a7), given a config.json as transformers 4 spelt it.

    dllama.py write FOLDER FILE.m f32|f16|q40|q80    a Hugging Face folder as a model file
    dllama.py check FOLDER FILE.m                    that every tensor of the file is that of the folder
    dllama.py goldens                                tests/source/dllama: tiny models of transformers, with logits
"""

from __future__ import annotations

import argparse
import json
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

MAGIC = 0x0A00ABCD
TOKENIZER_MAGIC = 0x567124
TYPES = ("f32", "f16", "q40", "q80")
ARCHS = {
    "llama": 0xABCD00,
    "qwen3": 0xABCD01,
    "qwen3_moe": 0xABCD02,
    "glm": 0xABCD03,
    "glm4": 0xABCD03,
    "glm4_moe": 0xABCD04,
    "glm4_moe_lite": 0xABCD05,
}
GOLDENS = Path(__file__).resolve().parent.parent / "tests/source/dllama"

Array = np.ndarray[Any, Any]
Config = dict[str, Any]


# ---- values


def encode(values: Array, kind: str) -> bytes:
    x = np.ascontiguousarray(values, dtype=np.float32)
    if kind == "f32":
        return x.tobytes()
    if kind == "f16":
        return x.astype(np.float16).tobytes()
    blocks = x.reshape(-1, 32)
    low, high = blocks.min(axis=1), blocks.max(axis=1)
    with np.errstate(divide="ignore"):
        if kind == "q80":
            scale = np.where(-low > high, -low, high) / np.float32(127)
            inverse = np.where(scale != 0, np.float32(1) / scale, np.float32(0))
            codes = np.round(blocks * inverse[:, None]).astype(np.int8).view(np.uint8)
        else:
            scale = np.where(-low > high, low, high) / np.float32(-8)
            inverse = np.where(scale != 0, np.float32(1) / scale, np.float32(0))
            full = np.clip(blocks * inverse[:, None] + np.float32(8.5), 0, 15).astype(np.uint8)
            codes = full[:, :16] | full[:, 16:] << 4
    return np.concatenate([scale.astype(np.float16).view(np.uint8).reshape(-1, 2), codes], axis=1).tobytes()


def row_bytes(columns: int, kind: str) -> int:
    return {"f32": 4 * columns, "f16": 2 * columns, "q40": columns // 32 * 18, "q80": columns // 32 * 34}[kind]


def decode(data: bytes, shape: tuple[int, ...], kind: str) -> Array:
    if kind in ("f32", "f16"):
        return np.frombuffer(data, np.float32 if kind == "f32" else np.float16).astype(np.float32).reshape(shape)
    raw = np.frombuffer(data, np.uint8).reshape(-1, 34 if kind == "q80" else 18)
    scale = raw[:, :2].copy().view(np.float16).astype(np.float32)
    codes = raw[:, 2:]
    if kind == "q80":
        values = codes.copy().view(np.int8).astype(np.float32)
    else:
        values = np.concatenate([codes & 15, codes >> 4], axis=1).astype(np.float32) - 8
    return (values * scale).reshape(shape)


# ---- the plan: (name, shape, type) of each tensor in order


def plan(c: Config, kind: str) -> Iterator[tuple[str, tuple[int, ...], str]]:
    hidden, vocab = c["hidden_size"], c["vocab_size"]
    yield "model.embed_tokens.weight", (vocab, hidden), "f32"
    layers = c["num_hidden_layers"]
    for layer in range(layers):
        yield from layer_plan(c, layer, kind)
    yield "model.norm.weight", (hidden,), "f32"
    if c["model_type"] in ("llama", "qwen3", "qwen3_moe") or not c["tie_word_embeddings"]:
        yield "lm_head.weight", (vocab, hidden), kind
    for layer in range(layers, layers + c.get("mtp_layers", 0)):
        yield from layer_plan(c, layer, kind)
        prefix = f"model.layers.{layer}."
        yield prefix + "enorm.weight", (hidden,), "f32"
        yield prefix + "hnorm.weight", (hidden,), "f32"
        yield prefix + "eh_proj.weight", (hidden, 2 * hidden), kind
        if c["mtp_embed_tokens"]:
            yield prefix + "embed_tokens.weight", (vocab, hidden), "f32"
        yield prefix + "shared_head.norm.weight", (hidden,), "f32"
        if c["mtp_shared_head"]:
            yield prefix + "shared_head.head.weight", (vocab, hidden), kind


def layer_plan(c: Config, layer: int, kind: str) -> Iterator[tuple[str, tuple[int, ...], str]]:
    prefix = f"model.layers.{layer}."
    hidden, heads = c["hidden_size"], c["num_attention_heads"]
    bias = c.get("attention_bias", False)

    def linear(name: str, rows: int, columns: int, biased: bool) -> Iterator[tuple[str, tuple[int, ...], str]]:
        yield f"{prefix}self_attn.{name}.weight", (rows, columns), kind
        if biased:
            yield f"{prefix}self_attn.{name}.bias", (rows,), "f32"

    def mlp(name: str, width: int) -> Iterator[tuple[str, tuple[int, ...], str]]:
        yield f"{prefix}{name}.gate_proj.weight", (width, hidden), kind
        yield f"{prefix}{name}.down_proj.weight", (hidden, width), kind
        yield f"{prefix}{name}.up_proj.weight", (width, hidden), kind

    if c["model_type"] == "glm4_moe_lite":
        nope, rope, v, latent = c["qk_nope_head_dim"], c["qk_rope_head_dim"], c["v_head_dim"], c["kv_lora_rank"]
        if c["q_lora_rank"] is None:
            yield from linear("q_proj", heads * (nope + rope), hidden, False)
        else:
            yield from linear("q_a_proj", c["q_lora_rank"], hidden, bias)
            yield f"{prefix}self_attn.q_a_layernorm.weight", (c["q_lora_rank"],), "f32"
            yield from linear("q_b_proj", heads * (nope + rope), c["q_lora_rank"], False)
        yield from linear("kv_a_proj_with_mqa", latent + rope, hidden, bias)
        yield f"{prefix}self_attn.kv_a_layernorm.weight", (latent,), "f32"
        yield from linear("kv_b_proj", heads * (nope + v), latent, False)
        yield from linear("o_proj", hidden, heads * v, bias)
    else:
        head_dim, kv = c["head_dim"], c["num_key_value_heads"]
        yield from linear("q_proj", heads * head_dim, hidden, bias)
        yield from linear("k_proj", kv * head_dim, hidden, bias)
        yield from linear("v_proj", kv * head_dim, hidden, bias)
        yield from linear("o_proj", hidden, heads * head_dim, False)

    if c["sparse"][layer]:
        experts, width = c["n_routed_experts"], c["moe_intermediate_size"]
        yield prefix + "mlp.gate.weight", (experts, hidden), "f32"
        if c["model_type"] != "qwen3_moe":
            yield prefix + "mlp.gate.e_score_correction_bias", (experts,), "f32"
        for expert in range(experts):
            yield from mlp(f"mlp.experts.{expert}", width)
        if c.get("n_shared_experts"):
            yield from mlp("mlp.shared_experts", width * c["n_shared_experts"])
    elif c["model_type"] in ("glm", "glm4"):
        yield prefix + "mlp.gate_up_proj.weight", (2 * c["intermediate_size"], hidden), kind
        yield prefix + "mlp.down_proj.weight", (hidden, c["intermediate_size"]), kind
    else:
        yield from mlp("mlp", c["intermediate_size"])

    if c["model_type"] in ("qwen3", "qwen3_moe") or c.get("use_qk_norm"):
        yield prefix + "self_attn.q_norm.weight", (c["head_dim"],), "f32"
        yield prefix + "self_attn.k_norm.weight", (c["head_dim"],), "f32"
    names = ["input_layernorm", "post_attention_layernorm"]
    if c["model_type"] == "glm4":
        names += ["post_self_attn_layernorm", "post_mlp_layernorm"]
    for name in names:
        yield f"{prefix}{name}.weight", (hidden,), "f32"


# ---- the header


def int32(value: int) -> int:
    return value - (1 << 32) if value >= 1 << 31 else value


def float64(key: int, value: float) -> list[tuple[int, int]]:
    bits = struct.unpack("<Q", struct.pack("<d", value))[0]
    return [(key, int32(bits & 0xFFFFFFFF)), (key + 1, int32(bits >> 32))]


def header(c: Config, kind: str) -> bytes:
    family = c["model_type"]
    rope = c["rope"]
    own = family in ("llama", "qwen3", "qwen3_moe")
    moe = family in ("qwen3_moe", "glm4_moe", "glm4_moe_lite")
    pairs = [
        (0, 0),
        (1, ARCHS[family]),
        (11, 1),
        (2, c["hidden_size"]),
        (3, c["intermediate_size"]),
        (4, c["num_hidden_layers"]),
        (5, c["num_attention_heads"]),
        (6, c["num_key_value_heads"]),
        (13, TYPES.index(kind)),
        (10, c["max_position_embeddings"]),
        (9, c["vocab_size"]),
    ]
    if own or moe:
        pairs += [(7, c["n_routed_experts"] if moe else 0), (8, c["num_experts_per_tok"] if moe else 0)]
    if own:
        pairs.append((12, int(rope["rope_theta"])))
        if rope["rope_type"] == "llama3":
            pairs += [
                (14, int(rope["factor"])),
                (15, int(rope["low_freq_factor"])),
                (16, int(rope["high_freq_factor"])),
                (17, int(rope["original_max_position_embeddings"])),
                (18, 2),
            ]
    else:
        pairs.append((18, 1 if family == "glm4_moe" else 0))
    if family != "glm4_moe_lite":
        pairs.append((19, c["head_dim"]))
    if own:
        pairs.append((20, {1e-5: 5, 1e-6: 6}[c["rms_norm_eps"]]))
    if moe:
        pairs.append((21, c["moe_intermediate_size"]))
    if not own:
        pairs += extension(c)
    data = b"".join(struct.pack("<ii", *pair) for pair in pairs)
    return struct.pack("<Ii", MAGIC, 8 + len(data)) + data


def extension(c: Config) -> list[tuple[int, int]]:
    family, rope = c["model_type"], c["rope"]
    moe = family.startswith("glm4_moe")
    pairs = [(100, 1)]
    pairs += float64(101, rope["rope_theta"]) + float64(103, c["rms_norm_eps"])
    pairs += float64(105, rope["partial_rotary_factor"])
    if moe:
        pairs += float64(107, c["routed_scaling_factor"])
    pairs.append((109, int(c["attention_bias"])))
    if family == "glm4_moe":
        pairs.append((110, int(c["use_qk_norm"])))
    pairs.append((111, int(c["tie_word_embeddings"])))
    if not moe:
        pairs += [(112, int(family == "glm4")), (113, 1)]
    else:
        pairs += [(114, c["n_shared_experts"]), (115, c["n_group"]), (116, c["topk_group"])]
        pairs.append((117, int(c["norm_topk_prob"])))
    if rope["rope_type"] != "default":
        raise SystemExit("scaled rotary embeddings are left to Glimmer's own tests")
    if family == "glm4_moe_lite":
        pairs += [(131, c["q_lora_rank"] or 0), (132, c["kv_lora_rank"]), (133, c["qk_nope_head_dim"])]
        pairs += [(134, c["qk_rope_head_dim"]), (135, c["v_head_dim"]), (136, 0)]
    if moe:
        pairs.append((137, c["mtp_layers"]))
        if c["mtp_layers"]:
            pairs += [(138, int(c["mtp_embed_tokens"])), (139, int(c["mtp_shared_head"]))]
    eos = c["eos"]
    pairs.append((140, len(eos)))
    if c.get("bos_token_id") is not None:
        pairs.append((141, c["bos_token_id"]))
    if c.get("pad_token_id") is not None:
        pairs.append((142, c["pad_token_id"]))
    dtype = c.get("dtype") or c.get("torch_dtype")
    if dtype is not None:
        pairs.append((143, ("float32", "float16", "bfloat16").index(dtype)))
    pairs += [(160 + i, token) for i, token in enumerate(eos)]
    if moe:
        for first in range(0, len(c["sparse"]), 32):
            bits = sum(sparse << i for i, sparse in enumerate(c["sparse"][first : first + 32]))
            pairs.append((200 + first // 32, int32(bits)))
    return pairs


# ---- a Hugging Face folder


def read_config(folder: Path, names: set[str]) -> Config:
    c: Config = json.loads((folder / "config.json").read_text())
    rope = {"rope_type": "default"} | (c.get("rope_parameters") or c.get("rope_scaling") or {})
    rope.setdefault("rope_theta", c.get("rope_theta", 10000.0))
    default = 0.5 if c["model_type"] in ("glm", "glm4", "glm4_moe") else 1.0
    rope.setdefault("partial_rotary_factor", c.get("partial_rotary_factor", default))
    c["rope"] = rope
    c.setdefault("tie_word_embeddings", False)
    if c["model_type"] != "glm4_moe_lite":
        c["head_dim"] = c.get("head_dim") or c["hidden_size"] // c["num_attention_heads"]
    experts = ("n_routed_experts", "num_experts", "num_local_experts")
    c["n_routed_experts"] = next((c[key] for key in experts if c.get(key)), 0)
    layers = c["num_hidden_layers"]
    c["mtp_layers"] = sum(f"model.layers.{layers + i}.eh_proj.weight" in names for i in range(64))
    c["mtp_embed_tokens"] = f"model.layers.{layers}.embed_tokens.weight" in names
    c["mtp_shared_head"] = f"model.layers.{layers}.shared_head.head.weight" in names
    c["sparse"] = [f"model.layers.{i}.mlp.gate.weight" in names for i in range(layers + c["mtp_layers"])]
    generation = folder / "generation_config.json"
    eos = (json.loads(generation.read_text()) if generation.exists() else {}).get("eos_token_id", c.get("eos_token_id"))
    c["eos"] = [] if eos is None else eos if isinstance(eos, list) else [eos]
    return c


def read_folder(folder: Path) -> dict[str, Array]:
    from safetensors import safe_open

    tensors: dict[str, Array] = {}
    for file in sorted(folder.glob("model*.safetensors")):
        with safe_open(file, "pt") as opened:
            for name in opened.keys():
                tensors[name] = opened.get_tensor(name).float().numpy()
    for name in [n for n in tensors if n.endswith("mlp.experts.gate_up_proj")]:
        base = name.removesuffix("gate_up_proj")
        gate_up, down = tensors.pop(name), tensors.pop(base + "down_proj")
        for expert in range(len(down)):
            gate, up = np.split(gate_up[expert], 2)
            tensors[f"{base}{expert}.gate_proj.weight"] = gate
            tensors[f"{base}{expert}.up_proj.weight"] = up
            tensors[f"{base}{expert}.down_proj.weight"] = down[expert]
    return tensors


def permuted(values: Array, head_dim: int) -> Array:
    """Rows of each head from halves [0, 1, .. | h, h+1, ..] to neighbours [0, h, 1, h+1, ..]."""
    return values.reshape(-1, 2, head_dim // 2, values.shape[1]).swapaxes(1, 2).reshape(values.shape)


def stored(c: Config, name: str, values: Array) -> Array:
    turned = c["model_type"] == "llama" and name.endswith(("q_proj.weight", "k_proj.weight"))
    return permuted(values, c["head_dim"]) if turned else values


def write_model(folder: Path, out: Path, kind: str) -> None:
    tensors = read_folder(folder)
    c = read_config(folder, set(tensors))
    with out.open("wb") as file:
        file.write(header(c, kind))
        for name, shape, tensor_kind in plan(c, kind):
            source = name if name in tensors else "model.embed_tokens.weight"
            if source != name and name != "lm_head.weight":
                raise SystemExit(f"{folder}: no tensor {name}")
            values = tensors[source]
            if values.shape != shape:
                raise SystemExit(f"{folder}: {name}: {values.shape}, expected {shape}")
            file.write(encode(stored(c, name, values), tensor_kind))


def read_model(folder: Path, path: Path) -> dict[str, Array]:
    """The tensors of a file, as Hugging Face has them. The folder's config.json says what to expect."""
    tensors = read_folder(folder)
    c = read_config(folder, set(tensors))
    data = path.read_bytes()
    magic, size = struct.unpack_from("<Ii", data)
    pairs = dict(struct.iter_unpack("<ii", data[8:size]))
    if magic != MAGIC or data[:size] != header(c, TYPES[pairs[13]]):
        expected = dict(struct.iter_unpack("<ii", header(c, TYPES[pairs[13]])[8:]))
        raise SystemExit(f"{path}: header {set(pairs.items()) ^ set(expected.items())}")
    kind, at, out = TYPES[pairs[13]], size, {}
    for name, shape, tensor_kind in plan(c, kind):
        length = int(np.prod(shape[:-1], dtype=np.int64)) * row_bytes(shape[-1], tensor_kind)
        values = decode(data[at : at + length], shape, tensor_kind)
        if c["model_type"] == "llama" and name.endswith(("q_proj.weight", "k_proj.weight")):
            half = c["head_dim"] // 2
            values = values.reshape(-1, half, 2, shape[1]).swapaxes(1, 2).reshape(shape)
        out[name] = values
        at += length
    if at != len(data):
        raise SystemExit(f"{path}: {len(data)} bytes, expected {at}")
    return out


def check_model(folder: Path, path: Path) -> None:
    tensors = read_folder(folder)
    found = read_model(folder, path)
    data = path.read_bytes()
    (size,) = struct.unpack_from("<i", data, 4)
    kind = TYPES[dict(struct.iter_unpack("<ii", data[8:size]))[13]]
    c = read_config(folder, set(tensors))
    for name, shape, tensor_kind in plan(c, kind):
        values = tensors[name if name in tensors else "model.embed_tokens.weight"]
        if not np.array_equal(found[name], decode(encode(values, tensor_kind), shape, tensor_kind)):
            raise SystemExit(f"{path}: {name} differs")
    print(f"{path}: {len(found)} tensors, {kind}, as in {folder}")


# ---- tokenizers


def byte_of_char() -> dict[str, int]:
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in plain]
    return {chr(b): b for b in plain} | {chr(256 + i): b for i, b in enumerate(others)}


def write_tokenizer(tokenizer: Config, out: Path, bos: int, eos: list[int], template: str, add_bos: bool) -> None:
    """As convert-tokenizer-hf.py: bytes of every token by id, the negative id for a score."""
    vocab = dict(tokenizer["model"]["vocab"]) | {t["content"]: t["id"] for t in tokenizer["added_tokens"]}
    table = byte_of_char()
    tokens = []
    for token, _ in sorted(vocab.items(), key=lambda item: item[1]):
        tokens.append(b"".join(bytes([table[ch]]) if ch in table else ch.encode() for ch in token))
    text = template.encode()
    pairs = [(3, bos), (0, 1), (1, len(tokens)), (2, max(map(len, tokens))), (7, len(text)), (9, len(eos))]
    pairs.append((10, int(add_bos)))
    with out.open("wb") as file:
        file.write(struct.pack("<Ii", TOKENIZER_MAGIC, 8 + 8 * len(pairs)))
        file.write(b"".join(struct.pack("<ii", *pair) for pair in pairs) + text)
        file.write(struct.pack(f"<{len(eos)}i", *eos))
        for i, token in enumerate(tokens):
            file.write(struct.pack("<fI", -float(i), len(token)) + token)


# ---- goldens

SMALL = {
    "vocab_size": 72,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
    "attention_bias": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "norm_topk_prob": True}
MODELS = {
    "llama_f32": ("llama", "f32", {"rope_parameters": LLAMA3}),
    "llama_q80": ("llama", "q80", {"tie_word_embeddings": True, "rms_norm_eps": 1e-6, "num_key_value_heads": 4}),
    "qwen3_q40": ("qwen3", "q40", {"head_dim": 16, "rms_norm_eps": 1e-6}),
    "qwen3_moe_f16": ("qwen3_moe", "f16", EXPERTS | {"rms_norm_eps": 1e-6}),
}

# Fixtures that have their own golden.safetensors.
FIXTURES = {
    "llama_base": "f32",
    "qwen3_moe_base": "f16",
    "glm_no_bias": "f16",
    "glm4_bias": "f32",
    "glm4_moe_mtp": "f16",
    "glm4_moe_lite_flash": "f16",
}


def make_golden(name: str) -> None:
    import tempfile
    import zlib

    import torch
    from safetensors.torch import save_file
    from transformers import AutoConfig, AutoModelForCausalLM

    family, kind, changes = MODELS[name]
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **(SMALL | changes))).float().eval()
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    with torch.no_grad():
        for key, tensor in sorted(model.state_dict().items()):
            normal = rng.standard_normal(tuple(tensor.shape))
            gain = 2.0 if "lm_head" in key or "[qk]_proj" in key else 1.4
            values = 1 + 0.3 * normal if "norm" in key else gain / np.sqrt(tensor.shape[-1]) * normal
            tensor.copy_(torch.from_numpy(values.astype(np.float32)))
    folder = GOLDENS / name
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        original = Path(temporary)
        model.save_pretrained(original, save_original_format=True)
        write_model(original, folder / "model.m", kind)
        check_model(original, folder / "model.m")
        values = read_model(original, folder / "model.m")
    state = model.state_dict()
    with torch.no_grad():  # the model that the file holds, after what its type costs
        if model.config.tie_word_embeddings:
            model.config.tie_word_embeddings = False
            model.lm_head.weight = torch.nn.Parameter(state["lm_head.weight"].clone())
        load_values(model, values)
        ids = torch.from_numpy(rng.integers(0, SMALL["vocab_size"], 17))
        logits = model(ids.unsqueeze(0)).logits[0]
    save_file({"input_ids": ids.to(torch.int32), "logits": logits.contiguous()}, folder / "golden.safetensors")
    print(f"{name}: {(folder / 'model.m').stat().st_size} bytes, max |logit| {float(logits.abs().max()):.2f}")


def load_values(model: Any, values: dict[str, Array]) -> None:
    import torch

    state = model.state_dict()
    for key, tensor in state.items():
        if key in values:
            tensor.copy_(torch.from_numpy(values[key]))
            continue
        base, _, last = key.rpartition(".")  # transformers keeps experts in stacks
        parts = {"gate_up_proj": ("gate_proj", "up_proj"), "down_proj": ("down_proj",)}[last]
        for expert in range(tensor.shape[0]):
            rows = [values[f"{base}.{expert}.{part}.weight"] for part in parts]
            tensor[expert].copy_(torch.from_numpy(np.concatenate(rows)))


LINE = "the cat and the dog sat on the mat, and then the cat ran off; 12 or 345 dogs ran after it.\n"
TEXT = LINE * 4 + "naïve 你好"
TEMPLATE = "{% for message in messages %}<|user|>{{ message['content'] }}{% endfor %}<|assistant|>"


def make_tokenizer_golden() -> None:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator([TEXT], trainers.BpeTrainer(vocab_size=290, initial_alphabet=alphabet))
    tokenizer.add_special_tokens([AddedToken("<|bos|>"), AddedToken("<|end|>"), AddedToken("<|user|>")])
    tokenizer.add_tokens([AddedToken("<think>", normalized=False)])
    text = json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False, separators=(",", ":"))
    (GOLDENS / "tokenizer.json").write_text(text + "\n")
    bos = tokenizer.token_to_id("<|bos|>")
    write_tokenizer(json.loads(text), GOLDENS / "tokenizer.t", bos, [bos + 1, bos + 2], TEMPLATE, False)
    print(f"tokenizer: {tokenizer.get_vocab_size()} tokens, bos {bos}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    write = commands.add_parser("write")
    write.add_argument("folder", type=Path)
    write.add_argument("file", type=Path)
    write.add_argument("type", choices=TYPES)
    check = commands.add_parser("check")
    check.add_argument("folder", type=Path)
    check.add_argument("file", type=Path)
    commands.add_parser("goldens")
    args = parser.parse_args()
    if args.command == "write":
        write_model(args.folder, args.file, args.type)
    elif args.command == "check":
        check_model(args.folder, args.file)
    else:
        for name in MODELS:
            make_golden(name)
        for name, kind in FIXTURES.items():
            write_model(GOLDENS.parent.parent / "fixtures" / name, GOLDENS / f"{name}.m", kind)
        make_tokenizer_golden()
    return 0


if __name__ == "__main__":
    sys.exit(main())
