#!/usr/bin/env python3
"""Squared norms of every example's own gradient in PyTorch, on ResNet-20 with batch norm in eval mode:
beside bench_example_norms.

    python3 bench/peer_norms.py [--batch 128] [--threads 2] [--seconds 5]

Ways: `plain`, forward and backward of the batch alone, for scale; `vmap`, torch.func's per-sample
gradients; `hooks`, per-sample gradients from unfolded inputs and output gradients, as Opacus does.
Prints a JSON line a way: {peer, batch, threads, ms_min, ms_median, sum}; `sum` is over all norms.
"""
import argparse
import json
import statistics
import time

import peer_nets
import torch
import torch.nn.functional as F


def plain(net, x, y):
    net.zero_grad(set_to_none=True)
    F.cross_entropy(net(x), y, reduction="sum").backward()
    return sum(float(p.grad.square().sum()) for p in net.parameters())


def vmap(net, x, y):
    parameters = {name: p.detach() for name, p in net.named_parameters()}
    buffers = dict(net.named_buffers())

    def loss(p, one, label):
        logits = torch.func.functional_call(net, (p, buffers), (one[None],))
        return F.cross_entropy(logits, label[None])

    gradients = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))(parameters, x, y)
    return float(sum(g.square().flatten(1).sum() for g in gradients.values()))


def layer_norms(module, inputs, gradient):
    """Squared norms, n, of one layer's parameters."""
    n = len(gradient)
    if isinstance(module, torch.nn.Conv2d):
        patches = F.unfold(inputs, module.kernel_size, padding=module.padding, stride=module.stride)
        return torch.bmm(gradient.reshape(n, gradient.shape[1], -1), patches.transpose(1, 2)).square().sum((1, 2))
    if isinstance(module, torch.nn.BatchNorm2d):
        scale = (module.running_var + module.eps).rsqrt()[:, None, None]
        normal = (inputs - module.running_mean[:, None, None]) * scale
        return (gradient * normal).sum((2, 3)).square().sum(1) + gradient.sum((2, 3)).square().sum(1)
    return gradient.square().sum(1) * (inputs.square().sum(1) + 1)


class Hooks:
    def __init__(self, net):
        self.inputs, self.total = {}, None
        for module in net.modules():
            if isinstance(module, (torch.nn.Conv2d, torch.nn.BatchNorm2d, torch.nn.Linear)):
                module.register_forward_hook(self.forward)

    def forward(self, module, inputs, output):
        values = inputs[0].detach()

        def backward(gradient):
            norms = layer_norms(module, values, gradient)
            self.total = norms if self.total is None else self.total + norms

        output.register_hook(backward)

    def run(self, net, x, y):
        self.total = None
        plain(net, x, y)
        return float(self.total.sum())


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    net = peer_nets.ResNet20().eval()
    x, y = torch.randn(options.batch, 3, 32, 32), torch.randint(0, 10, (options.batch,))
    for name in ("plain", "vmap", "hooks"):
        work = {"plain": plain, "vmap": vmap}.get(name) or Hooks(net).run
        times, end = [], time.perf_counter() + options.seconds
        value = work(net, x, y)
        while time.perf_counter() < end or len(times) < 3:
            begin = time.perf_counter()
            value = work(net, x, y)
            times.append(1e3 * (time.perf_counter() - begin))
        print(json.dumps({"bench": "example_norms", "peer": name, "batch": options.batch,
                          "threads": options.threads, "ms_min": round(min(times), 2),
                          "ms_median": round(statistics.median(times), 2), "sum": value}), flush=True)


if __name__ == "__main__":
    main()
