#!/usr/bin/env python3
"""GGUF files in the layout of llama.cpp's converter, written with the `gguf` package and not with Glimmer's C++.

    gguf_files.py write FOLDER FILE.gguf [--fused] [--old]   a Hugging Face folder as a model file
    gguf_files.py check FOLDER FILE.gguf                     that each tensor of the file is that of the folder
    gguf_files.py list FILE.gguf                             keys and tensors
    gguf_files.py goldens                                    tests/source/gguf

Matrices are BF16, F16 or F32, the first that loses nothing; vectors and routers are F32.
Needs: pip install gguf numpy safetensors torch (CPU).
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from pathlib import Path
from typing import Any

import gguf
import torch
from safetensors.torch import load_file

ROOT = Path(__file__).resolve().parent.parent
GOLDENS = ROOT / "tests/source/gguf"
ARCHS = {
    "glm4_moe": "glm4moe",
    "glm4_moe_lite": "deepseek2",
    "glm4": "glm4",
    "glm": "chatglm",
    "llama": "llama",
    "qwen3": "qwen3",
    "qwen3_moe": "qwen3moe",
}
NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "self_attn.q_a_proj": "attn_q_a",
    "self_attn.q_a_layernorm": "attn_q_a_norm",
    "self_attn.q_b_proj": "attn_q_b",
    "self_attn.kv_a_proj_with_mqa": "attn_kv_a_mqa",
    "self_attn.kv_a_layernorm": "attn_kv_a_norm",
    "self_attn.kv_b_proj": "attn_kv_b",
    "post_attention_layernorm": "ffn_norm",
    "post_self_attn_layernorm": "post_attention_norm",
    "post_mlp_layernorm": "post_ffw_norm",
    "mlp.gate_up_proj": "ffn_up",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "mlp.gate": "ffn_gate_inp",
    "mlp.shared_experts.gate_proj": "ffn_gate_shexp",
    "mlp.shared_experts.up_proj": "ffn_up_shexp",
    "mlp.shared_experts.down_proj": "ffn_down_shexp",
    "eh_proj": "nextn.eh_proj",
    "enorm": "nextn.enorm",
    "hnorm": "nextn.hnorm",
    "embed_tokens": "nextn.embed_tokens",
    "shared_head.head": "nextn.shared_head_head",
    "shared_head.norm": "nextn.shared_head_norm",
}
Tensors = dict[str, torch.Tensor]
Config = dict[str, Any]


def read_folder(folder: Path) -> tuple[Config, Tensors]:
    tensors: Tensors = {}
    for file in sorted(folder.glob("model*.safetensors")):
        tensors |= load_file(file)
    return json.loads((folder / "config.json").read_text()), {n: t.float() for n, t in tensors.items() if t.numel()}


def permute(rows: torch.Tensor, heads: int) -> torch.Tensor:
    """The two halves of each head, row by row in turn: llama.cpp's interleaved RoPE."""
    return rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def own_name(arch: str, name: str) -> str:
    """The name in GGUF of one tensor that is no expert."""
    glob = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight",
            "lm_head.weight": "output.weight"}
    if name in glob:
        return glob[name]
    match = re.fullmatch(r"model\.layers\.(\d+)\.(.+?)\.(weight|bias|e_score_correction_bias)", name)
    assert match, name
    layer, module, kind = match.groups()
    if kind == "e_score_correction_bias":
        return f"blk.{layer}.exp_probs_b.bias"
    own = NAMES[module]
    if arch == "glm4moe" and module == "post_attention_layernorm":
        own = "post_attention_norm"
    return f"blk.{layer}.{own}.{kind}"


def to_gguf(config: Config, tensors: Tensors, fused: bool = False, old: bool = False) -> Tensors:
    """The tensors as a GGUF file has them. `old`: attn_qkv and attn_kv_b, as older files; `fused`: gate_up_exps."""
    arch = ARCHS[config["model_type"]]
    heads = config["num_attention_heads"]
    out: Tensors = {}
    stacks: dict[str, list[torch.Tensor]] = {}
    for name, value in tensors.items():
        match = re.fullmatch(r"model\.layers\.(\d+)\.mlp\.experts\.(\d+)\.(gate|up|down)_proj\.weight", name)
        if match:
            key = f"blk.{match[1]}.ffn_{match[3]}_exps.weight"
            stacks.setdefault(key, []).append(torch.empty(0))
            continue
        own = own_name(arch, name)
        if arch == "llama" and ".attn_q." in own:
            value = permute(value, heads)
        if arch == "llama" and ".attn_k." in own:
            value = permute(value, config.get("num_key_value_heads", heads))
        if ".attn_kv_b." in own and not old:
            nope = config["qk_nope_head_dim"]
            halves = value.reshape(heads, nope + config["v_head_dim"], -1)
            out[own.replace("kv_b", "k_b")] = halves[:, :nope].transpose(1, 2)
            out[own.replace("kv_b", "v_b")] = halves[:, nope:]
            continue
        out[own] = value
    for key, experts in stacks.items():
        layer, part = re.fullmatch(r"blk\.(\d+)\.ffn_(\w+)_exps\.weight", key).groups()  # type: ignore[union-attr]
        names = [f"model.layers.{layer}.mlp.experts.{e}.{part}_proj.weight" for e in range(len(experts))]
        out[key] = torch.stack([tensors[n] for n in names])
    if fused:
        for key in [k for k in out if k.endswith("ffn_gate_exps.weight")]:
            up = key.replace("gate", "up")
            out[key.replace("gate", "gate_up")] = torch.cat([out.pop(key), out.pop(up)], dim=1)
    if old and arch in ("glm4", "chatglm", "glm4moe"):
        for key in [k for k in out if ".attn_q." in k]:
            parts = [out.pop(key.replace("attn_q", f"attn_{x}")) for x in "qkv"]
            out[key.replace("attn_q", "attn_qkv")] = torch.cat(parts)
    rope = config.get("rope_scaling") or config.get("rope_parameters") or {}
    if rope.get("rope_type", rope.get("type")) == "llama3":
        out["rope_freqs.weight"] = rope_freqs(config, rope)
    return out


def rope_freqs(config: Config, rope: Config) -> torch.Tensor:
    dim = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    theta = rope.get("rope_theta") or config.get("rope_theta")
    context = rope["original_max_position_embeddings"]
    low, high, factor = rope["low_freq_factor"], rope["high_freq_factor"], rope["factor"]
    factors = []
    for i in range(dim // 2):
        wavelength = 2 * math.pi * theta ** (2 * i / dim)
        smooth = min(1.0, max(0.0, (context / wavelength - low) / (high - low)))
        factors.append(1 / ((1 - smooth) / factor + smooth))
    return torch.tensor(factors, dtype=torch.float32)


def add_keys(writer: gguf.GGUFWriter, config: Config, mtp: int, vocab: int) -> None:
    arch = ARCHS[config["model_type"]]
    rope = config.get("rope_scaling") or config.get("rope_parameters") or {}
    heads = config["num_attention_heads"]
    writer.add_type("model")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_BF16)
    writer.add_block_count(config["num_hidden_layers"] + mtp)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_rope_freq_base(rope.get("rope_theta") or config.get("rope_theta"))
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    if arch == "deepseek2":
        latent, rotated = config["kv_lora_rank"], config["qk_rope_head_dim"]
        writer.add_head_count_kv(1)
        writer.add_vocab_size(vocab)
        writer.add_q_lora_rank(config["q_lora_rank"])
        writer.add_kv_lora_rank(latent)
        writer.add_key_length(latent + rotated)
        writer.add_value_length(latent)
        writer.add_key_length_mla(config["qk_nope_head_dim"] + rotated)
        writer.add_value_length_mla(config["v_head_dim"])
        writer.add_rope_dimension_count(rotated)
    else:
        writer.add_head_count_kv(config.get("num_key_value_heads", heads))
        dim = config.get("head_dim") or config["hidden_size"] // heads
        part = rope.get("partial_rotary_factor", config.get("partial_rotary_factor", 0.5 if "glm" in arch else 1.0))
        writer.add_rope_dimension_count(int(dim * part))
        writer.add_key_length(dim)
        writer.add_value_length(dim)
    if "num_experts_per_tok" in config:
        writer.add_expert_count(config.get("n_routed_experts") or config["num_experts"])
        writer.add_expert_used_count(config["num_experts_per_tok"])
        writer.add_expert_feed_forward_length(config["moe_intermediate_size"])
    if arch in ("glm4moe", "deepseek2"):
        writer.add_expert_shared_count(config["n_shared_experts"])
        writer.add_leading_dense_block_count(config["first_k_dense_replace"])
        writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
        writer.add_expert_weights_scale(config["routed_scaling_factor"])
        writer.add_expert_weights_norm(config["norm_topk_prob"])
        writer.add_expert_group_count(config["n_group"])
        writer.add_expert_group_used_count(config["topk_group"])
        if mtp:
            writer.add_nextn_predict_layers(mtp)


def is_f32(name: str, value: torch.Tensor) -> bool:
    return value.ndim == 1 or "ffn_gate_inp" in name


def write(folder: Path, file: Path, fused: bool = False, old: bool = False) -> None:
    config, tensors = read_folder(folder)
    layers = config["num_hidden_layers"]
    mtp = len({m[1] for n in tensors if (m := re.match(r"model\.layers\.(\d+)\.", n)) and int(m[1]) >= layers})
    writer = gguf.GGUFWriter(file, ARCHS[config["model_type"]])
    add_keys(writer, config, mtp, config["vocab_size"])
    for name, value in to_gguf(config, tensors, fused, old).items():
        value = value.contiguous()
        if is_f32(name, value):
            writer.add_tensor(name, value.numpy())
        elif torch.equal(value.bfloat16().float(), value):
            raw = value.bfloat16().view(torch.uint8).numpy()
            writer.add_tensor(name, raw, raw_dtype=gguf.GGMLQuantizationType.BF16)
        elif torch.equal(value.half().float(), value):
            writer.add_tensor(name, value.half().numpy())
        else:
            writer.add_tensor(name, value.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def values_of(tensor: gguf.ReaderTensor) -> torch.Tensor:
    shape = [int(n) for n in reversed(tensor.shape.tolist())]
    return torch.from_numpy(gguf.quants.dequantize(tensor.data, tensor.tensor_type).copy()).reshape(shape)


def check(folder: Path, file: Path) -> None:
    config, tensors = read_folder(folder)
    expected = to_gguf(config, tensors)
    reader = gguf.GGUFReader(file)
    found = {t.name: t for t in reader.tensors}
    if set(found) != set(expected):
        sys.exit(f"{file}: names differ: {sorted(set(found) ^ set(expected))}")
    architecture = reader.fields["general.architecture"].contents()
    if architecture != ARCHS[config["model_type"]]:
        sys.exit(f"{file}: general.architecture {architecture}")
    for name, value in expected.items():
        own = values_of(found[name])
        if own.shape != value.shape or not torch.equal(own, value):
            sys.exit(f"{file}: {name}: {list(own.shape)} differs from {list(value.shape)}")
        if is_f32(name, value) and found[name].tensor_type != gguf.GGMLQuantizationType.F32:
            sys.exit(f"{file}: {name}: {found[name].tensor_type.name}, expected F32")
    print(f"{file}: {len(expected)} tensors are those of {folder}")


def goldens() -> None:
    fixtures = ROOT / "tests/fixtures"
    GOLDENS.mkdir(parents=True, exist_ok=True)
    write(fixtures / "glm4_moe_mtp", GOLDENS / "glm4_moe_mtp.gguf")
    write(fixtures / "glm4_moe_lite_flash", GOLDENS / "glm4_moe_lite_flash.gguf", fused=True)
    write(fixtures / "glm_bias", GOLDENS / "glm_bias.gguf", old=True)
    write(fixtures / "llama_bias", GOLDENS / "llama_bias.gguf")
    write(fixtures / "llama_rope_llama3", GOLDENS / "llama_rope_llama3.gguf")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("write", "check"):
        command = commands.add_parser(name)
        command.add_argument("folder", type=Path)
        command.add_argument("file", type=Path)
        if name == "write":
            command.add_argument("--fused", action="store_true")
            command.add_argument("--old", action="store_true")
    commands.add_parser("list").add_argument("file", type=Path)
    commands.add_parser("goldens")
    args = parser.parse_args()
    if args.command == "write":
        write(args.folder, args.file, args.fused, args.old)
    elif args.command == "check":
        check(args.folder, args.file)
    elif args.command == "list":
        reader = gguf.GGUFReader(args.file)
        for key, field in reader.fields.items():
            print(key, str(field.contents())[:100])
        for tensor in reader.tensors:
            print(tensor.name, tensor.shape.tolist(), tensor.tensor_type.name)
    else:
        goldens()


if __name__ == "__main__":
    main()
