#!/usr/bin/env python3
"""Lets lm-eval (EleutherAI's lm-evaluation-harness) score the demo model behind `glimmer serve`.

    pip install "lm_eval[api]" transformers
    python tools/check_lm_eval.py [--glimmer build/release/glimmer]

lm-eval's own model `local-completions` asks /v1/completions for the log-likelihoods of continuations (echo, logprobs,
prompts as token ids) and for texts. What it makes of the answers must be what `glimmer logits` says of the same ids, and
what the demo model has learnt: that 17 + 25 is 42 rather than 43. Development only.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from pathlib import Path

from lm_eval.api.instance import Instance
from lm_eval.models.openai_completions import LocalCompletionsAPI

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "serve"))
from support.server import Server  # noqa: E402

DEMO = ROOT / "models" / "demo"
ASKED = "[gMASK]<sop><|user|>What is {}?<|assistant|></think>"
SUMS = [("17 + 25", "17 + 25 = 42."), ("17 + 25", "17 + 25 = 43."), ("30 + 4", "30 + 4 = 34."), ("30 + 4", "30 + 4 = 35.")]
TOLERANCE = 0.02  # the server computes in fast precision, `logits` in exact


def instances(kind: str, arguments: list[tuple]) -> list[Instance]:
    return [Instance(request_type=kind, doc={}, arguments=one, idx=i) for i, one in enumerate(arguments)]


def reference(glimmer: Path, context: list[int], continuation: list[int]) -> tuple[float, bool]:
    """The log-likelihood of the continuation and whether it is greedy, from the logits of the whole."""
    ids = context + continuation
    run = subprocess.run([glimmer, "logits", "-m", DEMO, "--ids", ",".join(map(str, ids))],
                         capture_output=True, check=True, text=True)
    total, greedy = 0.0, True
    for at, row in enumerate(json.loads(run.stdout)["logits"]):
        if not len(context) - 1 <= at < len(ids) - 1:
            continue
        most = max(row)
        total += row[ids[at + 1]] - most - math.log(sum(math.exp(value - most) for value in row))
        greedy = greedy and row[ids[at + 1]] == most
    return total, greedy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--glimmer", type=Path, default=ROOT / "build/release/glimmer")
    options = parser.parse_args()
    with Server(str(options.glimmer), "-m", str(DEMO), "-q", command=["serve"]) as server:
        model = LocalCompletionsAPI(base_url=f"{server.url}/v1/completions", model="demo", tokenizer=str(DEMO),
                                    tokenizer_backend="huggingface", max_length=2048, num_concurrent=1, batch_size=2)
        pairs = [(ASKED.format(question), answer) for question, answer in SUMS]
        found = model.loglikelihood(instances("loglikelihood", pairs), disable_tqdm=True)
        for (context, continuation), (value, greedy) in zip(pairs, found):
            whole = model.tok_encode(context + continuation)
            count = len(model.tok_encode(context))
            expected, expected_greedy = reference(options.glimmer, whole[:count], whole[count:])
            print(f"{continuation!r}: {value:.4f} (logits: {expected:.4f}), greedy: {greedy}")
            if abs(value - expected) > TOLERANCE or greedy != expected_greedy:
                sys.exit("lm-eval and `glimmer logits` do not agree")
        for right, wrong in ((0, 1), (2, 3)):
            if not found[right][0] > found[wrong][0]:
                sys.exit(f"{SUMS[wrong][1]!r} is likelier than {SUMS[right][1]!r}")
        rolling = model.loglikelihood_rolling(instances("loglikelihood_rolling", [(pairs[0][0] + pairs[0][1],)]),
                                              disable_tqdm=True)
        print(f"rolling: {rolling[0]:.4f}")
        texts = model.generate_until(instances("generate_until", [(pairs[0][0], {"until": ["."], "max_gen_toks": 20})]),
                                     disable_tqdm=True)
        print(f"generated: {texts[0]!r}")
        if texts[0] != "17 + 25 = 42":
            sys.exit("the generated text is another")
    print("lm-eval and the server agree")


if __name__ == "__main__":
    main()
