#!/usr/bin/env python3
"""Gradient signals against the peers' own code, alternating in one run, as a Markdown table.

    python3 bench/compare_gradients.py --build DIR [--peers DIR] [--rounds 3] [--only tpv,proxies,norms,prune]

DIR is a build folder with sonde, bench_tpv and bench_example_norms; --peers (or SONDE_PEERS) names the
clones that bench/peer_code.py lists, SONDE_DATA the images. Both sides use two threads. A ratio is
formed within a round; the table shows the median of the rounds, their range, and the most that other
processes took of the machine meanwhile (ratios over a few percent of that say little).
"""
import argparse
import os
import statistics
import sys

from compare import Run, find_program, say

HERE = os.path.dirname(os.path.abspath(__file__))
THREADS = "2"
# As in peer_proxies.py.
AVERAGE = "|nor_conv_3x3~0|+|nor_conv_1x1~0|nor_conv_1x1~1|+|skip_connect~0|nor_conv_1x1~1|avg_pool_3x3~2|"
LARGEST = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|"
SEVEN = "grad_norm,snip,plain,grasp,fisher,synflow,jacob_cov"


def blas_core():
    """As the command chooses it (src/num/blas_core.c), for programs that do not start themselves again."""
    with open("/proc/cpuinfo") as file:
        flags = file.read()
    return os.environ.get("OPENBLAS_CORETYPE") or ("SkylakeX" if "avx512vl" in flags else "Haswell")


class Bench:
    def __init__(self, options):
        self.options, self.others = options, 0.0

    def run(self, command, environment=None):
        run = Run(command, environment)
        if run.status != 0 or not run.lines:
            sys.exit("%s\n%s" % (" ".join(command), run.error))
        self.others = max(self.others, run.others)
        return run.lines

    def ours(self, name, *arguments):
        program = find_program(self.options.build, name)
        if not program:
            sys.exit("%s holds no %s: build it first" % (self.options.build, name))
        return self.run([program, *arguments], dict(os.environ, OPENBLAS_CORETYPE=blas_core()))

    def peer(self, script, *arguments):
        command = [sys.executable, os.path.join(HERE, script), "--threads", THREADS, *arguments]
        if self.options.peers and script != "peer_norms.py":
            command += ["--peers", self.options.peers]
        return self.run(command)


# Each returns {row: (ours, peer)} of one round, in seconds.

def tpv(bench):
    ours = {line["draws"]: line["seconds"] for line in bench.ours("bench_tpv", THREADS, "1")}
    peer = bench.peer("peer_tpv.py", "--draws", "100")[-1]["seconds"]
    return {"TPV trace of ResNet-20, 2,000 inputs, one sign draw an input (both)": (ours[1], peer),
            "the same, ours exact: the sum over 10 outputs": (ours[0], peer)}


def proxies(bench):
    rows = {}
    for title, cell in (("average", AVERAGE), ("largest", LARGEST)):
        peer = bench.peer("peer_proxies.py", "--cell", cell, "--repeats", "1")[-1]["seconds"]
        ours = bench.ours("sonde", "score", "--arch", "nb201:" + cell, "--data", "cifar-10", "--data-dir",
                          os.path.join(os.environ.get("SONDE_DATA", ""), "cifar-10-30k"), "--proxy", SEVEN,
                          "--threads", THREADS, "--json", "--quiet")
        rows["seven proxies, %s NB201 cell, batch 64" % title] = (ours[-1]["networks"][0]["seconds"], peer)
    return rows


def norms(bench):
    ours = [line for line in bench.ours("bench_example_norms", THREADS, "2") if line["net"] == "resnet20"][0]
    peer = {line["peer"]: line["ms_min"] / 1e3 for line in bench.peer("peer_norms.py", "--seconds", "2")}
    mine = ours["example_norms_ms"] / 1e3
    return {"per-example gradient norms, ResNet-20, batch 128, against our plain backward pass":
            (mine, ours["backward_train_ms"] / 1e3),
            "the same (backward pass alone) against torch.func's vmap (forward included)": (mine, peer["vmap"]),
            "the same against hooks, as Opacus does": (mine, peer["hooks"])}


BENCHES = {"tpv": tpv, "proxies": proxies, "norms": norms}


def cell(values, form):
    return form % statistics.median(values)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--build", required=True)
    parser.add_argument("--peers", help="folder of the peers' clones (or SONDE_PEERS)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default=",".join(BENCHES))
    options = parser.parse_args()
    rows, others = {}, {}
    for i in range(options.rounds):
        for name in options.only.split(","):
            say("round %d of %d: %s" % (i + 1, options.rounds, name))
            bench = Bench(options)
            for title, pair in BENCHES[name](bench).items():
                rows.setdefault(title, []).append(pair)
                others[title] = max(others.get(title, 0), bench.others)
    print("| what | ours, s | the peer, s | peer / ours | others' share |\n|---|---|---|---|---|")
    for title, pairs in rows.items():
        ratios = [peer / ours for ours, peer in pairs]
        print("| %s | %s | %s | **%s** (%.2f-%.2f) | %.0f %% |" % (
            title, cell([p[0] for p in pairs], "%.3f"), cell([p[1] for p in pairs], "%.3f"),
            cell(ratios, "%.2fx"), min(ratios), max(ratios), 100 * others[title]))


if __name__ == "__main__":
    main()
