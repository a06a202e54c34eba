#!/usr/bin/env python3
"""Opening and listing the files of `bench_open FOLDER` with the safetensors library: JSON lines.

    build/bench/bench_open FOLDER
    python3 bench/peer_open.py FOLDER

Two ways: every tensor's shape and format through safe_open and get_slice, as one lists with the
library; and names alone, the least that it can be asked for.
"""
import json
import os
import resource
import sys
import time

from safetensors import safe_open


def files_of(folder):
    index = os.path.join(folder, "model.safetensors.index.json")
    if not os.path.exists(index):
        return [os.path.join(folder, "model.safetensors")]
    with open(index, encoding="utf-8") as file:
        shards = dict.fromkeys(json.load(file)["weight_map"].values())
    return [os.path.join(folder, shard) for shard in shards]


def shapes(folder):
    count = 0
    for path in files_of(folder):
        with safe_open(path, framework="numpy") as file:
            for name in file.keys():
                piece = file.get_slice(name)
                count += len(piece.get_shape()) == 2 and piece.get_dtype() == "BF16"
    return count


def names(folder):
    count = 0
    for path in files_of(folder):
        with safe_open(path, framework="numpy") as file:
            count += len(file.keys())
    return count


def main():
    for number in ("1", "2", "3"):
        folder = os.path.join(sys.argv[1], number)
        for what, work in (("shapes and formats", shapes), ("names", names)):
            times, begin = [], time.perf_counter()
            while len(times) < 5 or (len(times) < 50 and time.perf_counter() - begin < 2):
                start = time.perf_counter()
                count = work(folder)
                times.append(time.perf_counter() - start)
            print(json.dumps({
                "bench": "open", "peer": "safetensors", "set": number, "what": what,
                "tensors": count, "ms": round(min(times) * 1e3, 3),
                "ms_median": round(sorted(times)[len(times) // 2] * 1e3, 3),
                "resident_kb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}), flush=True)


if __name__ == "__main__":
    main()
