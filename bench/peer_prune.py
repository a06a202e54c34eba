#!/usr/bin/env python3
"""One pruning of ResNet-56 (option B) by torch-pruning: dependencies, importance, smaller network.

    python3 bench/peer_prune.py [--peers DIR] [--ratio 0.5] [--threads 2] [--repeats 5]

Prints one JSON line a criterion: {peer, criterion, ratio, threads, seconds, parameters}, where `seconds`
is from the network to the smaller one, gradients of one batch of 128 included where they are needed.
The network is that of DisWOT's repository, whose shortcuts torch-pruning can follow.
"""
import argparse
import copy
import json
import statistics
import time

import peer_code
import torch


def prune(tp, net, criterion, ratio, x, y):
    if criterion == "taylor":
        torch.nn.functional.cross_entropy(net(x), y).backward()
        importance = tp.importance.GroupTaylorImportance()
    else:
        importance = tp.importance.GroupMagnitudeImportance(p=1)
    pruner = tp.pruner.MetaPruner(net, x[:1], importance=importance, global_pruning=True, pruning_ratio=ratio,
                                  iterative_steps=1, ignored_layers=[net.fc])
    pruner.step()
    return sum(p.numel() for p in net.parameters())


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--peers", help="folder of the peers' clones (or SONDE_PEERS)")
    parser.add_argument("--ratio", type=float, default=0.5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    tp = peer_code.torch_pruning(options.peers)
    whole = peer_code.DisWot(options.peers).teacher("resnet56", 10).eval()
    x, y = torch.randn(128, 3, 32, 32), torch.randint(0, 10, (128,))
    for criterion in ("l1", "taylor"):
        times = []
        for _ in range(options.repeats):
            net = copy.deepcopy(whole)
            begin = time.perf_counter()
            parameters = prune(tp, net, criterion, options.ratio, x, y)
            times.append(time.perf_counter() - begin)
        print(json.dumps({"bench": "prune", "peer": "torch-pruning", "criterion": criterion,
                          "ratio": options.ratio, "threads": options.threads,
                          "seconds": round(statistics.median(times), 4), "parameters": parameters}), flush=True)


if __name__ == "__main__":
    main()
