"""Records what PyTorch's optimisers and schedulers do, as C tables for tests/unit/run_optimizer.c
and run_schedule.c.

    python3 tests/golden/make_optimizer.py optimizer > tests/golden/optimizer.h
    python3 tests/golden/make_optimizer.py schedule > tests/golden/schedule.h

Weights and gradients follow simple formulas, so that only results need to be stored. Computed in
double: the tests compare float results with a tolerance.
"""
import math
import sys

import torch

torch.set_default_dtype(torch.float64)
N, STEPS = 7, 5


def weights():
    return torch.tensor([0.1 * (i - 3) for i in range(N)])


def gradient(step):
    return torch.tensor([math.sin(1.0 + i + 2.0 * step) for i in range(N)])


def numbers(values):
    return ", ".join(repr(float(v)) for v in values)


OPTIMIZERS = [
    ("sgd", lambda p: torch.optim.SGD(p, lr=0.1)),
    ("sgd_decay", lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.01)),
    ("sgd_momentum", lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01)),
    ("sgd_nesterov", lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01,
                                               nesterov=True)),
    ("adam", lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.01)),
    ("adamw", lambda p: torch.optim.AdamW(p, lr=0.01, betas=(0.8, 0.95), weight_decay=0.1)),
]


def run_optimizer(make, clip):
    parameter = torch.nn.Parameter(weights())
    optimizer = make([parameter])
    for step in range(STEPS):
        parameter.grad = gradient(step)
        if clip:
            torch.nn.utils.clip_grad_norm_([parameter], clip)
        optimizer.step()
    return parameter.detach()


def rates(make, epochs):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    scheduler = make(optimizer)
    result = []
    for _ in range(epochs):
        result.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if scheduler:
            scheduler.step()
    return result


def warm_cosine(optimizer):
    s = torch.optim.lr_scheduler
    return s.SequentialLR(optimizer, [s.LinearLR(optimizer, 1 / 4, 1.0, 3),
                                      s.CosineAnnealingLR(optimizer, 8, 0.01)], [4])


SCHEDULES = [
    ("constant", lambda o: None),
    ("step", lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [3, 7], 0.2)),
    ("cosine", lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 12, 0.01)),
    ("exponential", lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.9)),
    ("linear", lambda o: torch.optim.lr_scheduler.LinearLR(o, 1.0, 0.02, 12)),
    ("warm_cosine", warm_cosine),
]

print(f"/* Made by tests/golden/make_optimizer.py with PyTorch {torch.__version__.split('+')[0]}. */")
print("/* clang-format off */")
if sys.argv[1:] == ["optimizer"]:
    for name, make in OPTIMIZERS:
        print(f"static const double golden_{name}[{N}] = {{{numbers(run_optimizer(make, 0))}}};")
    clipped = run_optimizer(OPTIMIZERS[2][1], 0.5)
    print(f"static const double golden_clipped[{N}] = {{{numbers(clipped)}}};")
else:
    for name, make in SCHEDULES:
        print(f"static const double golden_{name}[12] = {{{numbers(rates(make, 12))}}};")
