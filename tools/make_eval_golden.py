#!/usr/bin/env python3
"""Writes tests/engine/evaluate_golden.json: perplexity and KL divergence of fixtures as transformers' logits give them.

Independent of src/engine/evaluate.cc: logits of transformers in float32, one window at a time, everything else in numpy
float64. Development only: python tools/make_eval_golden.py
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM

ROOT = Path(__file__).resolve().parent.parent
FIXTURES = ROOT / "tests" / "fixtures"
VOCAB = 72
MODELS = ("glm4_moe_base", "glm4_moe_lite_base", "glm4_no_bias")
# context, head, scored, windows (null: all) of one text
CASES: tuple[dict[str, Any], ...] = (
    dict(context=32, head=[], scored="second_half", max_windows=None),
    dict(context=32, head=[], scored="all", max_windows=None),
    dict(context=33, head=[65, 67], scored="second_half", max_windows=None),
    dict(context=33, head=[65, 67], scored="all", max_windows=2),
    dict(context=200, head=[65], scored="second_half", max_windows=None),  # longer than the text: one short window
)


def windows(text: list[int], case: dict[str, Any]) -> list[list[int]]:
    stream = case["head"] + text
    size = min(case["context"], len(stream))
    cut = [stream[i : i + size] for i in range(0, len(stream) - size + 1, size)]
    cut = cut[: case["max_windows"]]
    return [case["head"] + window[len(case["head"]) :] for window in cut]


def targets(size: int, case: dict[str, Any]) -> range:
    """Places of the scored tokens in a window: those that are predicted from its second half, or all but the first."""
    first = 1 if case["scored"] == "all" else size // 2 + 1
    return range(max(first, len(case["head"])), size)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


@torch.inference_mode()
def predictions(model: Any, text: list[int], case: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """ln p [scored tokens, vocab] and the tokens that came."""
    rows, came = [], []
    for window in windows(text, case):
        logits = model(torch.tensor([window])).logits[0].double().numpy()
        for at in targets(len(window), case):
            rows.append(logits[at - 1])
            came.append(window[at])
    return log_softmax(np.stack(rows)), np.array(came)


def estimate(values: np.ndarray) -> list[float]:
    return [float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))]


def perplexity(nll: np.ndarray) -> dict[str, Any]:
    mean, error = estimate(nll)
    return {"tokens": len(nll), "nll": [mean, error], "perplexity": [float(np.exp(mean)), float(np.exp(mean) * error)]}


def divergence(base: np.ndarray, other: np.ndarray, came: np.ndarray) -> dict[str, Any]:
    rows = np.arange(len(came))
    kld = (np.exp(base) * (base - other)).sum(axis=1)
    delta = np.exp(other[rows, came]) - np.exp(base[rows, came])
    square, square_error = estimate(delta**2)
    p1, median, p90, p99 = np.percentile(kld, [1, 50, 90, 99])
    return {
        "log_ratio": estimate(base[rows, came] - other[rows, came]),
        "kld": estimate(kld),
        "kld_min": float(kld.min()),
        "kld_p1": float(p1),
        "kld_median": float(median),
        "kld_p90": float(p90),
        "kld_p99": float(p99),
        "kld_max": float(kld.max()),
        "same_top": estimate((base.argmax(axis=1) == other.argmax(axis=1)).astype(float)),
        "delta_p": estimate(delta),
        "rms_delta_p": [float(np.sqrt(square)), float(square_error / (2 * np.sqrt(square)))],
    }


def main() -> None:
    text = np.random.default_rng(11).integers(0, VOCAB, 150).tolist()
    models = {
        name: AutoModelForCausalLM.from_pretrained(FIXTURES / name, dtype=torch.float32, attn_implementation="eager")
        for name in MODELS
    }
    cases = []
    for case in CASES:
        found = {name: predictions(model, text, case) for name, model in models.items()}
        came = found[MODELS[0]][1]
        rows = np.arange(len(came))
        cases.append(
            case
            | {
                "perplexity": {name: perplexity(-log_p[rows, came]) for name, (log_p, _) in found.items()},
                "kld": {
                    f"{a} {b}": divergence(found[a][0], found[b][0], came) for a in MODELS for b in MODELS if a != b
                },
            }
        )
    out = ROOT / "tests" / "engine" / "evaluate_golden.json"
    command = f"python {os.path.relpath(__file__, ROOT)}"
    out.write_text(json.dumps({"command": command, "text": text, "cases": cases}) + "\n")


if __name__ == "__main__":
    main()
