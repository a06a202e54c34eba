#!/usr/bin/env python3
"""Makes the files of this folder with torch, and expected.txt with what torch.load reads from them.

    python3 tests/golden/torch/make_torch.py

Lines of expected.txt: "file NAME", then for each tensor "tensor NAME NUMBER DIMS SIZES... VALUES..."
(row-major, as C hexadecimal floats; none for complex numbers), and "metadata KEY VALUE".
"""
import argparse
import collections
import math
import pathlib

import torch

HERE = pathlib.Path(__file__).parent
NUMBERS = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2",
    torch.float8_e4m3fnuz: "F8_E4M3FNUZ", torch.float8_e5m2fnuz: "F8_E5M2FNUZ",
    torch.float8_e8m0fnu: "F8_E8M0", torch.int64: "I64", torch.int32: "I32", torch.int16: "I16",
    torch.int8: "I8", torch.uint64: "U64", torch.uint32: "U32", torch.uint16: "U16",
    torch.uint8: "U8", torch.bool: "BOOL", torch.complex64: "C64", torch.complex128: "C128",
}
NEW = ("F8", "U64", "U32", "U16")


def numbers(new):
    state = collections.OrderedDict()
    for dtype, name in NUMBERS.items():
        if name.startswith(NEW) and not new:
            continue
        values = [0.0, 1.0, -2.0, 0.3125, 240.0]
        if dtype == torch.float8_e8m0fnu:
            values = [1.0, 2.0, 0.25, 1024.0, 2.0**-60]
        elif not dtype.is_floating_point and not dtype.is_complex and dtype != torch.bool:
            values = [0, 1, 2, 3, 100]
        state[name] = torch.tensor(values).to(dtype)
    state["special"] = torch.tensor([math.nan, math.inf, -math.inf, -0.0, 1e-45])
    state["extreme"] = torch.tensor([2**63 - 1, -2**63, 2**53 + 1])
    return state


def layouts():
    whole = torch.arange(12.0).reshape(3, 4)
    return {
        "whole": whole, "transposed": whole.t(), "sliced": whole[1:, 2:], "stepped": whole[::2, ::3],
        "expanded": torch.arange(3.0).expand(2, 3), "alone": torch.tensor(7.5),
        "alone_within": whole[2, 3], "empty": torch.empty(0, 4), "empty_within": whole[:, 4:],
        "permuted": torch.arange(8.0).reshape(2, 2, 2).permute(2, 0, 1), "tied": whole,
        "flat": whole.view(12),
    }


def training():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.125)
    model(torch.randn(5, 2)).sum().backward()
    optimizer.step()
    return {
        "epoch": 17, "best_prec1": 93.5, "arch": "mlp", "done": True, "nothing": None,
        "state_dict": model.state_dict(), "optimizer": optimizer.state_dict(),
        "args": argparse.Namespace(lr=0.5, name="run"),
        "ema": [torch.ones(2), (torch.zeros(1), {"deep": torch.full((1,), 4.0)})],
        "parameter": torch.nn.Parameter(torch.ones(2)), 5: torch.tensor([5.0]),
        "groups": collections.defaultdict(list, x=[torch.tensor(1)]),
    }


METADATA = {"epoch": "17", "best_prec1": "93.5", "arch": "mlp", "done": "true", "args.lr": "0.5",
            "args.name": "run", "optimizer.param_groups.0.lr": "0.125"}


def walk(value, path=""):
    if isinstance(value, torch.Tensor):
        yield path or "tensor", value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from walk(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            yield from walk(item, f"{path}.{i}" if path else str(i))


def line_of(name, tensor):
    flat = tensor.detach().flatten()
    exact = not (tensor.dtype.is_floating_point or tensor.is_complex())
    values = [] if tensor.is_complex() else flat.tolist() if exact else flat.double().tolist()
    fields = ["tensor", name, NUMBERS[tensor.dtype], str(tensor.dim()), *map(str, tensor.shape)]
    return " ".join(fields + [float(each).hex() for each in values])


def main():
    torch.manual_seed(3)
    files = [("numbers.pt", numbers(True), 2, True, {}), ("layouts.pt", layouts(), 4, True, {}),
             ("training.pt", training(), 2, True, METADATA), ("tensor.pt", torch.arange(5), 5, True, {}),
             ("numbers-legacy.pt", numbers(False), 2, False, {}),
             ("layouts-legacy.pt", layouts(), 3, False, {}),
             ("training-legacy.pt", training(), 2, False, METADATA)]
    lines = []
    for name, value, protocol, zipped, metadata in files:
        torch.save(value, HERE / name, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
        lines.append(f"file {name}")
        loaded = torch.load(HERE / name, weights_only=False)
        lines += [line_of(*each) for each in walk(loaded)]
        lines += [f"metadata {key} {text}" for key, text in metadata.items()]
    (HERE / "expected.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
