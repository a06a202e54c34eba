#!/usr/bin/env python3
"""DisWOT's metrics, by the losses of its repository, beside ours on two students of its space S1.

    python3 scripts/compare-diswot.py --peers DIR [--build build] [--work build/evidence/diswot-peer]

DIR (or SONDE_PEERS) holds a clone of lliai/DisWOT-CVPR2023, as bench/peer_code.py says; SONDE_DATA
holds cifar-10-30k/. Teacher and students are the repository's, with its N(0, 1) weights, saved under
its own names; `sonde score` reads them with the same batch. Modes: `paper` is what the losses are
meant for (lists, so the whole batch; fresh gradients), `repo` what its scripts run (bare tensors, so
the first image alone). Ends with status 1 if any relative difference is over 1e-3.
"""
import argparse
import json
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "bench"))
import peer_code  # noqa: E402

import torch  # noqa: E402

STUDENTS = ("113", "571")
TEACHER = "resnet56"
BOUND = 1e-3


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


def head_gradient(net, x, y):
    net.zero_grad()
    features, logits = net(x, is_feat=True, preact=False)
    torch.nn.functional.cross_entropy(logits, y).backward()
    return [f.detach() for f in features], net.fc.weight.grad.unsqueeze(-1).unsqueeze(-1)


def metrics(peer, teacher, student, x, y):
    """Higher is better, as its scripts turn losses into scores: {mode: {name: value}}."""
    (teacher_features, teacher_head), (features, head) = (head_gradient(n, x, y) for n in (teacher, student))
    semantic = -float(peer.semantic_loss([teacher_head], [head])[0])
    whole = -float(peer.relation_loss([teacher_features[-2]], [features[-2]])[0])
    pooled = -float(peer.relation_loss([teacher_features[-1]], [features[-1]])[0])
    first = -float(peer.relation_loss(teacher_features[-2], features[-2])[0])
    channels = -float(peer.semantic_loss(teacher_features[-2], features[-2])[0])
    return {"paper": {"diswot_semantic": semantic, "diswot_relation": whole, "diswot": semantic + whole},
            "repo": {"diswot_semantic": semantic, "diswot_relation": first, "diswot": semantic + first,
                     "diswot_channels": channels},
            "other": {"relation of pooled features": pooled}}


def ours(options, folder, student, mode):
    command = [os.path.join(options.build, "sonde"), "score", "--arch", "s1:" + student, "--weights",
               os.path.join(folder, student + ".safetensors"), "--teacher", TEACHER + ":option=B",
               "--teacher-weights", os.path.join(folder, TEACHER + ".safetensors"), "--diswot", mode,
               "--input", os.path.join(folder, "batch.safetensors"), "--json", "--quiet"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    return {score["name"]: score["value"] for score in json.loads(done.stdout)["networks"][0]["scores"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", help="folder of the peers' clones (or SONDE_PEERS)")
    parser.add_argument("--build", default=os.path.join(ROOT, "build"), help="folder of the command sonde")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--work", default=os.path.join(ROOT, "build", "evidence", "diswot-peer"))
    parser.add_argument("--peers-only", action="store_true", help="print the peer's values alone")
    options = parser.parse_args()
    os.makedirs(options.work, exist_ok=True)
    peer = peer_code.DisWot(options.peers)
    x, y = peer_code.cifar(options.batch, seed=1)
    peer_code.save(os.path.join(options.work, "batch.safetensors"), {"x": x, "y": y})
    teacher = gaussian(peer.teacher(TEACHER, 10), 1)
    peer_code.save(os.path.join(options.work, TEACHER + ".safetensors"), teacher.state_dict())
    worst = 0.0
    print("| student | mode | metric | the peer | ours | difference |\n|---|---|---|---|---|---|")
    for number, name in enumerate(STUDENTS):
        student = gaussian(peer.student([int(c) for c in name], num_classes=10), 2 + number)
        peer_code.save(os.path.join(options.work, name + ".safetensors"), student.state_dict())
        for mode, values in metrics(peer, teacher, student, x, y).items():
            mine = {} if options.peers_only or mode == "other" else ours(options, options.work, name, mode)
            for metric, value in values.items():
                if metric in mine:
                    difference = abs(mine[metric] - value) / abs(value)
                    worst = max(worst, difference)
                    print(f"| {name} | {mode} | {metric} | {value:.6g} | {mine[metric]:.6g} | {difference:.1e} |")
                elif options.peers_only:
                    print(f"| {name} | {mode} | {metric} | {value:.6g} | | |")
    if worst > BOUND:
        sys.exit(f"a difference is over {BOUND:.0e}")


if __name__ == "__main__":
    main()
