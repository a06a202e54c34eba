#!/usr/bin/env python3
"""PyTorch's side of the step benchmark: one whole training step (forward, cross-entropy, backward,
SGD with momentum 0.9 and weight decay 5e-4) on one batch of 128, for variants of setting PyTorch up.

    bench/peer_step.py [--nets resnet20,cnn,mlp] [--variants all|NAME,...] [--threads 1,2]
                       [--seconds S] [--batch N]

Each combination runs in a process of its own and prints one JSON line:
{net, variant, threads, batch, ms_min, ms_median, cpu_ms_min, steps, peak_rss_mb}, or
{..., "error": TEXT}. With one thread, cpu_ms_min is what a step takes on a quiet machine.
"""
import argparse
import json
import statistics
import subprocess
import sys
import time

import peer_nets


def measure(net, variant, threads, batch, seconds):
    import torch
    trainer = peer_nets.Trainer(net, variant, threads)
    x = torch.randn((batch,) + trainer.shape)
    y = torch.randint(0, 10, (batch,))
    for _ in range(8):
        trainer.step(x, y)
    times, cpu, end = [], [], time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 5:
        begin, cpu_begin = time.perf_counter(), time.process_time()
        trainer.step(x, y)
        times.append(1e3 * (time.perf_counter() - begin))
        cpu.append(1e3 * (time.process_time() - cpu_begin))
    return dict(ms_min=round(min(times), 4), ms_median=round(statistics.median(times), 4),
                cpu_ms_min=round(min(cpu), 4), steps=len(times), peak_rss_mb=round(peer_nets.peak_rss_mb(), 1))


def run_child(net, variant, threads, batch, seconds):
    key = dict(net=net, variant=variant, threads=threads, batch=batch)
    command = [sys.executable, __file__, "--one", "--nets", net, "--variants", variant,
               "--threads", str(threads), "--batch", str(batch), "--seconds", str(seconds)]
    try:
        child = subprocess.run(command, env=peer_nets.environment(variant, threads), text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=900)
    except subprocess.TimeoutExpired:
        return dict(key, error="took over 15 minutes")
    if child.returncode != 0:
        lines = child.stderr.strip().splitlines()
        return dict(key, error=lines[-1] if lines else "exit status %d" % child.returncode)
    return dict(key, **json.loads(child.stdout.strip().splitlines()[-1]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--nets", default=",".join(peer_nets.NETS))
    parser.add_argument("--variants", default="all")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--list", action="store_true", help="print the names of variants")
    options = parser.parse_args()
    if options.list:
        print(json.dumps(dict(variants=list(peer_nets.VARIANTS))))
        return
    variants = list(peer_nets.VARIANTS) if options.variants == "all" else options.variants.split(",")
    for name, known in ([(v, peer_nets.VARIANTS) for v in variants] +
                        [(n, peer_nets.NETS) for n in options.nets.split(",")]):
        if name not in known:
            parser.error("unknown name %s (known: %s)" % (name, ", ".join(known)))
    for net in options.nets.split(","):
        for variant in variants:
            for threads in map(int, options.threads.split(",")):
                work = measure if options.one else run_child
                print(json.dumps(work(net, variant, threads, options.batch, options.seconds)),
                      flush=True)


if __name__ == "__main__":
    main()
