"""Measure greedy accuracy on held-out prompts, and write the committed evaluation set with reference ids."""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from pathlib import Path

import torch
from transformers import AutoTokenizer, Glm4MoeLiteForCausalLM, PreTrainedTokenizerBase

import chat
import mix
from conversation import Json

CELLS = [(skill, lang) for skill in mix.SKILLS for lang in ("en", "zh") if lang == "en" or skill in mix.CHINESE]
MAX_NEW = 400


def cases(seed: int, each: int) -> list[Json]:
    """`each` held-out prompts for every skill, language and thinking mode."""
    out = []
    for stream, (skill, lang) in enumerate(CELLS):
        r = mix.rng(seed, stream)
        seen: set[str] = set()
        for thinking in (True, False):
            count = 0
            while count < each:
                conversation = mix.compose(r, skill, lang)
                last = conversation.exchanges[-1]
                if last.skill != skill or last.lang != lang:
                    continue
                if lang == "zh" and last.user.isascii():  # "17+25 = ?" does not tell the language of the answer
                    continue
                at = r.randrange(len(last.steps))
                inputs: Json = {"messages": chat.messages(conversation, at, thinking)}
                if conversation.tools:
                    inputs["tools"] = conversation.tools
                inputs |= {"enable_thinking": thinking, "add_generation_prompt": True}
                key = json.dumps(inputs)
                if key in seen:
                    continue
                seen.add(key)
                out.append({"skill": skill, "lang": lang, "inputs": inputs, "check": last.steps[at].check})
                count += 1
    return out


def encode(tokenizer: PreTrainedTokenizerBase, case: Json) -> list[int]:
    """Prompt ids through the model's own chat template."""
    text = tokenizer.apply_chat_template(
        case["inputs"]["messages"],
        tools=case["inputs"].get("tools"),
        tokenize=False,
        add_generation_prompt=True,
        enable_thinking=case["inputs"]["enable_thinking"],
    )
    return tokenizer.encode(text, add_special_tokens=False)


@torch.inference_mode()
def generate(
    model: Glm4MoeLiteForCausalLM, prompts: list[list[int]], batch: int, max_new: int = MAX_NEW
) -> list[list[int]]:
    """Greedy continuations up to and including the EOS token."""
    eos, pad = model.config.eos_token_id, model.config.pad_token_id
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    out: list[list[int]] = [[] for _ in prompts]
    for start in range(0, len(order), batch):
        chosen = order[start : start + batch]
        width = max(len(prompts[i]) for i in chosen)
        ids = torch.full((len(chosen), width), pad)
        mask = torch.zeros_like(ids)
        for row, i in enumerate(chosen):
            ids[row, width - len(prompts[i]) :] = torch.tensor(prompts[i])
            mask[row, width - len(prompts[i]) :] = 1
        new = model.generate(
            ids.to(model.device),
            attention_mask=mask.to(model.device),
            max_new_tokens=max_new,
            do_sample=False,
            temperature=None,
            top_p=None,
            eos_token_id=eos,
            pad_token_id=pad,
        )
        for row, i in enumerate(chosen):
            tokens = new[row, width:].tolist()
            stop = next((k for k, t in enumerate(tokens) if t in eos), len(tokens) - 1)
            out[i] = tokens[: stop + 1]
    return out


def judge(tokenizer: PreTrainedTokenizerBase, case: Json, ids: list[int], eos: list[int]) -> bool:
    """Whether generated ids end properly and pass the check."""
    if not ids or ids[-1] not in eos:
        return False
    text = tokenizer.decode(ids[:-1], skip_special_tokens=False, clean_up_tokenization_spaces=False)
    return chat.accepts(case["check"], text, case["inputs"]["enable_thinking"], case["inputs"].get("tools"))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--each", type=int, default=200, help="prompts for every skill, language and thinking mode")
    parser.add_argument("--seed", type=int, default=1, help="odd seeds are held out of training")
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--max-new", type=int, default=MAX_NEW)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--failures", type=Path, help="write the failed prompts here")
    parser.add_argument("--write", type=Path, help="write prompts, checks and reference ids as JSON lines")
    parser.add_argument("--report", type=Path, help="write the accuracies as JSON")
    args = parser.parse_args()
    began = time.time()
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = (
        Glm4MoeLiteForCausalLM.from_pretrained(
            args.model, dtype=getattr(torch, args.dtype), experts_implementation="eager"
        )
        .to(args.device)
        .eval()
    )
    eos = model.config.eos_token_id
    items = cases(args.seed, args.each)
    prompts = [encode(tokenizer, c) for c in items]
    outputs = generate(model, prompts, args.batch, args.max_new)
    table: dict[tuple[str, str, bool], list[bool]] = defaultdict(list)
    failures = []
    for case, prompt, ids in zip(items, prompts, outputs):
        good = judge(tokenizer, case, ids, eos)
        table[case["skill"], case["lang"], case["inputs"]["enable_thinking"]].append(good)
        if not good:
            failures.append(
                {
                    "skill": case["skill"],
                    "check": case["check"],
                    "prompt": tokenizer.decode(prompt)[-700:],
                    "thinking": case["inputs"]["enable_thinking"],
                    "output": tokenizer.decode(ids),
                }
            )
    rows = [
        {"skill": s, "lang": g, "thinking": t, "prompts": len(v), "accuracy": round(sum(v) / len(v), 4)}
        for (s, g, t), v in table.items()
    ]
    for row in rows:
        print(
            f"{row['skill']:<11} {row['lang']} thinking {'on ' if row['thinking'] else 'off'} "
            f"{100 * row['accuracy']:6.2f} % of {row['prompts']}"
        )
    print(
        f"all: {100 * (1 - len(failures) / len(items)):.2f} % of {len(items)}, "
        f"{sum(len(o) for o in outputs) / len(outputs):.0f} tokens an answer, {time.time() - began:.0f} s"
    )
    if args.report:
        args.report.write_text(json.dumps(rows, indent=1) + "\n")
    if args.failures:
        args.failures.write_text("".join(json.dumps(f, ensure_ascii=False) + "\n" for f in failures))
    if args.write:
        with open(args.write, "w") as file:
            for case, prompt, ids in zip(items, prompts, outputs):
                file.write(json.dumps(case | {"prompt_ids": prompt, "reference_ids": ids}, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
