#!/usr/bin/env python3
"""DisWOT's metrics, by the losses of its repository, beside ours on students of its space S1.

    python3 scripts/compare-diswot.py --peers DIR [--build build] [--seeds 8]
                                      [--work build/evidence/diswot-peer]

DIR (or SONDE_PEERS) holds a clone of lliai/DisWOT-CVPR2023, as bench/peer_code.py says; SONDE_DATA
holds cifar-10-30k/. First the metrics on the same arrays: gradients and feature maps of the
repository's networks with N(0, 1) weights, through the shared library; ends with status 1 if any
relative difference is over 1e-3. Then whole networks, each with weights of its own, on the same
batch: mean and deviation over seeds, and by how many standard errors the means differ.
"""
import argparse
import ctypes
import json
import os
import statistics
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "bench"))
import peer_code  # noqa: E402

import torch  # noqa: E402

STUDENTS = ("113", "571")
TEACHER = "resnet56"
BOUND = 1e-3
PAPER, REPO, F32 = 0, 1, 2  # of sonde.h


# --- the peer ------------------------------------------------------------------------------------

def gaussian(net, seed):
    """network_weight_gaussian_init of its scripts, which each carry a copy of it."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
                torch.nn.init.normal_(module.weight)
                if module.bias is not None:
                    torch.nn.init.zeros_(module.bias)
            elif isinstance(module, torch.nn.BatchNorm2d):
                torch.nn.init.ones_(module.weight)
                torch.nn.init.zeros_(module.bias)
    return net.train()


def view(net, x, y):
    """Gradient of the classifier's weights (C x d), feature maps, pooled features."""
    net.zero_grad()
    features, logits = net(x, is_feat=True, preact=False)
    torch.nn.functional.cross_entropy(logits, y).backward()
    return net.fc.weight.grad, features[-2].detach(), features[-1].detach()


def peer_metrics(peer, teacher, student):
    """As its scripts turn losses into scores; lists are its intended use, bare tensors what runs."""
    (tg, tm, tp), (sg, sm, sp) = teacher, student
    return {"semantic": -float(peer.semantic_loss([tg[:, :, None, None]], [sg[:, :, None, None]])[0]),
            "relation, paper": -float(peer.relation_loss([tm], [sm])[0]),
            "relation, repo": -float(peer.relation_loss(tp, sp)[0]),
            "relation, s1": -float(peer.semantic_loss(tm, sm)[0])}


# --- ours ----------------------------------------------------------------------------------------

class Matrix(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("dtype", ctypes.c_int), ("rows", ctypes.c_size_t),
                ("cols", ctypes.c_size_t), ("row_stride", ctypes.c_size_t)]


class Score(ctypes.Structure):
    _fields_ = [("value", ctypes.c_double), ("error_bound", ctypes.c_double), ("direction", ctypes.c_int),
                ("validity", ctypes.c_int)]


class Library:
    def __init__(self, path):
        self.library, self.context = ctypes.CDLL(path), ctypes.c_void_p()
        if self.library.sonde_context_create(None, ctypes.byref(self.context)):
            sys.exit("compare-diswot: no context")

    def score(self, function, tensors, *first):
        kept = [t.detach().contiguous() for t in tensors]
        matrices = [Matrix(t.data_ptr(), F32, *t.shape, 0) for t in kept]
        score = Score()
        status = getattr(self.library, function)(self.context, *first, *map(ctypes.byref, matrices),
                                                 ctypes.byref(score))
        return score.value if status == 0 and score.validity == 0 else float("nan")

    def metrics(self, teacher, student):
        (tg, tm, tp), (sg, sm, sp) = teacher, student
        channels = ctypes.c_size_t(tm.shape[1])
        return {"semantic": self.score("sonde_diswot_semantic", (tg, sg)),
                "relation, paper": self.score("sonde_diswot_relation", (tm.flatten(1), sm.flatten(1)), PAPER),
                "relation, repo": self.score("sonde_diswot_relation", (tp, sp), REPO),
                "relation, s1": self.score("sonde_diswot_channels", (tm[0].flatten(0, 1), sm[0].flatten(0, 1)),
                                           channels)}


def command_scores(options, student, metric):
    """{name: values over seeds} of one student."""
    command = [os.path.join(options.build, "sonde"), "score", "--arch", "s1:" + student, "--teacher",
               TEACHER + ":option=B", "--metric", metric, "--proxy", "diswot_semantic,diswot_relation",
               "--repeat", str(options.seeds), "--input", os.path.join(options.work, "batch.safetensors"),
               "--json", "--quiet"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    return {score["name"]: score["values"] for score in json.loads(done.stdout)["networks"][0]["scores"]}


# --- tables --------------------------------------------------------------------------------------

def compare_arrays(views, library, peer):
    worst = 0.0
    print("*Made by `scripts/compare-diswot.py --seeds 0 --peers DIR > docs/evidence/diswot-arrays.md`.*\n")
    print("| student | metric | the peer | ours | relative difference |\n|---|---|---|---|---|")
    for name, (teacher, student) in views.items():
        theirs, mine = peer_metrics(peer, teacher, student), library.metrics(teacher, student)
        for metric, value in theirs.items():
            difference = abs(mine[metric] - value) / abs(value)
            worst = max(worst, difference if difference == difference else float("inf"))
            print(f"| {name} | {metric} | {value:.6g} | {mine[metric]:.6g} | {difference:.1e} |")
    return worst


def compare_networks(options, peer, x, y):
    print("\n| student | metric | the peer, mean ± deviation | ours | apart, standard errors |\n|---|---|---|---|---|")
    for name in STUDENTS:
        series = {}
        for seed in range(options.seeds):
            teacher = view(gaussian(peer.teacher(TEACHER, 10), 100 + seed), x, y)
            student = view(gaussian(peer.student([int(c) for c in name], num_classes=10), 200 + seed), x, y)
            for metric, value in peer_metrics(peer, teacher, student).items():
                series.setdefault(metric, []).append(value)
        for metric, theirs in series.items():
            mode = metric.split(", ")[-1] if metric != "semantic" else "paper"
            mine = command_scores(options, name, mode)["diswot_" + metric.split(",")[0]]
            spread = [statistics.stdev(v) for v in (theirs, mine)]
            error = ((spread[0] ** 2 + spread[1] ** 2) / options.seeds) ** 0.5
            apart = (statistics.mean(mine) - statistics.mean(theirs)) / error
            print(f"| {name} | {metric} | {statistics.mean(theirs):.3g} ± {spread[0]:.1g} | "
                  f"{statistics.mean(mine):.3g} ± {spread[1]:.1g} | {apart:+.1f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", help="folder of the peers' clones (or SONDE_PEERS)")
    parser.add_argument("--build", default=os.path.join(ROOT, "build"), help="folder of the command sonde")
    parser.add_argument("--library", help="the shared library [below --build]")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--seeds", type=int, default=8, help="0: arrays alone")
    parser.add_argument("--work", default=os.path.join(ROOT, "build", "evidence", "diswot-peer"))
    options = parser.parse_args()
    os.makedirs(options.work, exist_ok=True)
    peer = peer_code.DisWot(options.peers)
    library = Library(options.library or os.path.join(options.build, "src", "libsonde.so"))
    x, y = peer_code.cifar(options.batch, seed=1)
    peer_code.save(os.path.join(options.work, "batch.safetensors"), {"x": x, "y": y})
    teacher = view(gaussian(peer.teacher(TEACHER, 10), 1), x, y)
    views = {name: (teacher, view(gaussian(peer.student([int(c) for c in name], num_classes=10), 2 + i), x, y))
             for i, name in enumerate(STUDENTS)}
    worst = compare_arrays(views, library, peer)
    if options.seeds > 1:
        compare_networks(options, peer, x, y)
    if worst > BOUND:
        sys.exit(f"a difference is over {BOUND:.0e}")


if __name__ == "__main__":
    main()
