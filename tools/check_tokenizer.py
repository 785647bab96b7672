#!/usr/bin/env python3
"""Compares Glimmer's tokenizer with the `tokenizers` package on random strings.

Usage: python tools/check_tokenizer.py TOKENIZER_JSON [--glimmer build/release/glimmer] [--count 100000] [--seed 1]
                                       [--bench build/release/bench/bench_tokenizer]

Development only; needs `pip install tokenizers`. Three comparisons, each through the commands' --jsonl mode:
  encode     random strings (Unicode of all planes, scripts, code, white space, digits, emoji, added tokens) -> ids
  decode     those ids -> text
  any ids    random id lists, ids that no token has among them -> text
With --bench it also measures both on the same text, on one core. Exit status 1 if anything differs.
"""
import argparse
import json
import os
import random
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"
import tokenizers  # noqa: E402  (after the setting above)

SPACES = [" ", "  ", "   ", "\t", "\n", "\n\n", "\r\n", "\r", "\v", "\f", "\x85", "\xa0", "\u1680", "\u2003", "\u2028",
          "\u2029", "\u202f", "\u205f", "\u3000", "        ", "\n    ", " \n", "\t\t"]
NOT_SPACES = ["\x1c", "\x1d", "\x1e", "\x1f", "\u180e", "\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\0", "\x7f",
              "\ufffd", "\ufe0f", "\u200e"]
MARKS = ["\u0301", "\u0308", "\u0323", "\u093f", "\u0e31", "\u064e", "\u20dd", "\u3099", "\u0338"]
EMOJI = ["🙂", "👍🏽", "👨\u200d👩\u200d👧\u200d👦", "🏳️\u200d🌈", "❤️", "🇨🇳", "1️⃣", "🤷🏿\u200d♀️", "☃"]
DIGITS = ["0", "7", "12", "123", "1234", "3.14159", "1e-5", "٣", "٤٥", "½", "²", "Ⅷ", "①", "௧", "０１２", "𝟘𝟙", "1,000,000"]
QUOTES = ["'s", "'S", "'t", "'re", "'RE", "'Ve", "'m", "'ll", "'LL", "'lL", "'d", "'\u017f", "’s", "'", "''", "'l", "'v"]
WORDS = ("the of and hello World GPU tokenizer don't can't it's we'll I'M straße naïve café Ελληνικά русский язык עברית "
         "العربية हिन्दी ไทย 日本語 ひらがな カタカナ 한국어 你好 世界 现在 人工智能 模型 中文 混合 專家 ǅ ﬀ ʰ İstanbul ß").split()
CODE = ["def f(x):\n    return x**2\n", "for (int i = 0; i < n; ++i) {\n\t\ta[i] += b[i];\n}\n", "#include <vector>\n",
        '{"role": "user", "content": null}', "<div class=\"a\">&nbsp;</div>", "SELECT * FROM t WHERE a >= 10;--",
        "x = [1, 2, 3][::-1]  # reversed", "https://example.org/a?b=c&d=%20", "\\alpha_{i}^{2}", "a->b::c<d>(e);",
        "===", "-----", "!!!???", "....", "\\n\\t", "#!/bin/sh\nset -e\n", "__init__", "camelCaseName", "UPPER_CASE_2"]


def random_scalar(rng):
    """A code point, all planes, the lower ones more often; no surrogate."""
    while True:
        top = rng.choice([0x80, 0x250, 0x3000, 0x10000, 0x20000, 0x110000])
        c = rng.randrange(top)
        if not 0xD800 <= c <= 0xDFFF:
            return chr(c)


class TextMaker:
    def __init__(self, rng, added, vocab):
        self.rng = rng
        self.added = added or ["<none>"]
        self.tokens = [t for t in vocab if t]
        self.makers = [
            lambda: rng.choice(SPACES),
            lambda: rng.choice(SPACES) * rng.randrange(1, 9),
            lambda: rng.choice(NOT_SPACES),
            lambda: rng.choice(WORDS),
            lambda: " " + rng.choice(WORDS),
            lambda: rng.choice(WORDS) + rng.choice(MARKS),
            lambda: rng.choice(CODE),
            lambda: rng.choice(DIGITS),
            lambda: rng.choice(QUOTES),
            lambda: rng.choice("aXz") + rng.choice(QUOTES),
            lambda: rng.choice(EMOJI),
            lambda: rng.choice(MARKS),
            lambda: random_scalar(rng),
            lambda: "".join(random_scalar(rng) for _ in range(rng.randrange(1, 6))),
            lambda: "".join(chr(rng.randrange(0x4E00, 0xA000)) for _ in range(rng.randrange(1, 12))),
            lambda: chr(rng.choice([0x2A6D6, 0x2EBF5, 0x31360, 0x1E4D5, 0x10D41, 0x113D1, 0x16D43])),
            lambda: "".join(rng.choice("abcdefghijklmnopqrstuvwxyzABCXYZ") for _ in range(rng.randrange(1, 20))),
            lambda: rng.choice("ab .-=#") * rng.randrange(1, 200),
            lambda: rng.choice(self.added),
            lambda: rng.choice(SPACES) + rng.choice(self.added) + rng.choice(SPACES),
            lambda: rng.choice(self.added)[: rng.randrange(1, 8)],
            lambda: rng.choice(self.tokens),
            lambda: rng.choice(self.tokens) + rng.choice(self.tokens),
            lambda: rng.choice(".,;:!?()[]{}<>|/\\@#$%^&*-_=+`~\"'"),
        ]

    def make(self):
        return "".join(self.rng.choice(self.makers)() for _ in range(self.rng.randrange(0, 16)))


def run_jsonl(glimmer, command, model, lines):
    """One JSON answer a line, from `glimmer <command> -m model --jsonl`."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as source:
        source.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        source.seek(0)
        argv = [glimmer, command, "-m", model, "--jsonl"]
        done = subprocess.run(argv, stdin=source, stdout=subprocess.PIPE, check=False)
    if done.returncode != 0:
        sys.exit(f"{glimmer} {command}: exit status {done.returncode}")
    answers = done.stdout.decode("utf-8").split("\n")[:-1]
    if len(answers) != len(lines):
        sys.exit(f"{glimmer} {command}: {len(lines)} lines in, {len(answers)} out")
    return [json.loads(a) for a in answers]


def report(name, inputs, found, expected):
    wrong = [i for i in range(len(inputs)) if found[i] != expected[i]]
    for i in wrong[:10]:
        print(f"{name} {json.dumps(inputs[i], ensure_ascii=True)}\n  expected {expected[i]!r}\n  found    {found[i]!r}")
    print(f"{name}: {len(inputs)} compared, {len(wrong)} differ")
    return len(wrong)


def mixed_text(tokenizer, megabytes, rng):
    """English and code (the Python library's own), and Chinese drawn from the vocabulary by a Zipf law."""
    size = int(megabytes * 1e6 / 2)
    library = Path(sysconfig.get_paths()["stdlib"])
    code = ""
    for path in sorted(library.glob("*.py")):
        code += path.read_text(encoding="utf-8", errors="replace")
        if len(code) > size:
            break
    vocab = [tokenizer.decode([i]) for i in range(tokenizer.get_vocab_size())]
    chinese = [t for t in vocab if t and all("\u4e00" <= c <= "\u9fff" for c in t)] or ["你好"]
    weights = [1 / (rank + 10) for rank in range(len(chinese))]
    out, length = [], 0
    while length < size:
        sentence = "".join(rng.choices(chinese, weights, k=rng.randrange(2, 12))) + rng.choice("，。、；！？\n")
        out.append(sentence)
        length += len(sentence.encode())
    paragraphs = ["".join(out[i : i + 20]) for i in range(0, len(out), 20)]
    blocks = code.split("\n\n") + paragraphs
    rng.shuffle(blocks)
    return "\n\n".join(blocks)


def compare_speed(args, tokenizer, rng):
    text = mixed_text(tokenizer, 8, rng)
    size = len(text.encode()) / 1e6
    chunks = [text[i : i + 4096] for i in range(0, len(text), 4096)]
    start = time.process_time()
    for chunk in chunks:
        tokenizer.encode(chunk)
    theirs = size / (time.process_time() - start)
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".txt") as file:
        file.write(text)
        file.flush()
        sys.stdout.flush()
        subprocess.run([args.bench, args.tokenizer, file.name], check=True)
    package = f"tokenizers {tokenizers.__version__}"
    print(f"{package}: {theirs:.1f} MB/s in pieces of 4096 characters, {size:.1f} MB, processor time")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokenizer")
    parser.add_argument("--glimmer", default="build/release/glimmer")
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--bench")
    args = parser.parse_args()

    rng = random.Random(args.seed)
    tokenizer = tokenizers.Tokenizer.from_file(args.tokenizer)
    added = [t.content for t in tokenizer.get_added_tokens_decoder().values()]
    size = tokenizer.get_vocab_size()
    maker = TextMaker(rng, added, tokenizer.decode_batch([[i] for i in range(size)], skip_special_tokens=False))

    texts = [maker.make() for _ in range(args.count)]
    expected = [tokenizer.encode(t).ids for t in texts]
    found = [a["ids"] for a in run_jsonl(args.glimmer, "tokenize", args.tokenizer, [{"text": t} for t in texts])]
    wrong = report("encode", texts, found, expected)

    def decodes(name, id_lists):
        answers = run_jsonl(args.glimmer, "detokenize", args.tokenizer, [{"ids": ids} for ids in id_lists])
        return report(name, id_lists, [a["text"] for a in answers], [tokenizer.decode(i, skip_special_tokens=False) for i in id_lists])

    wrong += decodes("decode", expected)
    wrong += decodes("any ids", [[rng.randrange(size + 300) for _ in range(rng.randrange(0, 12))]
                                 for _ in range(args.count // 4)])
    if args.bench:
        compare_speed(args, tokenizer, rng)
    print(f"{args.tokenizer}: seed {args.seed}, tokenizers {tokenizers.__version__}: {'DIFFERENT' if wrong else 'equal'}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
