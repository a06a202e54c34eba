#!/usr/bin/env python3
"""Writes the recorded values of this folder: blocks of every quantised format with what the `gguf`
package (0.19, its reference dequantisation) makes of them, and a whole file by its writer.

    python3 -m venv V && V/bin/pip install numpy gguf && V/bin/python tests/golden/gguf/make_gguf.py

FORMAT.bin holds the blocks, then their elements as float32. Blocks are random bytes with finite
scales of every size; in the simple formats two are quantised normal numbers instead. For
q8_1 and q8_K, which the package does not dequantise, the definition d * q is written out here.
"""
import os
import numpy as np
import gguf
from gguf import GGMLQuantizationType as T

HERE = os.path.dirname(os.path.abspath(__file__))
random = np.random.default_rng(20260827)

# Byte offsets of the binary16 scales in a block of so many bytes.
FORMATS = {
    T.Q4_0: (18, [0]), T.Q4_1: (20, [0, 2]), T.Q5_0: (22, [0]), T.Q5_1: (24, [0, 2]),
    T.Q8_0: (34, [0]), T.Q8_1: (36, [0, 2]), T.Q2_K: (84, [80, 82]), T.Q3_K: (110, [108]),
    T.Q4_K: (144, [0, 2]), T.Q5_K: (176, [0, 2]), T.Q6_K: (210, [208]), T.Q8_K: (292, []),
}


def finite_halves(count):
    """Normal, subnormal, zero and largest ones of both signs."""
    values = random.integers(0, 1 << 16, count).astype(np.uint16)
    values[(values & 0x7c00) == 0x7c00] &= 0x83ff
    values[:4] = [0x0001, 0x8000, 0x7bff, 0xfbff]
    return values


def random_blocks(kind, count):
    size, halves = FORMATS[kind]
    blocks = random.integers(0, 256, (count, size)).astype(np.uint8)
    for at in halves:
        blocks[:, at:at + 2] = finite_halves(count).view(np.uint8).reshape(count, 2)
    if kind == T.Q8_K:
        blocks[:, :4] = random.normal(size=count).astype(np.float32).view(np.uint8).reshape(count, 4)
    return blocks


def dequantised(kind, blocks):
    if kind == T.Q8_1:
        scale = blocks[:, :2].copy().view(np.float16).astype(np.float32)
        return scale * blocks[:, 4:].view(np.int8).astype(np.float32)
    if kind == T.Q8_K:
        scale = blocks[:, :4].copy().view(np.float32)
        return scale * blocks[:, 4:260].view(np.int8).astype(np.float32)
    return gguf.quants.dequantize(blocks, kind)


def write_blocks():
    for kind in FORMATS:
        blocks = random_blocks(kind, 8)
        if kind <= T.Q8_0:
            blocks[4:6] = gguf.quants.quantize(random.normal(size=(2, 32)).astype(np.float32), kind)
        values = dequantised(kind, blocks).astype(np.float32)
        assert np.isfinite(values).all()
        with open(os.path.join(HERE, kind.name.lower() + ".bin"), "wb") as file:
            file.write(blocks.tobytes() + values.tobytes())


def add_metadata(writer):
    writer.add_uint8("test.u8", 255)
    writer.add_int8("test.i8", -128)
    writer.add_uint16("test.u16", 65535)
    writer.add_int16("test.i16", -32768)
    writer.add_uint32("test.u32", 4294967295)
    writer.add_int32("test.i32", -2147483648)
    writer.add_uint64("test.u64", 18446744073709551615)
    writer.add_int64("test.i64", -9223372036854775808)
    writer.add_float32("test.f32", 1e-6)
    writer.add_float64("test.f64", 0.1)
    writer.add_bool("test.bool", True)
    writer.add_string("test.string", "a string, with \u00e9")
    writer.add_array("test.strings", ["a", "bc", ""])
    writer.add_array("test.floats", [0.5, 1.5])
    writer.add_array("test.ints", [1, 2, 3, 4])


def write_sample():
    """Element k of each plain tensor is k - 2; the quantised ones are in sample.f32, in order."""
    writer = gguf.GGUFWriter(os.path.join(HERE, "sample.gguf"), "test")
    writer.add_custom_alignment(64)
    add_metadata(writer)
    for name in ("float32", "float16", "float64", "int8", "int16", "int32", "int64"):
        writer.add_tensor(name, (np.arange(6) - 2).reshape(2, 3).astype(name))
    counted = (np.arange(6) - 2).reshape(2, 3).astype(np.float32)
    writer.add_tensor("bfloat16", gguf.quants.quantize(counted, T.BF16), raw_dtype=T.BF16)
    values = []
    for kind, rows in ((T.Q4_0, 3), (T.Q8_0, 2), (T.Q6_K, 2)):
        blocks = random_blocks(kind, rows * 2).reshape(rows, -1)
        writer.add_tensor(kind.name, blocks, raw_dtype=kind)
        values.append(gguf.quants.dequantize(blocks, kind).ravel())
    writer.add_tensor("cube", np.arange(24, dtype=np.float32).reshape(2, 3, 4) - 2)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    np.concatenate(values).astype(np.float32).tofile(os.path.join(HERE, "sample.f32"))


write_blocks()
write_sample()
