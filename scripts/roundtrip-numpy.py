#!/usr/bin/env python3
"""roundtrip-numpy.py SONDE: files that the installed numpy and gguf packages write, read by Sonde.

Writes random arrays of every type, byte order, layout and size with numpy.save, savez and
savez_compressed, and models of every type that the gguf package can write; `sonde convert` makes
safetensors files of them, whose numbers must be the same bit by bit (GGUF's quantised ones: as the
package dequantises them). Not run by the test suite, which needs neither package; run it by hand after
a change of the readers or a new numpy. Without gguf that half is left out, and said so.
"""
import json
import pathlib
import struct
import subprocess
import sys
import tempfile

import numpy as np

try:
    import gguf
except ImportError:
    gguf = None

TYPES = {"f2": "F16", "f4": "F32", "f8": "F64", "i1": "I8", "i2": "I16", "i4": "I32", "i8": "I64",
         "u1": "U8", "u2": "U16", "u4": "U32", "u8": "U64", "b1": "BOOL"}
SHAPES = [(), (0,), (1,), (7,), (3, 0, 2), (5, 3), (1, 6, 1), (4, 3, 2, 5), (300, 500), (70, 3, 3, 40),
          (1, 1, 1, 1, 2, 1, 1, 3)]
FAULTS = []
random = np.random.default_rng(7)


def converted(program, path):
    """{name: (dtype, shape, bytes)} of the safetensors file that `sonde convert` makes."""
    output = path.with_suffix(path.suffix + ".safetensors")
    done = subprocess.run([program, "convert", str(path), str(output)], capture_output=True, check=False)
    if done.returncode:
        FAULTS.append(f"{path.name}: {done.stderr.decode()}")
        return {}
    content = output.read_bytes()
    output.unlink()
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8:8 + length])
    return {name: (about["dtype"], about["shape"],
                   content[8 + length + about["data_offsets"][0]:8 + length + about["data_offsets"][1]])
            for name, about in header.items() if name != "__metadata__"}


def compare(what, found, wanted):
    """`wanted`: {name: (dtype, array)}."""
    if set(found) != set(wanted):
        FAULTS.append(f"{what}: tensors {sorted(found)[:5]}..., not {sorted(wanted)[:5]}...")
    for name, (dtype, array) in wanted.items():
        if name not in found:
            continue
        little = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
        if found[name][0] != dtype or found[name][1] != list(array.shape):
            FAULTS.append(f"{what}: {name} is {found[name][:2]}, not {dtype} {array.shape}")
        elif found[name][2] != little.tobytes():
            FAULTS.append(f"{what}: {name} holds other bits")


# --- numpy --------------------------------------------------------------------------------------

def random_array(kind, shape):
    """Any bits, so that NaN of every kind, infinities and extremes are among them."""
    count = int(np.prod(shape))
    if kind == "b1":
        return random.integers(0, 2, count).astype(bool).reshape(shape)
    return random.integers(0, 256, count * int(kind[1:]), dtype=np.uint8).view("<" + kind).reshape(shape)


def layouts(array, kind):
    yield "rows", array
    if array.ndim > 1:
        yield "columns", np.asfortranarray(array)
        yield "transposed", array.T
    if kind[1:] != "1":
        yield "big", array.astype(array.dtype.newbyteorder(">"))


def arrays():
    for kind, dtype in TYPES.items():
        for i, shape in enumerate(SHAPES):
            for layout, array in layouts(random_array(kind, shape), kind):
                yield f"{kind}.{i}.{layout}", dtype, array


def check_numpy(program, folder):
    everything = {name: (dtype, array) for name, dtype, array in arrays()}
    plain = {name: array for name, (_, array) in everything.items()}
    np.savez(folder / "stored.npz", **plain)
    np.savez_compressed(folder / "deflated.npz", **plain)
    for name in ("stored.npz", "deflated.npz"):
        compare(name, converted(program, folder / name), everything)
    alone = [name for name in plain if name.startswith(("f4", "i2", "b1"))]
    for name in alone:
        np.save(folder / (name + ".npy"), plain[name])
        compare(name, converted(program, folder / (name + ".npy")), {name: everything[name]})
    print(f"numpy {np.__version__}: {len(everything)} arrays in an archive, stored and deflated; "
          f"{len(alone)} files")


# --- gguf ---------------------------------------------------------------------------------------

def random_blocks(kind, rows):
    """Any bytes but for the binary16 scales, which are finite."""
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    scales = {"Q2_K": [80, 82], "Q3_K": [108], "Q6_K": [208], "Q4_1": [0, 2], "Q5_1": [0, 2],
              "Q4_K": [0, 2], "Q5_K": [0, 2]}.get(kind.name, [0])
    blocks = random.integers(0, 256, (rows * 4, size), dtype=np.uint8)
    for at in scales:
        blocks[:, at:at + 2] = random.normal(size=rows * 4).astype("<f2").view(np.uint8).reshape(-1, 2)
    return blocks.reshape(rows, -1), elements * 4


def check_gguf(program, folder):
    kinds = gguf.GGMLQuantizationType
    writer = gguf.GGUFWriter(str(folder / "all.gguf"), "test")
    writer.add_array("tokenizer.ggml.tokens", [f"token{i}" for i in range(30000)])
    wanted = {}
    for kind in ("f2", "f4", "f8", "i1", "i2", "i4", "i8"):
        array = random_array(kind, (40, 3, 64))
        writer.add_tensor(kind, array)
        wanted[kind] = (TYPES[kind], array)
    for kind in (kinds.Q4_0, kinds.Q4_1, kinds.Q5_0, kinds.Q5_1, kinds.Q8_0, kinds.Q2_K, kinds.Q3_K,
                 kinds.Q4_K, kinds.Q5_K, kinds.Q6_K):
        blocks, columns = random_blocks(kind, 60)
        writer.add_tensor(kind.name, blocks, raw_dtype=kind)
        values = gguf.quants.dequantize(blocks, kind).astype("<f4").reshape(60, columns)
        wanted[kind.name] = ("F32", values)
    halves = random_array("f2", (50, 96))
    writer.add_tensor("bf16", halves.view(np.uint8), raw_dtype=kinds.BF16)
    wanted["bf16"] = ("BF16", halves)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    compare("all.gguf", converted(program, folder / "all.gguf"), wanted)
    print(f"gguf: {len(wanted)} tensors, one of each type")


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: scripts/roundtrip-numpy.py SONDE")
    with tempfile.TemporaryDirectory(prefix="sonde-roundtrip-") as folder:
        check_numpy(sys.argv[1], pathlib.Path(folder))
        if gguf:
            check_gguf(sys.argv[1], pathlib.Path(folder))
        else:
            print("the gguf package is not installed; its half was left out")
    for fault in FAULTS[:20]:
        print(fault, file=sys.stderr)
    sys.exit(f"{len(FAULTS)} differences" if FAULTS else 0)


main()
