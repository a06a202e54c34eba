#!/usr/bin/env python3
"""PyTorch's side of the epoch benchmark: one epoch of `cnn` on Fashion-MNIST, batches of 128 in a new
random order, from IDX files in SONDE_DATA/fashion-mnist (plain or .gz), pixels kept as bytes and
normalised batch by batch, everything in memory before the clock starts.

    bench/peer_epoch.py [--variant NAME] [--threads 2]

Prints one JSON line {net, variant, threads, seconds, images_per_s, ms_step_median, loss, rss_loaded_mb,
peak_rss_mb}. `ms_step_median` is that of the steps without fetching the batch.
"""
import argparse
import gzip
import json
import math
import os
import statistics
import struct
import sys
import time

import peer_nets


def read_idx(folder, name, dimensions):
    """The values behind the header, read without a second copy."""
    path = os.path.join(folder, name)
    if not os.path.exists(path) and not os.path.exists(path + ".gz"):
        sys.exit("%s(.gz) is missing: set SONDE_DATA to the folder that holds fashion-mnist/" % path)
    with open(path, "rb") if os.path.exists(path) else gzip.open(path + ".gz") as file:
        header = struct.unpack(">%dI" % (dimensions + 1), file.read(4 * (dimensions + 1)))
        values, got = bytearray(math.prod(header[1:])), 0
        while got < len(values):
            read = file.readinto(memoryview(values)[got:])
            if not read:
                sys.exit(path + " ends too early")
            got += read
    return values


def load(part):
    import torch
    folder = os.path.join(os.environ.get("SONDE_DATA", ""), "fashion-mnist")
    images = read_idx(folder, part + "-images-idx3-ubyte", 3)
    labels = read_idx(folder, part + "-labels-idx1-ubyte", 1)
    return (torch.frombuffer(images, dtype=torch.uint8).reshape(-1, 1, 28, 28),
            torch.frombuffer(labels, dtype=torch.uint8).long())


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--variant", default="channels_last+fused+malloc",
                        choices=list(peer_nets.VARIANTS))
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    wanted = peer_nets.environment(options.variant, options.threads)
    if any(os.environ.get(k) != v for k, v in wanted.items()):
        os.execve(sys.executable, [sys.executable] + sys.argv, wanted)
    import torch
    images, labels = load("train")
    counts = torch.bincount(images.flatten(), minlength=256).double()
    levels = torch.arange(256, dtype=torch.float64) / 255
    mean = ((counts * levels).sum() / counts.sum()).item()
    deviation = ((counts * (levels - mean) ** 2).sum() / counts.sum()).sqrt().item()
    rss_loaded = peer_nets.peak_rss_mb()
    trainer = peer_nets.Trainer("cnn", options.variant, options.threads)
    normal = lambda bytes_: (bytes_.float() / 255 - mean) / deviation
    for _ in range(3):
        trainer.step(normal(images[:128]), labels[:128])
    count, batch, steps, total = len(labels), 128, [], 0.0
    begin = time.perf_counter()
    order = torch.randperm(count)
    for i in range(0, count - batch + 1, batch):
        chosen = order[i:i + batch]
        x, y = normal(images[chosen]), labels[chosen]
        step_begin = time.perf_counter()
        total += trainer.step(x, y).item()
        steps.append(1e3 * (time.perf_counter() - step_begin))
    seconds = time.perf_counter() - begin
    print(json.dumps(dict(net="cnn", variant=options.variant, threads=options.threads,
                          seconds=round(seconds, 3), images_per_s=round(len(steps) * batch / seconds),
                          ms_step_median=round(statistics.median(steps), 3),
                          loss=round(total / len(steps), 4), rss_loaded_mb=round(rss_loaded, 1),
                          peak_rss_mb=round(peer_nets.peak_rss_mb(), 1))))


if __name__ == "__main__":
    main()
