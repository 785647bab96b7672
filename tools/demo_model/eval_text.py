"""Write models/demo/eval/text.txt: held-out conversations as the demo model saw them in training, one after the other.

The text that `glimmer eval` measures conversions of the demo model on. Special tokens are spelt out; a conversation
ends with <|user|> and the next begins with [gMASK]<sop>.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import chat
import mix


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=7, help="odd seeds are held out of training")
    parser.add_argument("--bytes", type=int, default=64_000, help="as many whole conversations as fit")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    r = mix.rng(args.seed, 0)
    text = ""
    while True:
        conversation, thinking = mix.training_conversation(r)
        more = "".join(piece for piece, _ in chat.segments(conversation, thinking))
        if len((text + more).encode()) > args.bytes:
            break
        text += more
    args.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
