#!/usr/bin/env python3
"""The head-gradient norm as one would write it in numpy and torch: JSON lines beside bench_head's.

    python3 bench/peer_head.py [rows outputs features]...
"""
import json
import sys
import time

import numpy as np

SIZES = [(128, 1000, 2048), (128, 10, 512), (128, 100, 64), (256, 100, 512)]


def best_ms(work, seconds=1.0):
    times, begin = [], time.perf_counter()
    while len(times) < 5 or (time.perf_counter() - begin < seconds and len(times) < 200):
        start = time.perf_counter()
        value = work()
        times.append(time.perf_counter() - start)
    return value, min(times) * 1e3, sorted(times)[len(times) // 2] * 1e3


def say(peer, size, work):
    value, best, median = best_ms(work)
    rows, outputs, features = size
    print(json.dumps({"bench": "head", "peer": peer, "rows": rows, "outputs": outputs,
                      "features": features, "ms": round(best, 4), "ms_median": round(median, 4),
                      "raw": float(value)}), flush=True)


def numpy_direct(z, o, y):
    p = np.exp(o - o.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    p[np.arange(len(y)), y] -= 1
    return np.linalg.norm(p.T @ z) / len(y)


def numpy_gram(z, o, y):
    p = np.exp(o - o.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    p[np.arange(len(y)), y] -= 1
    return np.sqrt(np.sum((p @ p.T) * (z @ z.T))) / len(y)


def main():
    arguments = [int(a) for a in sys.argv[1:]]
    sizes = list(zip(arguments[::3], arguments[1::3], arguments[2::3])) or SIZES
    for size in sizes:
        rows, outputs, features = size
        random = np.random.default_rng(1)
        z = np.maximum(random.standard_normal((rows, features)), 0).astype(np.float32)
        o = random.standard_normal((rows, outputs)).astype(np.float32)
        y = np.arange(rows) % outputs
        say("numpy float32 direct", size, lambda: numpy_direct(z, o, y))
        z64, o64 = z.astype(np.float64), o.astype(np.float64)
        say("numpy float64 direct", size, lambda: numpy_direct(z64, o64, y))
        say("numpy float64 gram", size, lambda: numpy_gram(z64, o64, y))
        try:
            import torch
        except ImportError:
            continue
        tz, to, ty = torch.from_numpy(z), torch.from_numpy(o), torch.from_numpy(y)

        def torch_direct():
            p = torch.softmax(to, 1)
            p[torch.arange(len(ty)), ty] -= 1
            return torch.linalg.norm(p.T @ tz) / len(ty)

        say("torch float32 direct", size, torch_direct)


if __name__ == "__main__":
    main()
