#!/usr/bin/env python3
"""The proxies of zero-cost-nas, NASLib and DisWOT beside ours, on the same weights and the same batch.

    python3 scripts/compare-zerocost.py --peers DIR [--build build] [--cells 20] [--seed 1]
                                        [--work build/evidence/zerocost] [--peers-only]

DIR (or SONDE_PEERS) holds clones of the peers, as bench/peer_code.py lists them; SONDE_DATA holds
cifar-10-30k/ and nasbench201/. Cells of NAS-Bench-201 are drawn by the seed, built by zero-cost-nas'
own network with PyTorch's initialisation and saved under its own names; `sonde score` reads them.
Each measure of the peers also runs once in double precision: what float rounding does to the peer
itself is printed beside how far ours is from it. Ends with status 1 if any difference to the double
values is over its bound (1e-3 relative; synflow, in double with both, 1e-9; l2_norm 1e-5).

What the peers measured is kept under --work and not measured again.
"""
import argparse
import json
import os
import random
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "bench"))
import peer_code  # noqa: E402

import torch  # noqa: E402

NASLIB = ("nwot", "epe_nas")
BOUNDS = {"synflow": 1e-9, "synflow_bn": 1e-9, "l2_norm": 1e-5}
BOUND = 1e-3


def measure_cell(zero_cost, naslib, net, x, y):
    """Every measure of both peers, in the default precision of the moment."""
    values = zero_cost.measure(net, x, y, zero_cost.MEASURES + ("synflow_bn",))
    values["l2_norm"] = zero_cost.l2_norm(net, x, y)
    for name in NASLIB:
        values[name] = naslib.measure(name, net, x.clone(), y)
    return values


def double_of(zero_cost, naslib, net, cell, x, y):
    """The same with every weight and the batch in double precision."""
    torch.set_default_dtype(torch.float64)
    try:
        exact = zero_cost.network(cell)
        exact.load_state_dict(net.state_dict())
        return measure_cell(zero_cost, naslib, exact, x.double(), y)
    finally:
        torch.set_default_dtype(torch.float32)


def measure_peers(options, folder):
    """Writes weights.safetensors and peer.json of every cell, and the batch; returns the cells."""
    zero_cost, naslib = peer_code.ZeroCostNas(options.peers), peer_code.NasLib(options.peers)
    all_cells = [row[0] for row in peer_code.cells()]
    chosen = random.Random(options.seed).sample(all_cells, options.cells)
    x, y = peer_code.cifar(options.batch, seed=options.seed)
    os.makedirs(folder, exist_ok=True)
    peer_code.save(os.path.join(folder, "batch.safetensors"), {"x": x, "y": y})
    for number, cell in enumerate(chosen):
        path = os.path.join(folder, f"{number:02}.json")
        if os.path.exists(path):
            continue
        print(f"{number + 1} of {len(chosen)}: {cell}", file=sys.stderr, flush=True)
        torch.manual_seed(options.seed * 1000 + number)
        net = zero_cost.network(cell)
        peer_code.save(path.replace(".json", ".safetensors"), zero_cost.state(net))
        state = {key: value.clone() for key, value in net.state_dict().items()}
        peer = measure_cell(zero_cost, naslib, net, x.clone(), y)
        net.load_state_dict(state)
        exact = double_of(zero_cost, naslib, net, cell, x, y)
        with open(path, "w") as file:
            json.dump({"cell": cell, "float": peer, "double": exact}, file, indent=1)
    return [(number, cell) for number, cell in enumerate(chosen)]


def ours(options, folder, number, cell):
    command = [os.path.join(options.build, "sonde"), "score", "--arch", "nb201:" + cell, "--weights",
               os.path.join(folder, f"{number:02}.safetensors"), "--input",
               os.path.join(folder, "batch.safetensors"), "--threads", str(options.threads),
               "--json", "--quiet"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    return {score["name"]: score["value"] for score in json.loads(done.stdout)["networks"][0]["scores"]}


def relative(a, b):
    if a is None or a != a:
        return 0.0 if b != b else float("inf")
    return abs(a - b) / max(abs(b), 1e-300)


def magnitude(value, name, exact):
    """A signed sum is compared on the scale of what it sums: plain on that of snip."""
    return relative(value, exact[name]) if name != "plain" else abs(value - exact[name]) / exact["snip"]


def compare(options, folder, chosen):
    """{measure: [(ours to double, float to double) of each cell]}."""
    differences = {}
    for number, cell in chosen:
        with open(os.path.join(folder, f"{number:02}.json")) as file:
            peer = json.load(file)
        mine = ours(options, folder, number, cell)
        for name, exact in peer["double"].items():
            if name in mine:
                differences.setdefault(name, []).append(
                    (magnitude(mine[name], name, peer["double"]),
                     magnitude(peer["float"][name], name, peer["double"])))
    return differences


def print_table(differences, count):
    print("*Made by `scripts/compare-zerocost.py --peers DIR > docs/evidence/zerocost.md`.*\n")
    print(f"Relative difference over {count} cells, median and largest, and in how many cells it is within the "
          "bound; `plain`, a signed sum whose parts cancel, relative to `snip`, the sum of their absolute values.\n")
    print("| proxy | bound | ours, to the peer in double | within | the peer in float, to itself in double | within |\n"
          "|---|---|---|---|---|---|")
    failed = []
    for name, rows in differences.items():
        bound = BOUNDS.get(name, BOUND)
        cells = [f"{bound:.0e}"]
        for column in list(zip(*rows))[:2]:
            column = sorted(column)
            within = sum(value <= bound for value in column)
            cells += [f"{column[len(column) // 2]:.1e}, {column[-1]:.1e}", f"{within} of {len(column)}"]
        print(f"| {name} | " + " | ".join(cells) + " |")
        mine, theirs = (sorted(column) for column in list(zip(*rows))[:2])
        within = [sum(value <= bound for value in column) for column in (mine, theirs)]
        if mine[len(mine) // 2] > bound or within[0] < min(0.8 * len(mine), within[1]):
            failed.append(name)
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", help="folder of the peers' clones (or SONDE_PEERS)")
    parser.add_argument("--build", default=os.path.join(ROOT, "build"), help="folder of the command sonde")
    parser.add_argument("--cells", type=int, default=20)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch")
    parser.add_argument("--work", default=os.path.join(ROOT, "build", "evidence", "zerocost"))
    parser.add_argument("--peers-only", action="store_true", help="measure the peers, compare nothing")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    chosen = measure_peers(options, options.work)
    if options.peers_only:
        return
    differences = compare(options, options.work, chosen)
    failed = print_table(differences, len(chosen))
    if failed:
        sys.exit("over the bound: " + ", ".join(failed))


if __name__ == "__main__":
    main()
