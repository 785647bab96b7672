#!/usr/bin/env python3
"""Holds `glimmer convert --format mlx` to mlx itself.

    pip install mlx[cpu]
    tools/check_mlx.py build/release/glimmer models/demo [FOLDER...]

For each folder of Hugging Face's (bfloat16) and each width: mlx opens what Glimmer wrote; codes, scales and biases are
those of mx.quantize on the same matrices; config.json tells mlx how to expand every module; and what Glimmer reads back
from the MLX folder is what mx.dequantize gives in float32.
"""

import json
import pathlib
import re
import subprocess
import sys
import tempfile

import mlx.core as mx


def load(folder):
    tensors = {}
    for path in sorted(pathlib.Path(folder).glob("*.safetensors")):
        tensors |= mx.load(str(path))
    return tensors


def mlx_layout(tensors, config):
    """Names and shapes as mlx-lm's model files make them of a Hugging Face checkpoint."""
    out, stacks = {}, {}
    for name, tensor in tensors.items():
        if tensor.size == 0:
            continue
        if match := re.fullmatch(r"(.*\.mlp)\.experts\.(\d+)\.(\w+_proj\.weight)", name):
            stacks.setdefault(f"{match[1]}.switch_mlp.{match[3]}", {})[int(match[2])] = tensor
        elif name.endswith(".kv_b_proj.weight"):
            nope = config["qk_nope_head_dim"]
            split = tensor.reshape(config["num_attention_heads"], -1, tensor.shape[-1])
            prefix = name.removesuffix("kv_b_proj.weight")
            out[f"{prefix}embed_q.weight"] = mx.contiguous(split[:, :nope].swapaxes(1, 2))
            out[f"{prefix}unembed_out.weight"] = mx.contiguous(split[:, nope:])
        else:
            out[name] = tensor
    return out | {name: mx.stack([stack[e] for e in range(len(stack))]) for name, stack in stacks.items()}


def same(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and bool(mx.array_equal(a, b))


def check(glimmer, source, kind, recipe):
    with tempfile.TemporaryDirectory() as scratch:
        run = lambda *words: subprocess.run([glimmer, "convert", *map(str, words)], check=True, capture_output=True)
        folder, back = pathlib.Path(scratch, "mlx"), pathlib.Path(scratch, "back")
        run(source, folder, "--format", "mlx", "--type", kind, "--recipe", recipe, "--verify")
        run(folder, back, "--format", "hf", "--type", "f32")
        config = json.loads((folder / "config.json").read_text())
        written = load(folder)
        expected = mlx_layout(load(source), config)
        section = config.get("quantization", {})
        assert config.get("quantization_config", {}) == section
        plain, quantised = {}, 0
        for name, tensor in expected.items():
            module = name.removesuffix(".weight")
            if f"{module}.scales" not in written:
                assert kind == "bf16" or tensor.ndim == 1 or module.endswith(".mlp.gate") or section[module] is False, name
                assert same(written[name].astype(tensor.dtype), tensor), name
                plain[name] = written[name].astype(mx.float32)
                continue
            how = section.get(module, section)
            group, bits = how["group_size"], how["bits"]
            parts = [written[f"{module}.{part}"] for part in ("weight", "scales", "biases")]
            for found, wanted in zip(parts, mx.quantize(tensor, group_size=group, bits=bits)):
                assert same(found, wanted), f"{name}: not what mx.quantize gives"
            codes, scales, biases = parts
            plain[name] = mx.dequantize(
                codes, scales.astype(mx.float32), biases.astype(mx.float32), group_size=group, bits=bits
            )
            quantised += 1
        missing = set(written) - {n for m in expected for n in [m, *(m.removesuffix("weight") + p for p in ("scales", "biases"))]}
        assert not missing, missing
        read_back = mlx_layout(load(back), config)
        assert set(read_back) == set(plain)
        for name, tensor in plain.items():
            assert same(read_back[name].astype(mx.float32), tensor), f"{name}: not what mx.dequantize gives"
        print(f"{source.name:28} {kind:5} {recipe:9} {quantised:4} quantised modules of {len(plain)} tensors, all equal")


def main():
    glimmer, *sources = sys.argv[1:]
    for source in sources:
        for kind in ("mlx2", "mlx3", "mlx4", "mlx5", "mlx6", "mlx8", "bf16"):
            for recipe in ("uniform", "balanced"):
                check(glimmer, pathlib.Path(source), kind, recipe)


if __name__ == "__main__":
    main()
