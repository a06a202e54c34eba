#!/usr/bin/env python3
"""Writes the recorded arrays of this folder with numpy.save, savez and savez_compressed.

    python3 -m venv V && V/bin/pip install numpy && V/bin/python tests/golden/numpy/make_numpy.py

Element k (row-major) of each array is k - 2 in signed types, k in unsigned ones, (k - 2) / 2 in floats
and complex numbers, k % 3 == 0 in booleans. A name says type, order and shape: "f4_big_columns_2x3".
"""
import os
import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
TYPES = ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1", "c8", "c16"]


def counted(kind, shape):
    k = np.arange(int(np.prod(shape)), dtype=np.int64).reshape(shape)
    if kind[0] in "fc":
        return (k - 2) / 2
    return k % 3 == 0 if kind[0] == "b" else k - 2 if kind[0] == "i" else k


def arrays():
    for kind in TYPES:
        for end, mark in (("little", "<"), ("big", ">")):
            if end == "big" and kind[1:] == "1":
                continue
            yield f"{kind}_{end}_rows_2x3", counted(kind, (2, 3)).astype(mark + kind)
            columns = counted(kind, (2, 3, 4)).astype(mark + kind)
            yield f"{kind}_{end}_columns_2x3x4", np.asfortranarray(columns)
    yield "f4_little_rows_scalar", counted("f4", ()).astype("<f4")
    yield "f4_little_rows_0", counted("f4", (0,)).astype("<f4")
    yield "f8_little_rows_3x0x2", counted("f8", (3, 0, 2)).astype("<f8")
    yield "i4_little_rows_7", counted("i4", (7,)).astype("<i4")
    yield "u1_little_rows_1x1x1x1x1x1x1x2", counted("u1", (1, 1, 1, 1, 1, 1, 1, 2)).astype("u1")


def main():
    everything = dict(arrays())
    np.savez(os.path.join(HERE, "stored.npz"), **everything)
    np.savez_compressed(os.path.join(HERE, "deflated.npz"), **everything)
    np.savez(os.path.join(HERE, "with_text.npz"), words=np.array(["a", "bc"]),
             day=np.array(["2026-08-27"], dtype="M8[D]"), weight=counted("f4", (2, 3)).astype("<f4"))
    for name in ("f4_little_rows_2x3", "f8_big_columns_2x3x4", "f4_little_rows_scalar"):
        np.save(os.path.join(HERE, name + ".npy"), everything[name])
    with open(os.path.join(HERE, "i4_little_rows_2x3_version3.npy"), "wb") as file:
        np.lib.format.write_array(file, counted("i4", (2, 3)).astype("<i4"), version=(3, 0))


main()
