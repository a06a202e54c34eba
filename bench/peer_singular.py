#!/usr/bin/env python3
"""Singular values: numpy in double and PyTorch in float against bench_singular, as a Markdown table.

    bench/peer_singular.py --build DIR [--rounds 3] [--shapes 1024x4096,4096x4096,4096x14336]

In every round each of the three runs once on every shape, taking turns, in a process of its own. The
peers take one matrix after the other with all cores; ours takes as many at once as there are cores,
one thread each; times are seconds a matrix. Ratios are formed within a round; the table has their
median and range, and the share of the machine that other processes took in the worst round.
"""
import argparse
import json
import os
import statistics
import sys
import time

from compare import Run, find_program

PEERS = {"numpy": "numpy.linalg.svd(compute_uv=False), double",
         "torch": "torch.linalg.svdvals, float"}


def work(peer, rows, cols):
    """One JSON line: the best of as many runs as fit into two seconds, at least one."""
    import numpy as np
    single = np.random.default_rng(7).standard_normal((rows, cols)).astype(np.float32)
    if peer == "numpy":
        double = single.astype(np.float64)
        call = lambda: np.linalg.svd(double, compute_uv=False)
    else:
        import torch
        torch.set_num_threads(os.cpu_count())
        matrix = torch.from_numpy(single)
        call = lambda: torch.linalg.svdvals(matrix)
    small = np.ones((64, 64))
    np.linalg.svd(small, compute_uv=False)  # wakes the threads
    best, begin = float("inf"), time.perf_counter()
    while best == float("inf") or time.perf_counter() - begin < 2:
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    print(json.dumps({"peer": peer, "rows": rows, "cols": cols, "seconds": best}))


def environment():
    """Peers get the kernels that ours asks for; their libraries mostly choose them by themselves."""
    chosen = dict(os.environ)
    with open("/proc/cpuinfo") as file:
        flags = file.read()
    chosen.setdefault("OPENBLAS_CORETYPE", "SkylakeX" if "avx512vl" in flags else "Haswell")
    return chosen


def seconds(command):
    run = Run(command, environment())
    if run.status != 0 or not run.lines:
        print("%s: %s" % (command[0], run.error or "no result"), file=sys.stderr)
        return None, run.others
    return run.lines[-1]["seconds"], run.others


def compare_shape(program, rows, cols, rounds):
    times = {"ours": [], "numpy": [], "torch": []}
    disturbed = 0
    for _ in range(rounds):
        for who in times:
            size = [str(rows), str(cols)]
            command = [program] + size if who == "ours" else \
                [sys.executable, os.path.abspath(__file__), "--work", who] + size
            taken, others = seconds(command)
            times[who].append(taken)
            disturbed = max(disturbed, others)
    cells = []
    for who in PEERS:
        ratios = [t / o for t, o in zip(times[who], times["ours"]) if t and o]
        cells.append("-" if not ratios else "%.3f s, **%.2fx** (%.2f-%.2f)" % (
            statistics.median(t for t in times[who] if t), statistics.median(ratios), min(ratios),
            max(ratios)))
    ours = [t for t in times["ours"] if t]
    print("| %d x %d | %s | %s | %.0f %% |" % (
        rows, cols, "%.3f s" % statistics.median(ours) if ours else "-", " | ".join(cells),
        100 * disturbed), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--build", help="build folder with bench_singular")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shapes", default="1024x4096,4096x4096,4096x14336")
    parser.add_argument("--work", nargs=3, metavar=("PEER", "ROWS", "COLS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        return work(options.work[0], int(options.work[1]), int(options.work[2]))
    program = find_program(options.build or ".", "bench_singular")
    if not program:
        sys.exit("no bench_singular in %s: build it first" % options.build)
    print("| matrix | ours, all values | %s | %s | others |" % tuple(PEERS.values()))
    print("|---|---|---|---|---|")
    for shape in options.shapes.split(","):
        rows, cols = shape.split("x")
        compare_shape(program, int(rows), int(cols), options.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
