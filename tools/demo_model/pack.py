"""Pack rendered conversations into rows of tokens, written by worker processes while the training runs.

A shard is an uint16 array [3, rows, length]: token ids, loss flags, conversation numbers within the row (0 is padding).
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

import chat
import mix

PENDING = 96
BATCH = 64


class Packer:
    """Best-fit packing of whole conversations into rows of fixed length."""

    def __init__(self, tokenizer: Tokenizer, seed: int, stream: int, length: int) -> None:
        self.tokenizer = tokenizer
        self.rng = mix.rng(seed, stream)
        self.length = length
        self.pending: list[tuple[np.ndarray, np.ndarray]] = []

    def _fill(self) -> None:
        texts: list[str] = []
        spans: list[list[bool]] = []
        for _ in range(BATCH):
            conversation, mode = mix.training_conversation(self.rng)
            pieces = chat.segments(conversation, mode)
            texts += [t for t, _ in pieces]
            spans.append([f for _, f in pieces])
        encoded = self.tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        i = 0
        for flags in spans:
            ids: list[int] = []
            loss: list[int] = []
            for flag in flags:
                piece = encoded[i].ids
                ids += piece
                loss += [int(flag)] * len(piece)
                i += 1
            if len(ids) <= self.length:
                self.pending.append((np.array(ids, np.uint16), np.array(loss, np.uint16)))
        self.pending.sort(key=lambda d: len(d[0]))

    def row(self) -> np.ndarray:
        """One packed row [3, length]."""
        out = np.zeros((3, self.length), np.uint16)
        at, number = 0, 1
        while True:
            if len(self.pending) < PENDING:
                self._fill()
            room = self.length - at
            if number == 1:
                k = self.rng.randrange(len(self.pending))
            else:
                k = len(self.pending) - 1 - self.rng.randrange(24)
                while k >= 0 and len(self.pending[k][0]) > room:
                    k -= 1
                if k < 0:
                    return out
            ids, loss = self.pending.pop(k)
            out[0, at : at + len(ids)], out[1, at : at + len(ids)], out[2, at : at + len(ids)] = ids, loss, number
            at, number = at + len(ids), number + 1


def _work(tokenizer: str, out: str, seed: int, stream: int, length: int, rows: int, limit: int) -> None:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    packer = Packer(Tokenizer.from_file(tokenizer), seed, stream, length)
    for number in range(limit):
        shard = np.stack([packer.row() for _ in range(rows)], axis=1)
        path = Path(out) / f"shard-{number:05d}-{stream:03d}.npy"
        with open(path.with_suffix(".tmp"), "wb") as file:
            np.save(file, shard)
        path.with_suffix(".tmp").rename(path)
        while len(os.listdir(out)) > 600:
            time.sleep(1)


def start(
    tokenizer: Path, out: Path, seed: int, workers: int, length: int, rows: int, limit: int
) -> list[multiprocessing.Process]:
    """Start the worker processes; each writes `limit` shards of `rows` rows."""
    out.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    processes = []
    for k in range(workers):
        args = (str(tokenizer), str(out), seed, k + 1, length, rows, limit)
        processes.append(context.Process(target=_work, args=args, daemon=True))
        processes[-1].start()
    return processes


def main() -> None:
    """Command line: pack shards and show the size of the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--length", type=int, default=2048)
    parser.add_argument("--rows", type=int, default=128)
    parser.add_argument("--shards", type=int, default=4, help="shards for each worker")
    args = parser.parse_args()
    began = time.time()
    for process in start(args.tokenizer, args.out, args.seed, args.workers, args.length, args.rows, args.shards):
        process.join()
    files = sorted(args.out.glob("shard-*.npy"))
    used = sum(int((np.load(f)[2] > 0).sum()) for f in files)
    loss = sum(int(np.load(f)[1].sum()) for f in files)
    total = len(files) * args.rows * args.length
    print(
        f"{len(files)} shards, {total} tokens, {used / total:.3f} used, {loss / used:.3f} with loss, "
        f"{total / (time.time() - began):.0f} tokens/s"
    )


if __name__ == "__main__":
    main()
