#!/usr/bin/env python3
"""WeightWatcher's time on the matrices of a model file, as JSON lines; run by scripts/bench-model.

    pip install weightwatcher==0.7.7 torch        (in an environment of its own)
    python3 bench/peer_weightwatcher.py FILE [PATTERN]

One matrix of each shape is measured and counted as often as the shape occurs: it takes a quarter of a
minute for one. `analyze()` with its defaults (singular values and the power law; no fit of the
Marchenko-Pastur law, no randomisation), on all cores, from float32 layers in memory, so that reading the
file is not counted against it.
"""
import contextlib
import fnmatch
import io
import json
import logging
import re
import struct
import sys
import time
import warnings

import numpy as np

BLOCKS = 32


def tensors(path):
    """Name, shape and float32 numbers (a function) of each matrix of a bf16 or f32 safetensors file."""
    with open(path, "rb") as file:
        size = struct.unpack("<Q", file.read(8))[0]
        header = json.loads(file.read(size))
    for name, about in header.items():
        if name == "__metadata__" or len(about["shape"]) != 2:
            continue

        def read(about=about):
            first, last = about["data_offsets"]
            words = np.uint16 if about["dtype"] == "BF16" else np.float32
            stored = np.memmap(path, words, "r", 8 + size + first, (last - first) // np.dtype(words).itemsize)
            if about["dtype"] == "BF16":
                return (stored.astype(np.uint32) << 16).view(np.float32).reshape(about["shape"])
            return np.array(stored).reshape(about["shape"])

        yield name, tuple(about["shape"]), read


def seconds_of(numbers):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        import torch
        import weightwatcher
    logging.getLogger(weightwatcher.constants.WW_NAME).setLevel(logging.CRITICAL)
    rows, cols = numbers.shape
    layer = torch.nn.Linear(cols, rows, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(numbers))
    model = torch.nn.Sequential(layer)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        begin = time.perf_counter()
        details = weightwatcher.WeightWatcher(model=model).analyze()
        taken = time.perf_counter() - begin
    return taken, float(details.alpha.iloc[0])


def main():
    warnings.simplefilter("ignore")
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    pattern = sys.argv[2] if len(sys.argv) > 2 else "*"
    seconds_of(np.random.default_rng(0).standard_normal((64, 96)).astype(np.float32))  # imports
    shapes, blocks, total, of_blocks = {}, set(), 0, 0
    for name, shape, read in tensors(sys.argv[1]):
        if not fnmatch.fnmatch(name, pattern):
            continue
        key = tuple(sorted(shape))
        if key not in shapes:
            shapes[key], alpha = seconds_of(read())
            print(json.dumps({"bench": "weightwatcher_layer", "name": name, "rows": shape[0], "cols": shape[1],
                              "seconds": round(shapes[key], 2), "alpha": round(alpha, 2)}), flush=True)
        total += shapes[key]
        block = re.match(r"model\.layers\.(\d+)\.", name)
        if block:
            blocks.add(block[1])
            of_blocks += shapes[key]
    all_blocks = of_blocks * BLOCKS / len(blocks) + total - of_blocks if blocks else 0
    print(json.dumps({"bench": "weightwatcher", "seconds": round(total, 1), "blocks": len(blocks),
                      "minutes_for_32_blocks": round(all_blocks / 60, 2)}))


if __name__ == "__main__":
    main()
