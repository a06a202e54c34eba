#!/usr/bin/env python3
"""roundtrip-torch.py OPEN_MODEL [--keep FOLDER]: files that the installed torch writes, read by Sonde.

Saves state dictionaries of every number format, layout and nesting, in both formats of torch.save and
every pickle protocol, and compares what tests/bad/open_model lists (names, shapes, numbers, ties,
metadata) with what torch.load gives. Not run by the test suite, which needs no torch; run it by hand
after a change of the reader or a new torch.
"""
import argparse
import collections
import json
import math
import pathlib
import subprocess
import sys
import tempfile

import torch

NUMBERS = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2",
    torch.float8_e4m3fnuz: "F8_E4M3FNUZ", torch.float8_e5m2fnuz: "F8_E5M2FNUZ",
    torch.float8_e8m0fnu: "F8_E8M0", torch.int64: "I64", torch.int32: "I32", torch.int16: "I16",
    torch.int8: "I8", torch.uint64: "U64", torch.uint32: "U32", torch.uint16: "U16",
    torch.uint8: "U8", torch.bool: "BOOL", torch.complex64: "C64", torch.complex128: "C128",
}
SHOWN = 16


# These have a storage class of their own; the newer ones torch.load cannot read in the old format.
OLD = {"F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL", "C64", "C128"}


def every_number(names=None):
    state = collections.OrderedDict()
    for dtype, name in NUMBERS.items():
        if names and name not in names:
            continue
        base = torch.tensor([0.0, 1.0, 2.0, 1.0, 0.5, 3.0])
        if dtype == torch.float8_e8m0fnu:
            base = torch.tensor([1.0, 2.0, 4.0, 0.5, 0.25, 8.0])
        if not dtype.is_floating_point and not dtype.is_complex and dtype != torch.bool:
            base = torch.tensor([0, 1, 2, 3, 100, 120])
        state[name] = base.to(dtype).reshape(2, 3)
    state["special"] = torch.tensor([math.nan, math.inf, -math.inf, -0.0, 1e-45, 3.4e38])
    state["extreme"] = torch.tensor([2**63 - 1, -2**63, 2**53 + 1, -1])
    return state


def layouts():
    whole = torch.arange(24.0).reshape(4, 6)
    return {
        "whole": whole, "transposed": whole.t(), "sliced": whole[1:3, 2:5], "stepped": whole[::2, ::3],
        "row": whole[2], "column": whole[:, 1], "expanded": torch.arange(3.0).expand(4, 3),
        "alone": torch.tensor(7.5), "alone_within": whole[3, 5], "empty": torch.empty(0, 4),
        "empty_within": whole[:, 6:], "permuted": torch.arange(60.0).reshape(3, 4, 5).permute(2, 0, 1),
        "last": torch.arange(16.0).reshape(2, 2, 2, 2).contiguous(memory_format=torch.channels_last),
        "one": torch.arange(4.0).reshape(1, 4, 1).transpose(0, 2), "tied": whole,
        "tied_view": whole.view(24), "many": torch.zeros(1, 1, 1, 1, 1, 1, 1, 2),
    }


def training():
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.125)
    model(torch.randn(5, 3)).sum().backward()
    optimizer.step()
    return {
        "epoch": 17, "best_prec1": 93.5, "arch": "mlp", "done": True, "nothing": None,
        "state_dict": model.state_dict(), "optimizer": optimizer.state_dict(),
        "args": argparse.Namespace(lr=0.5, name="run", layers=[1, 2]),
        "ema": [torch.ones(2), (torch.zeros(3), {"deep": torch.full((1,), 4.0)})],
        "parameter": torch.nn.Parameter(torch.ones(2)), "shape": torch.Size([2, 3]),
        "wanted": torch.randn(2, requires_grad=True), "dtype": torch.float16,
        "device": torch.device("cpu"), "names": {"a", "b"}, 5: torch.tensor([5.0]),
        "groups": collections.defaultdict(list, x=[torch.tensor(1)]), "large": 2**70, "big": -2**62,
        "raw": b"bytes", "buffer": bytearray(b"abc"), "imaginary": 1 + 2j, "endless": -math.inf,
    }


def numpy_numbers():
    import numpy
    return {"loss": numpy.float64(0.25), "single": numpy.float32(0.5), "step": numpy.int64(-9),
            "array": numpy.arange(3), "weight": torch.ones(2)}


def attributed():
    parameter = torch.nn.Parameter(torch.arange(3.0))
    parameter.note = "kept in the state"
    plain = torch.arange(2.0)
    plain.note = 1
    return {"parameter": parameter, "plain": plain, "buffer": torch.nn.Buffer(torch.ones(1))}


def objects():
    torch.manual_seed(1)
    yield "numbers", every_number(), {}
    yield "old_numbers", every_number(OLD), {}
    yield "layouts", layouts(), {}
    yield "training", training(), {"epoch": "17", "best_prec1": "93.5", "arch": "mlp", "done": "true",
                                   "args.lr": "0.5", "args.name": "run", "big": str(-2**62),
                                   "endless": "-inf",
                                   "optimizer.param_groups.0.lr": "0.125"}
    yield "tensor", torch.arange(5), {}
    yield "list", [torch.ones(1), [torch.zeros(2)]], {}
    yield "none", {}, {}
    yield "numpy", numpy_numbers(), {"loss": "0.25", "single": "0.5", "step": "-9"}
    yield "attributed", attributed(), {}
    yield "thousand", {f"layer{i}": torch.full((3,), float(i)) for i in range(3000)}, {}


def walk(value, path=""):
    """(name, tensor) as Sonde names them, in order."""
    if isinstance(value, torch.Tensor):
        yield path or "tensor", value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from walk(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            yield from walk(item, f"{path}.{i}" if path else str(i))


def numbers_of(tensor):
    if tensor.dtype in (torch.uint64, torch.uint32, torch.uint16, torch.int64):
        return [float(each) for each in tensor.detach().flatten().tolist()]
    return tensor.detach().to(torch.float64).flatten().tolist()


def same(a, b):
    return len(a) == len(b) and all(x == y or (x != x and y != y) for x, y in zip(a, b))


def compare(about, loaded, metadata):
    faults = []
    if about["status"] != "SONDE_OK":
        return [about["message"]]
    wanted = list(walk(loaded))
    if about["tensors"] != len(wanted):
        faults.append(f"{about['tensors']} tensors, not {len(wanted)}")
    for found, (name, tensor) in zip(about["listing"], wanted):
        if found["name"] != name or found["number"] != NUMBERS[tensor.dtype] or \
                found["shape"] != list(tensor.shape):
            faults.append(f"{found['name']} {found['number']} {found['shape']}, not {name} {tensor.dtype}")
        elif not tensor.is_complex() and not same(found["values"], numbers_of(tensor)[:SHOWN]):
            faults.append(f"{name}: {found['values']}, not {numbers_of(tensor)[:SHOWN]}")
        elif tensor.is_complex() and found["readable"]:
            faults.append(f"{name}: complex numbers are not read")
    for key, value in metadata.items():
        if about["metadata"].get(key) != value:
            faults.append(f"metadata {key} is {about['metadata'].get(key)!r}, not {value!r}")
    return faults


def check(program, path, metadata):
    done = subprocess.run([program, str(path)], capture_output=True, check=False)
    if done.returncode not in (0, 1):
        return [f"ended with {done.returncode}: {done.stderr.decode()[-2000:]}"]
    loaded = torch.load(path, weights_only=False)
    return compare(json.loads(done.stdout), loaded, metadata)


def variants(name):
    for zipped in (True, False):
        for protocol in (2, 3, 4, 5):
            yield f"{name}-{'zip' if zipped else 'legacy'}-{protocol}.pt", zipped, protocol


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--keep")
    arguments = parser.parse_args()
    count = failed = 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(arguments.keep or scratch)
        folder.mkdir(exist_ok=True)
        for name, value, metadata in objects():
            for file, zipped, protocol in variants(name):
                path = folder / file
                try:
                    torch.save(value, path, pickle_protocol=protocol,
                               _use_new_zipfile_serialization=zipped)
                    torch.load(path, weights_only=False)
                except Exception as error:
                    print(f"{file}: torch itself: {str(error)[:100]}")
                    continue
                count += 1
                faults = check(arguments.program, path, metadata)
                failed += bool(faults)
                for fault in faults:
                    print(f"{file}: {fault}")
    print(f"torch {torch.__version__}: {count} files, {failed} differ")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
