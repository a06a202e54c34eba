#!/usr/bin/env python3
"""The trace of TPV as its repository estimates it (one input, one Rademacher vector, one backward pass a
draw), on the trained ResNet-20, beside bench_tpv.

    python3 bench/peer_tpv.py [--peers DIR] [--draws 200] [--inputs 2000] [--threads 2]

Prints one JSON line: {peer, draws, inputs, threads, ms_per_draw, seconds, trace, standard_error};
`seconds` is for as many draws as there are inputs, extrapolated from those timed. SONDE_DATA holds
cifar-resnets/ and cifar-10-30k/.
"""
import argparse
import json
import statistics
import time

import peer_code
import peer_nets
import torch

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # what this network was trained with


def trained():
    """peer_nets' ResNet-20 with the trained weights; its blocks are numbered through."""
    state, blocks = {}, {"layer1": 0, "layer2": 3, "layer3": 6}
    for key, value in peer_code.trained_resnet("resnet20").items():
        parts = key.split(".")
        if parts[0] in blocks:
            parts = ["layers", str(blocks[parts[0]] + int(parts[1]))] + parts[2:]
        state[".".join(parts)] = value
    net = peer_nets.ResNet20()
    net.load_state_dict(state)
    return net.eval()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--peers", help="folder of the peers' clones (or SONDE_PEERS)")
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--inputs", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    estimator, net = peer_code.tpv_base(options.peers), trained()
    x, _ = peer_code.cifar(options.inputs, mean=MEAN, deviation=DEVIATION)
    estimator.compute_hutchinson_trace_heff(net, x, n_samples=5)  # warm up
    parts, times = [], []  # ten at a time, so that a spread is seen
    for _ in range(max(2, options.draws // 10)):
        begin = time.perf_counter()
        parts.append(estimator.compute_hutchinson_trace_heff(net, x, n_samples=10))
        times.append((time.perf_counter() - begin) / 10)
    each = statistics.median(times)
    print(json.dumps({"bench": "tpv", "peer": "TPV repository", "draws": 10 * len(parts),
                      "inputs": options.inputs, "threads": options.threads, "ms_per_draw": round(1e3 * each, 3),
                      "seconds": round(each * options.inputs, 3), "trace": statistics.mean(parts),
                      "standard_error": statistics.stdev(parts) / len(parts) ** 0.5}))


if __name__ == "__main__":
    main()
