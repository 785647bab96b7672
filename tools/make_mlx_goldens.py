#!/usr/bin/env python3
"""Writes the goldens of tests/quant: what mlx and bitsandbytes make of a fixed matrix.

    pip install mlx[cpu] bitsandbytes torch numpy
    tools/make_mlx_goldens.py

Each line of mlx_goldens.txt: bits, group, element type, and FNV-1a of the bytes of weight, scales, biases and of the
dequantised matrix in the element type. fp4.bin holds codes, scales and the expanded first 4 rows, 64 columns of each,
for nvfp4 and then mxfp4. Of nf4_goldens.txt: block size, element type, and the same of weight, absmax and
the matrix dequantised to f32; then the hash of the matrix with nested scales, and their offset's f32 bits.
tests/quant/quantised_safetensors_test.cc makes the same matrix from the same integers.
"""
import pathlib

import numpy as np

ROWS, COLUMNS = 96, 256
TESTS = pathlib.Path(__file__).resolve().parent.parent / "tests" / "quant"


def fnv(data):
    value = 0xCBF29CE484222325
    for byte in bytes(data):
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


def matrix():
    """Sums of four 16-bit draws, scaled by rows; the last rows are the odd cases."""
    state, values = 1, np.zeros((ROWS, COLUMNS), np.float32)
    for row in range(ROWS):
        for column in range(COLUMNS):
            total = 0
            for _ in range(4):
                state = (state * 6364136223846793005 + 1442695040888963407) & 0xFFFFFFFFFFFFFFFF
                total += state >> 48
            values[row, column] = np.float32(total - 131070) * np.float32(2.0 ** -(16 + row % 7))
    values[88] = 0
    values[89] = 0.375
    values[90] = -0.375
    values[91] = np.abs(values[91])
    values[92] = -np.abs(values[92])
    values[93] *= np.float32(2.0**-10)
    values[94, 17] = 1000
    values[95, ::2] = 0
    return values


def mlx_lines(values):
    import mlx.core as mx

    types = {"f32": (mx.float32, np.uint32), "bf16": (mx.bfloat16, np.uint16), "f16": (mx.float16, np.uint16)}
    raw = lambda array, bits: np.array(mx.view(array, mx.uint32 if bits == np.uint32 else mx.uint16)).tobytes()
    for bits in (2, 3, 4, 5, 6, 8):
        for group in (32, 64, 128):
            for name, (dtype, as_bits) in types.items():
                w, s, b = mx.quantize(mx.array(values).astype(dtype), group_size=group, bits=bits)
                d = mx.dequantize(w, s, b, group_size=group, bits=bits)
                assert s.dtype == dtype and d.dtype == dtype
                hashes = [fnv(np.array(w).tobytes())] + [fnv(raw(x, as_bits)) for x in (s, b, d)]
                yield " ".join([str(bits), str(group), name, *hashes])


def fp4_bytes(values):
    import mlx.core as mx

    for mode in ("nvfp4", "mxfp4"):
        w, s = mx.quantize(mx.array(values[:4, :64]), mode=mode)
        expanded = mx.dequantize(w, s, mode=mode, dtype=mx.float32)
        yield from (np.array(array).tobytes() for array in (w, s, expanded))


def nf4_lines(values):
    import bitsandbytes.functional as bnb
    import torch

    for block in (64, 128):
        for name, dtype in (("f32", torch.float32), ("bf16", torch.bfloat16)):
            w = torch.from_numpy(values).to(dtype)
            q, state = bnb.quantize_4bit(w, blocksize=block, quant_type="nf4")
            # The definition, since an expansion with AVX-512 may round by the model's element type.
            codes = torch.stack([q.flatten() >> 4, q.flatten() & 15], 1).flatten().int()
            expand = lambda scales: (state.code[codes].view(-1, block) * scales.view(-1, 1)).numpy().tobytes()
            _, nested = bnb.quantize_4bit(w, blocksize=block, quant_type="nf4", compress_statistics=True)
            inner = nested.state2
            scales = inner.code[nested.absmax.int()] * inner.absmax.repeat_interleave(256)[: nested.absmax.numel()]
            offset = np.float32(nested.offset.item())
            yield " ".join([str(block), name, fnv(q.numpy().tobytes()), fnv(state.absmax.numpy().tobytes()),
                            fnv(expand(state.absmax)), fnv(expand(scales + nested.offset)), f"{offset.view(np.uint32):08x}"])
            if block == 64 and name == "f32":
                parts = [nested.absmax.numpy(), inner.absmax.numpy(), inner.code.numpy()]
                (TESTS / "nf4_nested.bin").write_bytes(b"".join(part.tobytes() for part in parts))


def main():
    values = matrix()
    (TESTS / "mlx_goldens.txt").write_text("\n".join(mlx_lines(values)) + "\n")
    (TESTS / "fp4.bin").write_bytes(b"".join(fp4_bytes(values)))
    (TESTS / "nf4_goldens.txt").write_text("\n".join(nf4_lines(values)) + "\n")


if __name__ == "__main__":
    main()
