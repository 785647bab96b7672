"""Train the byte-level BPE tokenizer and write tokenizer.json, tokenizer_config.json and chat_template.jinja."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Iterator

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

import chat
import mix

VOCAB_SIZE = 4096
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CHAT_TEMPLATE = Path(__file__).with_name("chat_template.jinja")


def _corpus(seed: int, count: int) -> Iterator[str]:
    r = mix.rng(seed, 0)
    for _ in range(count):
        conversation, mode = mix.training_conversation(r)
        for text, _ in chat.segments(conversation, mode):
            yield text


def train(seed: int, count: int) -> Tokenizer:
    """A tokenizer of VOCAB_SIZE entries, the added tokens at its end in GLM's order."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), behavior="isolated", invert=False),
            pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=False),
        ]
    )
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.decoder = decoders.ByteLevel()
    added = chat.SPECIAL_TOKENS + chat.PLAIN_ADDED_TOKENS
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE - len(added),
        min_frequency=2,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=24,
    )
    marks = sorted(added, key=len, reverse=True)

    def pieces() -> Iterator[str]:
        for text in _corpus(seed, count):
            for mark in marks:
                text = text.replace(mark, "\n")
            yield text

    tokenizer.train_from_iterator(pieces(), trainer)
    if tokenizer.get_vocab_size() != VOCAB_SIZE - len(added):
        raise SystemExit(f"only {tokenizer.get_vocab_size()} base tokens were learnt")
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in chat.SPECIAL_TOKENS])
    tokenizer.add_tokens([AddedToken(t, special=False, normalized=False) for t in chat.PLAIN_ADDED_TOKENS])
    return tokenizer


def save(tokenizer: Tokenizer, out: Path, max_length: int) -> None:
    """Write the tokenizer files as transformers 5 lays them out."""
    out.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(out / "tokenizer.json"))
    config = {
        "backend": "tokenizers",
        "clean_up_tokenization_spaces": False,
        "do_lower_case": False,
        "eos_token": "<|endoftext|>",
        "extra_special_tokens": chat.SPECIAL_TOKENS,
        "is_local": True,
        "model_max_length": max_length,
        "pad_token": "<|endoftext|>",
        "padding_side": "left",
        "remove_space": False,
        "tokenizer_class": "TokenizersBackend",
    }
    (out / "tokenizer_config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n")
    shutil.copyfile(CHAT_TEMPLATE, out / "chat_template.jinja")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--conversations", type=int, default=40000)
    parser.add_argument("--max-length", type=int, default=2048)
    args = parser.parse_args()
    save(train(args.seed, args.conversations), args.out, args.max_length)


if __name__ == "__main__":
    main()
