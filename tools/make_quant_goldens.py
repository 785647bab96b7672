#!/usr/bin/env python3
"""Writes tests/quant/ggml_goldens.txt: what ggml's quantisers make of fixed rows, and its decoders of fixed blocks.

    pip install libgguf gguf numpy
    tools/make_quant_goldens.py

libgguf is ggml's reference quantisers as a Python module; gguf's own numpy quantisers are asked as well where they
exist. Rows and blocks come from integers, so that tests/quant/ggml_test.cc makes the same; a line holds FNV-1a hashes:
    encode <type> <importance> <one hash for each kind of rows>      decode <type> <one hash for each row of blocks>
"-" stands for rows for which the reference is not followed (MXFP4 below 2^-125: its exponent wraps around).
Distributed Llama's q40 and q80 are computed here by the rules of its converter (b4rtaz/distributed-llama,
converter/writer.py).
"""
import pathlib

import gguf
import libgguf
import numpy as np

KINDS, ROWS, COLUMNS = 26, 40, 512  # rows of a kind
BLOCK_ROWS = 24
OUT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "quant" / "ggml_goldens.txt"

# Where the f16 of a block lie; their exponents are kept small, so that there is no infinity or NaN.
TYPES = {
    "q4_0": [0], "q4_1": [0, 2], "q5_0": [0], "q5_1": [0, 2], "q8_0": [0], "q2_k": [80, 82], "q3_k": [108],
    "q4_k": [0, 2], "q5_k": [0, 2], "q6_k": [208], "iq4_nl": [0], "iq4_xs": [0], "mxfp4": [],
}
IGNORES_IMPORTANCE = ("q8_0", "mxfp4")


def fnv(data):
    value = 0xCBF29CE484222325
    for byte in bytes(data):
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


class Draws:
    """16-bit integers."""

    def __init__(self, state):
        self.state = state

    def __call__(self):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) & 0xFFFFFFFFFFFFFFFF
        return self.state >> 48

    def normal(self):
        """About a normal distribution of deviation 37837."""
        return self() + self() + self() + self() - 131070


def row_of(kind, draw):
    """Values as an integer times a power of two, rounded to f32 at the end."""
    pick, shift = draw() % COLUMNS, draw() % 8
    base, values = draw.normal(), []
    for column in range(COLUMNS):
        n, u = draw.normal(), draw()
        exponent = -21
        if kind == 1: exponent = u % 14 - 26
        elif kind == 2: n, exponent = u - 32768, -15
        elif kind == 3: n = abs(n) + 20000
        elif kind == 4: n = -abs(n)
        elif kind == 5: n = base
        elif kind == 6: n, exponent = (1000 << 20) + n % 1024, -20
        elif kind == 7: n = 0
        elif kind == 8: n = 0 if column < COLUMNS // 2 else n
        elif kind == 9: n = 0 if u % 10 else n
        elif kind == 10: exponent = -36
        elif kind == 11: exponent = -62
        elif kind == 12: exponent = -64
        elif kind == 13: exponent = -80
        elif kind == 14: exponent = -115
        elif kind == 15: exponent = -150
        elif kind == 16: exponent = -5
        elif kind == 17: exponent = 5
        elif kind == 18: exponent = 45
        elif kind == 19: exponent = 85
        elif kind == 20: n = 30 << 21 if column == pick else n
        elif kind == 21: exponent = u % 61 - 50
        elif kind == 22: n, exponent = n % 16 - 8, -shift
        elif kind == 23: n, exponent = 1 - 2 * (u & 1), 0
        elif kind == 24: n = n // 256 * 256
        elif kind == 25: n, exponent = (column - pick) * (1 + shift), -9
        values.append(np.ldexp(np.float64(n), exponent))
    with np.errstate(under="ignore"):
        return np.array(values).astype(np.float32)


def importance(name):
    draw, values = Draws(7), []
    for column in range(COLUMNS):
        value = np.float32(np.ldexp(1.0 + draw() % 1000, draw() % 10 - 20))
        values.append(np.float32(0) if name == "holes" and column % 3 == 0 else value)
    return None if name == "none" else np.array(values, np.float32)


def q40(rows):
    """Scale: the extreme of larger magnitude over -8, the largest if both are alike; codes with its f32 inverse."""
    x = rows.reshape(-1, 32)
    low, high = x.min(axis=1), x.max(axis=1)
    d = np.where(-low > high, low, high) / np.float32(-8)
    inverse = np.divide(np.float32(1), d, out=np.zeros_like(d), where=d != 0)
    codes = np.clip(x * inverse[:, None] + np.float32(8.5), 0, 15)
    codes = np.where(np.isnan(codes), 0, codes).astype(np.uint8)
    packed = codes[:, :16] | codes[:, 16:] << 4
    return np.concatenate([d.astype(np.float16).view(np.uint8).reshape(-1, 2), packed], axis=1)


def q80(rows):
    x = rows.reshape(-1, 32)
    d = np.abs(x).max(axis=1) / np.float32(127)
    inverse = np.divide(np.float32(1), d, out=np.zeros_like(d), where=d != 0)
    scaled = x * inverse[:, None]
    codes = np.round(np.where(np.isfinite(scaled), scaled, 0)).astype(np.int8)  # halves to even
    return np.concatenate([d.astype(np.float16).view(np.uint8).reshape(-1, 2), codes.view(np.uint8)], axis=1)


def encode_lines(kinds):
    for name in TYPES:
        qtype = getattr(gguf.GGMLQuantizationType, name.upper())
        for how in ("none",) if name in IGNORES_IMPORTANCE else ("none", "full", "holes"):
            hashes = []
            for kind, rows in enumerate(kinds):
                if name == "mxfp4" and kind == 15:
                    hashes.append("-")
                    continue
                data = np.asarray(libgguf.quantize_rows(rows, qtype, imatrix=importance(how))).tobytes()
                if how == "none":
                    try:
                        assert gguf.quants.quantize(rows, qtype).tobytes() == data, (name, kind)
                    except NotImplementedError:
                        pass
                hashes.append(fnv(data))
            yield " ".join(["encode", name, how] + hashes)
    for name, encode in (("q40", q40), ("q80", q80)):
        yield " ".join(["encode", name, "none"] + [fnv(encode(rows).tobytes()) for rows in kinds])


def blocks_of(name):
    """Row 0 is all zero bits, row 1 all ones but for the exponents; then anything."""
    size, block_bytes = gguf.GGML_QUANT_SIZES[getattr(gguf.GGMLQuantizationType, name.upper())]
    draw = Draws(11)
    rows = np.zeros((BLOCK_ROWS, COLUMNS // size, block_bytes), np.uint8)
    for row in range(1, BLOCK_ROWS):
        for block in range(COLUMNS // size):
            for i in range(block_bytes):
                rows[row, block, i] = 255 if row == 1 else draw() & 255
            for at in TYPES[name]:
                rows[row, block, at + 1] &= 0xBF
            if name == "mxfp4":
                rows[row, block, 0] &= 0xFE  # 255 is NaN
    return rows.reshape(BLOCK_ROWS, -1)


def decode_lines():
    for name in TYPES:
        qtype = getattr(gguf.GGMLQuantizationType, name.upper())
        blocks = blocks_of(name)
        with np.errstate(over="ignore"):
            values = gguf.quants.dequantize(blocks, qtype)
        assert np.array_equal(values, libgguf.dequantize_rows(blocks, qtype, COLUMNS)), name
        hashes = [fnv((row + np.float32(0)).tobytes()) for row in values]  # no negative zeros
        yield " ".join(["decode", name] + hashes)


def main():
    draw = Draws(3)
    with np.errstate(all="ignore"):
        kinds = [np.stack([row_of(kind, draw) for _ in range(ROWS)]) for kind in range(KINDS)]
        lines = list(encode_lines(kinds)) + list(decode_lines())
    OUT.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
