"""Train the demo model: worker processes generate packed rows, the GPU trains on them for a given time."""

from __future__ import annotations

import argparse
import json
import queue
import shutil
import threading
import time
from pathlib import Path
from typing import Callable

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor
from transformers import Glm4MoeLiteForCausalLM

import chat
import model as demo
import optim
import pack

PROMPT_WEIGHT = 0.1


class Loader:
    """Feeds shards as they appear; when the workers are behind, an earlier shard is used again."""

    def __init__(self, folder: Path, rows: int, device: torch.device) -> None:
        self.folder, self.rows, self.device = folder, rows, device
        self.kept: list[np.ndarray] = []
        self.fresh = self.reused = 0
        self.ready: queue.Queue[Tensor] = queue.Queue(maxsize=24)
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        rng = np.random.default_rng(0)
        seen = 0
        while True:
            for path in sorted(self.folder.glob("shard-*.npy")):
                self._put(np.load(path))
                path.unlink()
                seen += 1
                self.fresh += 1
            if len(self.kept) < 4 or self.ready.qsize() > 4:
                time.sleep(0.05)
            else:
                self._put(self.kept[rng.integers(len(self.kept))], keep=False)
                self.reused += 1

    def _put(self, shard: np.ndarray, keep: bool = True) -> None:
        if keep and len(self.kept) < 3000:
            self.kept.append(shard)
        for i in range(0, shard.shape[1], self.rows):
            batch = torch.from_numpy(shard[:, i : i + self.rows].astype(np.int32))
            self.ready.put(batch.pin_memory() if self.device.type == "cuda" else batch)

    def next(self) -> Tensor:
        """Rows [3, rows, length] on the device."""
        return self.ready.get().to(self.device, non_blocking=True)


def _attention(docs: Tensor) -> demo.Attention:
    """Causal attention within each conversation of a row."""
    length = docs.shape[1]
    allowed = (docs[:, :, None] == docs[:, None, :]) & torch.ones(
        length, length, dtype=torch.bool, device=docs.device
    ).tril()
    return lambda q, k, v: F.scaled_dot_product_attention(q, k, v, attn_mask=allowed[:, None])


def loss_function(
    model: Glm4MoeLiteForCausalLM, cos: Tensor, sin: Tensor
) -> Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]:
    """A function from rows to the weighted loss, the loss of assistant tokens, and the experts' loads."""

    def run(rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        ids, flags, docs = rows.unbind(0)
        docs = torch.where(docs == 0, 60000, docs)
        logits, loads = demo.fast_forward(model, ids, cos, sin, _attention(docs))
        known = (docs[:, 1:] == docs[:, :-1]) & (docs[:, 1:] < 60000)
        each = F.cross_entropy(logits[:, :-1].float().flatten(0, 1), ids[:, 1:].flatten().long(), reduction="none")
        told = (known & (flags[:, 1:] > 0)).flatten().float()
        weight = known.flatten().float() * PROMPT_WEIGHT + told * (1 - PROMPT_WEIGHT)
        return (each * weight).sum() / weight.sum(), (each * told).sum() / told.sum(), loads

    return run


def _plot(log: list[dict[str, float]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 3.4), dpi=90)
    axes.plot([e["tokens"] / 1e6 for e in log], [e["answer_loss"] for e in log], label="assistant tokens", linewidth=1)
    axes.set_yscale("log")
    axes.set_xlabel("million tokens")
    axes.set_ylabel("loss (nats)")
    axes.grid(True, which="both", alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokenizer", type=Path, required=True, help="folder with tokenizer.json and its companions")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--shards", type=Path, default=Path("/tmp/glimmer-demo-shards"))
    parser.add_argument("--minutes", type=float, default=16, help="training time after compilation")
    parser.add_argument("--rows", type=int, default=32, help="rows of a micro-step")
    parser.add_argument("--length", type=int, default=2048)
    parser.add_argument("--workers", type=int, default=14)
    parser.add_argument("--shard-rows", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rate", type=float, default=4e-3)
    parser.add_argument("--rest-rate", type=float, default=3e-3)
    parser.add_argument("--bias-rate", type=float, default=1e-3)
    parser.add_argument("--adamw", action="store_true", help="AdamW for the matrices, too")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--save-minutes", type=float, default=4)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    torch.set_float32_matmul_precision("high")
    device = torch.device(args.device)
    began = time.time()
    args.out.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(args.shards, ignore_errors=True)
    workers = pack.start(
        args.tokenizer / "tokenizer.json",
        args.shards,
        args.seed * 2,
        args.workers,
        args.length,
        args.shard_rows,
        1_000_000,
    )
    loader = Loader(args.shards, args.rows, device)

    tokenizer = Tokenizer.from_file(str(args.tokenizer / "tokenizer.json"))
    eos = [tokenizer.token_to_id(t) for t in chat.EOS_TOKENS]
    model = Glm4MoeLiteForCausalLM(demo.config(tokenizer.get_vocab_size(), eos)).float().to(device)
    print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters", flush=True)
    matrices, rest = optim.split(model)
    muon = None if args.adamw else optim.Muon(matrices)
    adamw = torch.optim.AdamW(
        [
            {"params": [p for p in rest if p.dim() > 1], "weight_decay": 0.01},
            {"params": [p for p in rest if p.dim() < 2]},
        ]
        + ([{"params": matrices, "weight_decay": 0.05}] if args.adamw else []),
        lr=args.rest_rate,
        betas=(0.9, 0.98),
        weight_decay=0.0,
        fused=device.type == "cuda",
    )
    cos, sin = demo.rope_table(model.config, args.length, device)
    run = loss_function(model, cos, sin)
    if device.type == "cuda":
        run = torch.compile(run, dynamic=False)
    sparse = [layer.mlp.gate for layer in model.model.layers if hasattr(layer.mlp, "experts")]

    log: list[dict[str, float]] = []
    start = saved = shown = 0.0
    tokens = step = 0
    while True:
        now = time.time()
        progress = (now - start) / (args.minutes * 60) if start else 0.0
        if progress >= 1:
            break
        scale = min(1.0, (step + 1) / 100) * (1 - progress)
        micro = 1 if progress < 0.5 else 2
        loss = answer = 0.0
        load: Tensor | float = 0.0
        for _ in range(micro):
            rows = loader.next()
            with torch.autocast(device.type, torch.bfloat16):
                part, told, loads = run(rows)
            (part / micro).backward()
            loss, answer, load = loss + part.detach() / micro, answer + told.detach() / micro, load + loads
            tokens += rows[0].numel()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for i, group in enumerate(adamw.param_groups):
            group["lr"] = args.rest_rate * scale
        adamw.step()
        if muon:
            muon.step(args.rate * scale)
        model.zero_grad(set_to_none=True)
        with torch.no_grad():
            move = args.bias_rate * min(1.0, 5 * (1 - progress)) * (load.mean(1, keepdim=True) - load).sign()
            for gate, change in zip(sparse, move):
                gate.e_score_correction_bias += change
        step += 1
        if step == 3:
            if device.type == "cuda":
                torch.cuda.synchronize()
            start = saved = time.time()
            tokens = 0
            print(f"compiled after {start - began:.0f} s", flush=True)
        if start and (step % 50 == 0 or step < 10) and step > 3:
            spread = (load.max(1).values / load.mean(1)).mean().item()
            entry = {
                "step": step,
                "tokens": tokens,
                "seconds": round(time.time() - start, 1),
                "loss": loss.item(),
                "answer_loss": answer.item(),
                "rate": args.rate * scale,
                "expert_spread": spread,
                "fresh": loader.fresh,
                "reused": loader.reused,
            }
            log.append(entry)
            if time.time() - shown > 5:
                shown = time.time()
                speed = tokens / (time.time() - start) / 1e3
                print(
                    f"{step:6d} {tokens / 1e6:7.1f} Mtok {entry['seconds']:6.0f} s {speed:6.0f} k/s "
                    f"loss {entry['loss']:.4f} answer {entry['answer_loss']:.4f} spread {spread:.2f} "
                    f"shards {loader.fresh}+{loader.reused} queue {loader.ready.qsize()}",
                    flush=True,
                )
        if start and time.time() - saved > args.save_minutes * 60:
            saved = time.time()
            demo.export(model, args.out)
    for process in workers:
        process.terminate()
    demo.export(model, args.out)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copyfile(args.tokenizer / name, args.out / name)
    (args.out / "train_log.jsonl").write_text("".join(json.dumps(e) + "\n" for e in log))
    print(f"done: {step} steps, {tokens / 1e6:.0f} M tokens, {time.time() - began:.0f} s in all", flush=True)
    if log:
        _plot(log, args.out / "loss.png")


if __name__ == "__main__":
    main()
