#!/usr/bin/env python3
"""Writes src/text/pre_tokenizer_unicode_tables.inc: the character classes as the `tokenizers` package sees them.

Usage: python tools/make_unicode_tables.py > src/text/pre_tokenizer_unicode_tables.inc

Development only. Every code point is put to the package itself (its regular expressions, its Digits, its single_word
rule), so that the tables follow its Unicode version and not ours. The rows "since Unicode 14" are what a PCRE2 built
for Unicode 14 lacks; Python's unicodedata must be of that version (Python 3.11) for them to be right.
"""
import sys
import unicodedata

import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, models, pre_tokenizers

BASE_UNICODE = "14.0.0"
CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
CATEGORIES = [
    "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Sm",
    "Sc", "Sk", "So", "Zs", "Zl", "Zp", "Cf",
]

# CJK extensions I and H; unicodedata does not know scripts.
HAN_SINCE_UNICODE_14 = [(0x2EBF0, 0x2EE5D), (0x31350, 0x323AF)]


def matches(pattern):
    """The code points that a one-character regular expression matches."""
    split = pre_tokenizers.Split(Regex(pattern), "removed")
    found = set()
    for at in range(0, len(CODE_POINTS), 4096):
        chunk = CODE_POINTS[at : at + 4096]
        left = {ord(c) for piece, _ in split.pre_tokenize_str("".join(map(chr, chunk))) for c in piece}
        found.update(c for c in chunk if c not in left)
    return found


def numeric():
    """What Digits takes for a digit (the Rust standard library's char::is_numeric)."""
    digits = pre_tokenizers.Digits(individual_digits=True)
    found = set()
    for at in range(0, len(CODE_POINTS), 1024):
        text = "a" + "a".join(map(chr, CODE_POINTS[at : at + 1024])) + "a"
        found.update(ord(p) for p, _ in digits.pre_tokenize_str(text) if len(p) == 1 and p != "a")
    return found


def word():
    """What an added token with single_word takes for a word character (the \\w of Rust's regex crate)."""
    tokenizer = Tokenizer(models.BPE(vocab={"": 0}, merges=[]))
    tokenizer.add_tokens([AddedToken("QQ", single_word=True, normalized=False)])
    return {c for c in CODE_POINTS if not tokenizer.encode(chr(c) + "QQ").ids}


def ranges(points):
    out = []
    for c in sorted(points):
        if out and out[-1][1] + 1 == c:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def emit(name, comment, rows):
    print(f"\n// {comment}\nconstexpr CodePointRange {name}[] = {{")
    line = "   "
    for low, high in rows:
        item = f" {{0x{low:X}, 0x{high:X}}},"
        if len(line) + len(item) > 118:
            print(line)
            line = "   "
        line += item
    print(line + "\n};")


def main():
    if unicodedata.unidata_version != BASE_UNICODE:
        sys.exit(f"unicodedata is {unicodedata.unidata_version}, expected {BASE_UNICODE} (Python 3.11)")
    letters, numbers, words = matches(r"\p{L}"), matches(r"\p{N}"), word()
    assert numbers <= numeric() and letters <= words
    print(f"// Made by tools/make_unicode_tables.py from tokenizers {tokenizers.__version__}. Do not edit.\n// clang-format off")
    emit("kLetterRanges", r"\p{L}", ranges(letters))
    emit("kNumberRanges", r"\p{N}", ranges(numbers))
    emit("kMoreNumericRanges", r"what Digits splits besides \p{N}", ranges(numeric() - numbers))
    emit("kSpaceRanges", r"\s (White_Space)", ranges(matches(r"\s")))
    emit("kWordNotLetterRanges", r"word characters for single_word, besides \p{L}", ranges(words - letters))
    print("\n// What belongs to a general category, or to the script Han, only since Unicode 14.")
    print("constexpr CategoryRange kCategoryRangesSinceUnicode14[] = {")
    rows = [("Han", low, high) for low, high in HAN_SINCE_UNICODE_14]
    for category in CATEGORIES:
        base = {c for c in CODE_POINTS if unicodedata.category(chr(c)) == category}
        now = matches(r"\p{%s}" % category)
        for c in base - now:  # moved to another category since: the rows could not say so
            print(f"warning: U+{c:04X} has left {category}", file=sys.stderr)
        rows += [(category, low, high) for low, high in ranges(now - base)]
    line = "   "
    for category, low, high in rows:
        item = f' {{"{category}", {{0x{low:X}, 0x{high:X}}}}},'
        if len(line) + len(item) > 118:
            print(line)
            line = "   "
        line += item
    print(line + "\n};\n// clang-format on")


if __name__ == "__main__":
    main()
