#!/usr/bin/env python3
"""All seven proxies of zero-cost-nas on cells of NAS-Bench-201, by its own code: beside `sonde score`.

    python3 bench/peer_proxies.py [--peers DIR] [--cell CELL]... [--batch 64] [--threads 2] [--repeats 3]

Prints a JSON line a cell: {peer, cell, batch, threads, seconds, seconds_min, measures}.
"""
import argparse
import json
import statistics
import time

import peer_code
import torch

# Every edge a 3x3 convolution: the largest cell.
LARGEST = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|"
# One 3x3 convolution and three 1x1: as many multiply-adds as the mean over all 15,625 cells.
AVERAGE = "|nor_conv_3x3~0|+|nor_conv_1x1~0|nor_conv_1x1~1|+|skip_connect~0|nor_conv_1x1~1|avg_pool_3x3~2|"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--peers", help="folder of the peers' clones (or SONDE_PEERS)")
    parser.add_argument("--cell", action="append")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    peer = peer_code.ZeroCostNas(options.peers)
    x, y = peer_code.cifar(options.batch)
    for cell in options.cell or (AVERAGE, LARGEST):
        net, times = peer.network(cell), []
        peer.measure(net, x, y, ("grad_norm",))  # warm up
        for _ in range(options.repeats):
            begin = time.perf_counter()
            peer.measure(net, x, y)
            times.append(time.perf_counter() - begin)
        print(json.dumps({"bench": "proxies", "peer": "zero-cost-nas", "cell": cell, "batch": options.batch,
                          "threads": options.threads, "seconds": round(statistics.median(times), 4),
                          "seconds_min": round(min(times), 4), "measures": list(peer.MEASURES)}), flush=True)


if __name__ == "__main__":
    main()
