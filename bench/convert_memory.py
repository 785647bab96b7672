#!/usr/bin/env python3
"""Converts and runs a checkpoint of 8 GB and holds the peak memory to the promise.

    bench/convert_memory.py build/release/glimmer --dir /somewhere/with/40/GB

Makes a checkpoint of GLM-4.7-Flash's true widths with random bf16 weights (fewer layers, no tokenizer), converts it to
each of --types, and runs what came out, each under `/usr/bin/time -v`. Promised: a conversion takes at most 3 times the
largest tensor and 400 MB; a running model at most 1.15 times its weights' size on disk, its KV cache, and 400 MB.
Exits with 1 where one is broken.
"""

import argparse
import json
import os
import random
import re
import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path

FLASH = {
    "architectures": ["Glm4MoeLiteForCausalLM"], "model_type": "glm4_moe_lite", "dtype": "bfloat16",
    "vocab_size": 154880, "hidden_size": 2048, "intermediate_size": 10240, "num_attention_heads": 20,
    "num_key_value_heads": 20, "q_lora_rank": 768, "kv_lora_rank": 512, "qk_nope_head_dim": 192,
    "qk_rope_head_dim": 64, "v_head_dim": 256, "max_position_embeddings": 202752, "hidden_act": "silu",
    "rms_norm_eps": 1e-5, "rope_theta": 1000000.0, "rope_interleave": True, "partial_rotary_factor": 1.0,
    "attention_bias": False, "tie_word_embeddings": False, "moe_intermediate_size": 1536, "n_routed_experts": 64,
    "num_experts_per_tok": 4, "n_shared_experts": 1, "n_group": 1, "topk_group": 1, "norm_topk_prob": True,
    "routed_scaling_factor": 1.8, "first_k_dense_replace": 1, "eos_token_id": [154820, 154827, 154829],
}
MEGA = 1_000_000


def tensors(config):
    """Name and shape of each, in the order of the file."""
    c = config
    hidden, width = c["hidden_size"], c["moe_intermediate_size"]
    heads = c["num_attention_heads"]
    yield "model.embed_tokens.weight", (c["vocab_size"], hidden)
    for layer in range(c["num_hidden_layers"]):
        p = f"model.layers.{layer}."
        a = p + "self_attn."
        yield p + "input_layernorm.weight", (hidden,)
        yield p + "post_attention_layernorm.weight", (hidden,)
        yield a + "q_a_proj.weight", (c["q_lora_rank"], hidden)
        yield a + "q_a_layernorm.weight", (c["q_lora_rank"],)
        yield a + "q_b_proj.weight", (heads * (c["qk_nope_head_dim"] + c["qk_rope_head_dim"]), c["q_lora_rank"])
        yield a + "kv_a_proj_with_mqa.weight", (c["kv_lora_rank"] + c["qk_rope_head_dim"], hidden)
        yield a + "kv_a_layernorm.weight", (c["kv_lora_rank"],)
        yield a + "kv_b_proj.weight", (heads * (c["qk_nope_head_dim"] + c["v_head_dim"]), c["kv_lora_rank"])
        yield a + "o_proj.weight", (hidden, heads * c["v_head_dim"])
        parts = [("mlp.", c["intermediate_size"])]
        if layer >= c["first_k_dense_replace"]:
            yield p + "mlp.gate.weight", (c["n_routed_experts"], hidden)
            yield p + "mlp.gate.e_score_correction_bias", (c["n_routed_experts"],)
            parts = [(f"mlp.experts.{e}.", width) for e in range(c["n_routed_experts"])]
            parts.append(("mlp.shared_experts.", width * c["n_shared_experts"]))
        for name, size in parts:
            yield p + name + "gate_proj.weight", (size, hidden)
            yield p + name + "up_proj.weight", (size, hidden)
            yield p + name + "down_proj.weight", (hidden, size)
    yield "model.norm.weight", (hidden,)
    yield "lm_head.weight", (c["vocab_size"], hidden)


def random_bf16(count, rng, pool):
    """bf16 values of magnitude 2^-8 to 2^-5 of either sign: a stretch of a pool of random bytes."""
    size = 2 * count
    start = rng.randrange(0, len(pool) // 2) * 2
    data = pool[start:start + size]
    while len(data) < size:
        data += pool[:size - len(data)]
    return data


def write_checkpoint(folder, layers):
    config = dict(FLASH, num_hidden_layers=layers)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    rng = random.Random(1)
    # High bytes of bf16: sign and the upper 7 bits of an exponent of 119 to 122.
    high = bytes((0x3B, 0x3C, 0xBB, 0xBC)[byte & 3] for byte in range(256))
    raw = rng.randbytes(64 * MEGA)
    pool = bytearray(raw)
    pool[1::2] = raw[1::2].translate(high)
    header, at = {}, 0
    sizes = []
    for name, shape in tensors(config):
        is_bias = name.endswith("e_score_correction_bias")
        count = 1
        for extent in shape:
            count *= extent
        size = count * (4 if is_bias else 2)
        header[name] = {"dtype": "F32" if is_bias else "BF16", "shape": list(shape), "data_offsets": [at, at + size]}
        sizes.append((name, count, size))
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(folder / "model.safetensors", "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for name, count, size in sizes:
            if name.endswith("e_score_correction_bias"):
                out.write(bytes(size))
            elif name.endswith("norm.weight"):
                out.write(struct.pack("<H", 0x3F80) * count)
            else:
                out.write(random_bf16(count, rng, pool))
    return max(size for _, _, size in sizes), at


def measured(command):
    """Seconds and peak resident bytes, as `/usr/bin/time -v` says."""
    start = time.monotonic()
    done = subprocess.run(["/usr/bin/time", "-v", *map(str, command)], capture_output=True, text=True)
    seconds = time.monotonic() - start
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: exit status {done.returncode}\n{done.stderr}")
    peak = int(re.search(r"Maximum resident set size \(kbytes\): (\d+)", done.stderr).group(1)) * 1024
    return seconds, peak


def size_of(path):
    if path.is_file():
        return path.stat().st_size
    return sum(entry.stat().st_size for entry in path.rglob("*") if entry.is_file())


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("glimmer", type=Path)
    parser.add_argument("--dir", type=Path, required=True, help="where to write; about 4 times the checkpoint's size")
    parser.add_argument("--layers", type=int, default=7)
    parser.add_argument("--types", default="gguf:q4_k,gguf:q2_k,gguf:q8_0,mlx:mlx4,hf:fp8,dllama:q40,hf:bf16")
    args = parser.parse_args()
    source = args.dir / "source"
    if source.exists():
        sys.exit(f"{source}: is there already")
    largest, total = write_checkpoint(source, args.layers)
    print(f"checkpoint: {total / 1e9:.2f} GB, largest tensor {largest / 1e6:.0f} MB")
    broken = False
    for pair in args.types.split(","):
        form, kind = pair.split(":")
        target = args.dir / (f"{kind}.gguf" if form == "gguf" else f"{kind}.m" if form == "dllama" else f"{form}-{kind}")
        seconds, peak = measured([args.glimmer, "convert", source, target, "--format", form, "--type", kind])
        bound = 3 * largest + 400 * MEGA
        size = size_of(target)
        broken |= peak > bound
        print(f"convert {pair:12} {size / 1e9:5.2f} GB in {seconds:5.1f} s ({total / seconds / 1e6:.0f} MB/s read), "
              f"peak {peak / 1e6:.0f} MB of {bound / 1e6:.0f}{'  BROKEN' if peak > bound else ''}", flush=True)
        seconds, peak = measured([args.glimmer, "run", "-m", target, "--ids", "1,2,3,4", "-n", "2", "--ignore-eos"])
        bound = int(1.15 * size) + 400 * MEGA + MEGA
        broken |= peak > bound
        print(f"run     {pair:12} peak {peak / 1e6:.0f} MB of {bound / 1e6:.0f}: {peak / size:.3f} x the weights on disk "
              f"in {seconds:.1f} s{'  BROKEN' if peak > bound else ''}", flush=True)
        if target.is_dir():
            shutil.rmtree(target)
        else:
            target.unlink()
    shutil.rmtree(source)
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
