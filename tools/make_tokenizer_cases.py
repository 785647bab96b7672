#!/usr/bin/env python3
"""Writes tests/text/tokenizer_cases.jsonl: small tokenizers and what the `tokenizers` package does with them.

Usage: python tools/make_tokenizer_cases.py > tests/text/tokenizer_cases.jsonl

Development only. The first line is a tokenizer.json; each further line has a patch to it (top-level fields replaced,
`model` merged field by field) and texts with their ids, and where they differ: plain (ids without a template and with
special tokens as text; else as ids), decoded (else as text), skipped (decoded without special tokens; else as decoded).
"""
import json
import sys

from tokenizers import Tokenizer

GLM = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
       r"\s+(?!\S)|\s+")
O200K = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
TIKTOKEN = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|"
            r"\s+(?!\S)|\s")
DEEPSEEK = (r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|"
            r" ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")

TEXTS = [
    "", " ", "hello", " hello hello", "Hello, hello's HELLO'S it'ſ don't WE'LL", "abc abcabc ab bc 123 12345 ½²Ⅷ٣",
    "a\n\nb \r\n  c\n   d  ", "    \t hello   ", "你好，世界 hello你", "é e\u0301 \u200d👨\u200d👩\u200d👧 🙂",
    "x\u180ey\x85z\u200bw\u3000v\x1cu", "\U00031350\U0001e4d5\U00010d41\u0897 \U00016d43a",
    "if (a==b) {\n\treturn 1;\n}\n\n",
    "<s>hello</s> <pad>  <s>", "a.b..c - (d)[e]", "ababab 1 22 333 4444", "xhellox hello, _hello_ éhello hello\u200d",
]


def byte_alphabet():
    printable = [b for b in range(256) if 0x21 <= b <= 0x7E or (b >= 0xA1 and b != 0xAD)]
    others = [b for b in range(256) if b not in printable]
    table = {b: chr(b) for b in printable}
    table.update({b: chr(256 + i) for i, b in enumerate(others)})
    return [table[b] for b in range(256)]


ALPHABET = byte_alphabet()


def spell(text):
    return "".join(ALPHABET[b] for b in text.encode())


def base():
    vocab = {c: i for i, c in enumerate(ALPHABET)}
    merges = []
    for merge in ["h e", "l l", "he ll", "hell o", "_ hello", "a b", "ab c", "b c", "_ a", "_ _", "__ __", "1 2", "12 3",
                  "' s", "ab ab", "c a"]:
        left, right = merge.split(" ")
        pair = [spell(left.replace("_", " ")), spell(right.replace("_", " "))]
        merges.append(pair)
        vocab.setdefault("".join(pair), len(vocab))
    hao = "你".encode()
    for pair in [[ALPHABET[hao[0]], ALPHABET[hao[1]]], [ALPHABET[hao[0]] + ALPHABET[hao[1]], ALPHABET[hao[2]]]]:
        merges.append(pair)
        vocab.setdefault("".join(pair), len(vocab))
    for whole in [" world", "abcabc", " hello hello", "a.b", "éhello"]:  # reached by ignore_merges only
        vocab.setdefault(spell(whole), len(vocab))
    vocab["<unk>"] = len(vocab)
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
        "pre_tokenizer": byte_level(), "post_processor": None, "decoder": byte_level(True),
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                  "vocab": vocab, "merges": merges},
    }


def byte_level(use_regex=False, prefix=False):
    return {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": True, "use_regex": use_regex}


def split(pattern, behavior="Isolated", invert=False, kind="Regex"):
    return {"type": "Split", "pattern": {kind: pattern}, "behavior": behavior, "invert": invert}


def pre(*stages):
    return {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [*stages, byte_level()]}}


def added(*tokens, start):
    rows = []
    for content, *flags in tokens:
        row = {"id": start, "content": content, "single_word": False, "lstrip": False, "rstrip": False,
               "normalized": False, "special": False}
        row.update({flag: True for flag in flags})
        rows.append(row)
        start += 1
    return {"added_tokens": rows}


def template(*pieces):
    rows = [{"Sequence" if p == "A" else "SpecialToken": {"id": p, "type_id": 0}} for p in pieces]
    return {"type": "TemplateProcessing", "single": rows,
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [3, 4], "tokens": ["x", "y"]},
                               "</s>": {"id": "</s>", "ids": [5], "tokens": ["z"]}}}


def cases(tokenizer):
    n = len(tokenizer["model"]["vocab"])
    small = {c: i for i, c in enumerate("abc你 h")}
    small.update({"ab": 6, "abc": 7, "<unk>": 8, "你你": 9})
    chars = {"vocab": small, "merges": [["a", "b"], ["ab", "c"], ["你", "你"]]}
    yield "byte level", {}
    yield "byte level, regex", {"pre_tokenizer": byte_level(True)}
    yield "byte level, prefix space", {"pre_tokenizer": byte_level(True, True)}
    strings = [" ".join(m) for m in tokenizer["model"]["merges"]]
    yield "merges as strings", {"model": {"merges": ["#version: 0.2", *strings]}}
    yield "ignore_merges", {"model": {"ignore_merges": True}, **pre(split(GLM))}
    yield "GLM", pre(split(GLM))
    yield "Qwen 2", pre(split(GLM.replace("{1,3}", "")))
    yield "o200k", pre(split(O200K))
    yield "tiktoken's cl100k", pre(split(TIKTOKEN))
    yield "DeepSeek", pre(split(r"\p{N}{1,3}"), split("[一-龥぀-ゟ゠-ヿ]+"), split(DEEPSEEK))
    yield "SmolLM2", {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [
        {"type": "Digits", "individual_digits": True}, byte_level(True)]}}
    yield "Digits in runs", pre({"type": "Digits", "individual_digits": False})
    for behavior in ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]:
        yield f"Split {behavior}", pre(split(r"[\sa]", behavior))
        yield f"Split {behavior} inverted", pre(split(r"\p{L}", behavior, True))
        yield f"Split {behavior} with empty matches", pre(split(r"(?=b)|\d*", behavior))
    yield "Split by a string", pre(split(".", "Isolated", False, "String"))
    yield "no pre-tokenizer", {"pre_tokenizer": None, "decoder": None, "model": chars}
    yield "no pre-tokenizer, unk", {"pre_tokenizer": None, "decoder": {"type": "Fuse"},
                                    "model": {**chars, "unk_token": "<unk>"}}
    yield "no pre-tokenizer, fused unk", {
        "pre_tokenizer": None, "decoder": {"type": "Sequence", "decoders": []},
        "model": {**chars, "unk_token": "<unk>", "fuse_unk": True, "ignore_merges": True}}
    without = {k: v for k, v in tokenizer["model"]["vocab"].items() if k not in ("x", "b", "Ġ", "ab", "bc", "abc")}
    without = {k: i for i, k in enumerate(without)}
    merges = [m for m in tokenizer["model"]["merges"] if all(p in without for p in [*m, "".join(m)])]
    yield "bytes that no token has", {"model": {"vocab": without, "merges": merges}}
    yield "bytes that no token has, unk", {"model": {"vocab": without, "merges": merges, "unk_token": "<unk>"}}
    yield "template", {"post_processor": {"type": "Sequence", "processors": [
        byte_level(True), template("<s>", "A", "</s>")]}}
    yield "template twice", {"post_processor": template("A", "<s>", "A")}
    yield "decoder Sequence", {"decoder": {"type": "Sequence", "decoders": [byte_level(), {"type": "Fuse"}]}}
    yield "added tokens", {**pre(split(GLM)), **added(("<s>", "special"), ("</s>", "special"), ("<pad>",), (" 你",),
                                                      ("é",), ("1", "special"), start=n)}
    yield "longest added token wins", added(("h",), ("hel",), ("hello h",), ("lo",), ("ab",), ("abab",), start=n)
    yield "lstrip", added(("hello", "lstrip"), ("<s>", "lstrip", "special"), ("b", "lstrip"), start=n)
    yield "rstrip", added(("hello", "rstrip"), ("<s>", "rstrip", "special"), ("b", "rstrip"), start=n)
    yield "both strips", added(("hello", "lstrip", "rstrip"), ("  ", "lstrip", "rstrip"), ("a", "rstrip"), start=n)
    yield "single_word", added(("hello", "single_word"), ("ab", "single_word", "special"), ("1", "single_word"),
                               ("你", "single_word"), start=n)
    yield "single_word, strips", added(("hello", "single_word", "lstrip", "rstrip"),
                                       ("a", "single_word", "rstrip"), start=n)
    yield "normalized", added(("hello", "normalized"), ("<s>", "special"), ("s>hello", "normalized", "special"),
                              ("o<", "normalized"), start=n)


def main():
    tokenizer = base()
    print(json.dumps(tokenizer, ensure_ascii=False))
    for name, patch in cases(tokenizer):
        whole = {**tokenizer, **{k: v for k, v in patch.items() if k != "model"}}
        whole["model"] = {**tokenizer["model"], **patch.get("model", {})}
        next_id = len(whole["model"]["vocab"])  # an added token that the vocabulary has takes its id
        for row in whole["added_tokens"]:
            row["id"] = whole["model"]["vocab"].get(row["content"], next_id)
            next_id += row["id"] == next_id
        theirs = Tokenizer.from_str(json.dumps(whole))
        rows = []
        for text in TEXTS:
            theirs.encode_special_tokens = False
            ids = theirs.encode(text).ids
            theirs.encode_special_tokens = True
            row = {"text": text, "ids": ids}
            plain = theirs.encode(text, add_special_tokens=False).ids
            decoded = theirs.decode(ids, skip_special_tokens=False)
            skipped = theirs.decode(ids, skip_special_tokens=True)
            row |= {"plain": plain} if plain != ids else {}
            row |= {"decoded": decoded} if decoded != text else {}
            row |= {"skipped": skipped} if skipped != decoded else {}
            rows.append(row)
        print(json.dumps({"name": name, "patch": patch, "cases": rows}, ensure_ascii=False, separators=(",", ":")))


if __name__ == "__main__":
    sys.exit(main())
