#!/usr/bin/env python3
"""Compares `glimmer eval perplexity` on a GGUF file with transformers on the same file, text, ids and windows.

    python tools/check_perplexity.py MODEL.gguf [--text FILE] [--ctx 512] [--windows N] [--glimmer build/release/glimmer]

transformers reads the file itself (gguf_file=, every weight widened to float32) and makes the ids by its own reading of
the file's tokenizer, so tokenizer, weights, forward pass and arithmetic of perplexity are all compared. That reading
leaves out `tokenizer.ggml.pre`; for smollm the tool adds what SmolLM2's published tokenizer.json has, Digits before
ByteLevel. Windows and the scored half as in src/engine/evaluate.h. Then both answer a chat prompt greedily, by the file's chat template, with
their own rendering. Exits with 1 if ids differ or perplexity differs by more than 0.5 %.
The default text is Debian's /usr/share/common-licenses/GPL-3: English prose that every Debian has.
Development only: needs torch, transformers and gguf.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
import transformers
from tokenizers import pre_tokenizers

BOUND = 0.005
PROMPTS = ("What is the capital of France?", "Write one sentence about the sea.", "Name three colours.")


def glimmer(binary: Path, arguments: list[str], text: str = "") -> str:
    run = subprocess.run([binary, *arguments], input=text.encode(), capture_output=True, check=False)
    if run.returncode != 0:
        sys.exit(f"{' '.join(map(str, run.args))}: {run.stderr.decode()}")
    return run.stdout.decode()


def read_tokenizer(folder: Path, name: str) -> Any:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=name)
    field = gguf.GGUFReader(folder / name).fields["tokenizer.ggml.pre"]
    if field.contents() == "smollm":
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
    return tokenizer


@torch.inference_mode()
def nll_of(model: Any, ids: list[int], context: int, windows: int | None) -> np.ndarray:
    """-ln p of each scored token: the second half of each window, as llama.cpp's perplexity tool."""
    out: list[float] = []
    starts = range(0, len(ids) - context + 1, context)
    for number, start in enumerate(starts[:windows]):
        window = ids[start : start + context]
        logits = model(torch.tensor([window])).logits[0].double()
        log_p = torch.log_softmax(logits, dim=-1)
        out += [-log_p[at - 1, window[at]].item() for at in range(context // 2 + 1, context)]
        print(f"window {number + 1} of {len(starts[:windows])}: {np.exp(np.mean(out)):.4f}", file=sys.stderr)
    return np.array(out)


@torch.inference_mode()
def answer(model: Any, tokenizer: Any, prompt: str, new_tokens: int) -> str:
    inputs = tokenizer.apply_chat_template(
        [{"role": "user", "content": prompt}], add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    out = model.generate(**inputs, max_new_tokens=new_tokens, do_sample=False)
    return tokenizer.decode(out[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--text", type=Path, default=Path("/usr/share/common-licenses/GPL-3"))
    parser.add_argument("--ctx", type=int, default=512)
    parser.add_argument("--windows", type=int)
    parser.add_argument("--new-tokens", type=int, default=40)
    parser.add_argument("--glimmer", type=Path, default=Path("build/release/glimmer"))
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    os.environ["TQDM_DISABLE"] = "1"
    text = args.text.read_text(encoding="utf-8")
    print(f"model {args.model.name}; text {args.text}, sha256 {hashlib.sha256(text.encode()).hexdigest()[:16]}")

    folder, name = args.model.parent, args.model.name
    tokenizer = read_tokenizer(folder, name)
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    ours = json.loads("[" + glimmer(args.glimmer, ["tokenize", "-m", str(args.model)], text) + "]")
    same_ids = ids == ours
    print(f"ids: {len(ids)}, {'equal' if same_ids else 'DIFFERENT'}")

    command = ["eval", "perplexity", "-m", str(args.model), "-f", str(args.text), "--ctx", str(args.ctx), "--json", "-q"]
    if args.windows:
        command += ["--windows", str(args.windows)]
    found = json.loads(glimmer(args.glimmer, command))
    if found["head"]:
        sys.exit(f"windows have the head {found['head']}: this tool compares models without one")
    print(f"glimmer       {found['perplexity']['value']:.6f} ± {found['perplexity']['error']:.6f}"
          f"  ({found['seconds']:.1f} s, {found['scored_tokens']} tokens scored)")  # fmt: skip

    start = time.time()
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32).eval()
    nll = nll_of(model, ids, args.ctx, args.windows)
    expected = float(np.exp(nll.mean()))
    print(f"transformers  {expected:.6f} ± {expected * nll.std(ddof=1) / np.sqrt(len(nll)):.6f}"
          f"  ({time.time() - start:.1f} s, {len(nll)} tokens scored)")  # fmt: skip
    relative = found["perplexity"]["value"] / expected - 1
    print(f"glimmer / transformers - 1 = {relative:+.2e}, bound {BOUND}")

    for prompt in PROMPTS:
        run = ["run", "-m", str(args.model), "--greedy", "-q", "-n", str(args.new_tokens), prompt]
        mine = glimmer(args.glimmer, run).strip()
        theirs = answer(model, tokenizer, prompt, args.new_tokens).strip()
        print(f"> {prompt}\n{mine}\n{'(transformers: the same)' if mine == theirs else 'transformers: ' + theirs}")
    sys.exit(0 if same_ids and found["scored_tokens"] == len(nll) and abs(relative) <= BOUND else 1)


if __name__ == "__main__":
    main()
