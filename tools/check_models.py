#!/usr/bin/env python3
"""Compares Glimmer with transformers on random models of random configurations: logits, and a greedy continuation.

    python tools/check_models.py [--glimmer build/release/glimmer] [--count 100] [--seed 0] [--families F...] [--keep DIR]

Development only (tools/requirements.txt). Prints a line for each model and exits with 1 if any differs by more than
1e-4 of max |logit| on any backend.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
import transformers

from fixtures.checkpoint import load_float32, write_checkpoint
from fixtures.registry import Variant

TOLERANCE = 1e-4
NEW_TOKENS = 12
FAMILY_CHOICE = ["glm4_moe", "glm4_moe_lite"] * 2 + ["glm4", "glm", "llama", "qwen3", "qwen3_moe", "qwen3_moe"]


def random_rope(rng: random.Random, family: str) -> dict[str, Any]:
    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": rng.choice([100.0, 10000.0, 1e6])}
    if family in ("glm4_moe", "glm4", "glm"):
        rope["partial_rotary_factor"] = rng.choice([0.25, 0.5, 0.5, 1.0])
    kind = rng.choice(["default", "default", "linear", "yarn", "llama3"])
    if kind == "linear" and family != "glm4_moe_lite":
        rope |= {"rope_type": "linear", "factor": rng.choice([2.0, 3.5])}
    elif kind == "llama3":
        low = rng.choice([0.5, 1.0, 2.0])
        rope |= {
            "rope_type": "llama3",
            "factor": rng.choice([2.0, 8.0]),
            "low_freq_factor": low,
            "high_freq_factor": low * rng.choice([1.5, 4.0]),
            "original_max_position_embeddings": rng.choice([32, 200]),
        }
        if rng.random() < 0.3:
            rope["mscale_all_dim"] = 0.7
    elif kind == "yarn":
        rope |= {"rope_type": "yarn", "factor": rng.choice([2.0, 4.0]), "original_max_position_embeddings": 64}
        if rng.random() < 0.5:
            rope |= {"mscale": rng.choice([0.7, 1.0]), "mscale_all_dim": rng.choice([0.7, 1.0])}
        if rng.random() < 0.3:
            rope["attention_factor"] = 1.3
        if rng.random() < 0.3:
            rope |= {"beta_fast": 16.0, "beta_slow": 2.0, "truncate": rng.random() < 0.5}
    return rope


def random_moe(rng: random.Random) -> dict[str, Any]:
    groups = rng.choice([1, 1, 2, 4])
    experts = groups * rng.choice([2, 3, 4, 8])
    kept = rng.randint(1, groups)
    return {
        "n_routed_experts": experts,
        "n_group": groups,
        "topk_group": kept,
        "num_experts_per_tok": rng.randint(1, min(4, kept * experts // groups)),
        "n_shared_experts": rng.choice([0, 1, 1, 2]),
        "moe_intermediate_size": rng.choice([5, 12, 24]),
        "norm_topk_prob": rng.random() < 0.7,
        "routed_scaling_factor": rng.choice([1.0, 1.8, 2.5]),
    }


def random_softmax_moe(rng: random.Random, layers: int) -> dict[str, Any]:
    experts = rng.choice([2, 3, 5, 8, 16])
    return {
        "num_experts": experts,
        "num_experts_per_tok": rng.randint(1, min(4, experts)),
        "moe_intermediate_size": rng.choice([5, 12, 24]),
        "norm_topk_prob": rng.random() < 0.5,
        "decoder_sparse_step": rng.choice([1, 1, 2, 3]),
        "mlp_only_layers": [layer for layer in range(layers) if rng.random() < 0.2],
    }


def random_variant(seed: int, families: list[str]) -> Variant:
    rng = random.Random(seed)
    family = rng.choice(families)
    layers = rng.randint(1, 4)
    heads = rng.choice([2, 4, 6])
    config: dict[str, Any] = {
        "vocab_size": rng.choice([72, 97, 131]),
        "hidden_size": rng.choice([24, 48, 60]),
        "intermediate_size": rng.choice([17, 40]),
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "rms_norm_eps": rng.choice([1e-6, 1e-5, 1e-2]),
        "attention_bias": rng.random() < 0.5,
        "tie_word_embeddings": rng.random() < 0.3,
        "rope_parameters": random_rope(rng, family),
    }
    if family == "glm4_moe_lite":
        config |= {
            "q_lora_rank": rng.choice([None, 12, 30]),
            "kv_lora_rank": rng.choice([8, 20, 40]),
            "qk_nope_head_dim": rng.choice([4, 12, 17]),
            "qk_rope_head_dim": rng.choice([4, 8, 16]),
            "v_head_dim": rng.choice([6, 16]),
            "rope_interleave": rng.random() < 0.7,
            "mlp_layer_types": [rng.choice(["dense", "sparse"]) for _ in range(layers)],
        }
    else:
        config |= {"num_key_value_heads": rng.choice([1, 2, heads]), "head_dim": rng.choice([8, 16, 24])}
    if family == "glm4_moe":
        config |= {"first_k_dense_replace": rng.randint(0, layers), "use_qk_norm": rng.random() < 0.5}
    if family == "qwen3_moe":
        config |= random_softmax_moe(rng, layers)
    elif "moe" in family:
        config |= random_moe(rng)
    if family == "llama":
        config["mlp_bias"] = rng.random() < 0.4
    style = rng.choice(["v4", "v5"])
    if family == "glm4_moe_lite" and style == "v4":  # it cannot spell another choice that transformers 5 would read
        config["mlp_layer_types"] = ["dense"] + ["sparse"] * (layers - 1)
    quant = rng.choice(["none", "none", "none", "fp8_channel"])
    if quant != "none" and config.get("n_shared_experts") == 0:  # a matrix without elements has no scale
        config["n_shared_experts"] = 1
    return Variant(
        f"random_{seed}",
        family,
        "random",
        config,
        dtype=rng.choice([torch.float32, torch.bfloat16, torch.float16]),
        style=style,
        shard_size=rng.choice([None, "30KB"]),
        fused_experts="moe" in family and rng.random() < 0.3,
        mtp="glm4_moe" in family and rng.random() < 0.2,
        quant=quant,
        correction_bias=(rng.choice([0.0, -1.3]), 0.2),
        prompt_tokens=rng.choice([1, 2, 9, 40, 90]),
    )


def glimmer_json(binary: Path, *arguments: str) -> Any:
    done = subprocess.run([binary, *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip())
    return json.loads(done.stdout)


def check(variant: Variant, seed: int, binary: Path, folder: Path, backends: list[str]) -> tuple[float, str]:
    """The largest error of logits as a part of max |logit|, and what else differs."""
    write_checkpoint(variant, seed, folder)
    model = load_float32(folder)
    ids = torch.randint(0, variant.config["vocab_size"], (variant.prompt_tokens,), generator=torch.manual_seed(seed))
    text = ",".join(map(str, ids.tolist()))
    with torch.no_grad():
        expected = model(ids.unsqueeze(0)).logits[0].float()
        tokens = ids.tolist()
        margin = float("inf")
        for _ in range(NEW_TOKENS):
            last = model(torch.tensor([tokens])).logits[0, -1].float()
            best = last.topk(2)
            margin = min(margin, float(best.values[0] - best.values[1]) / float(last.abs().max()))
            tokens.append(int(best.indices[0]))
    worst = 0.0
    for backend in backends:
        for chunk in ([], ["--chunk", "1"], ["--chunk", "7"]):
            out = glimmer_json(binary, "logits", "-q", "-m", str(folder), "--ids", text, "--json", "--backend", backend, *chunk)
            found = torch.tensor(out["logits"])
            worst = max(worst, float((found - expected).abs().max() / expected.abs().max()))
    out = glimmer_json(
        binary, "run", "-q", "-m", str(folder), "--ids", text, "--json", "--ignore-eos", "-n", str(NEW_TOKENS),
        "--temperature", "0",
    )
    same = out["ids"] == tokens[len(ids) :]
    return worst, "" if same else f"greedy ids differ (smallest margin {margin:.1e})" if margin > 1e-4 else ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--glimmer", type=Path, default=Path(__file__).parent.parent / "build/release/glimmer")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--families", nargs="+", default=FAMILY_CHOICE, help="draw from these (default: all)")
    parser.add_argument("--keep", type=Path, help="keep the folders of models that differ here")
    options = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    warnings.filterwarnings("ignore", message="Initializing zero-element tensors")
    failures = 0
    for seed in range(options.seed, options.seed + options.count):
        variant = random_variant(seed, options.families)
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / "model"
            try:
                error, difference = check(variant, seed, options.glimmer, folder, ["ref", "avx2", "avx512"])
            except RuntimeError as refused:
                error, difference = float("inf"), str(refused)
            bad = not error <= TOLERANCE or difference
            failures += bool(bad)
            print(f"{'FAIL' if bad else 'ok  '} {seed:5} {variant.family:14} error {error:.1e} {difference}", flush=True)
            if bad:
                print(f"     {variant}")
                if options.keep:
                    shutil.copytree(folder, options.keep / variant.name, dirs_exist_ok=True)
    print(f"{options.count} models, {failures} differ")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
