#!/usr/bin/env python3
"""Records what zero-cost-nas' own NAS-Bench-201 networks compute, for tests/unit/net_nb201.c and
tests/unit/measure_synflow.c.

    python3 tests/golden/make_nb201.py CHECKOUT      (writes tests/golden/nb201.txt and synflow.txt)

CHECKOUT is a copy of github.com/SamsungLabs/zero-cost-nas (commit a43bfbc, Apache-2.0); needs torch.
The networks are that repository's, cut to fewer cells and channels, in double precision. In train mode
its batch norm keeps no running statistics inside of cells; here it does, as ours, which changes
nothing else. Format: see make_golden.py; "synflow" expectations are written to 17 digits.
"""
import os
import sys

import numpy as np
import torch
import torch.nn as nn

import make_golden
from make_golden import Case, File

make_golden.KEPT = 12
SHAPE = (3, 8, 8)
CELLS = {
    "mixed": "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|"
             "+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|",
    "small": "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|"
             "+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|",
    "convolution_of_zero": "|none~0|+|nor_conv_3x3~0|nor_conv_1x1~1|"
                           "+|nor_conv_1x1~0|avg_pool_3x3~1|skip_connect~2|",
    "computed_and_dropped": "|nor_conv_1x1~0|+|avg_pool_3x3~0|nor_conv_3x3~1|"
                            "+|skip_connect~0|nor_conv_3x3~1|none~2|",
    "blind": "|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|none~0|none~1|none~2|",
}


def tracked(bn, affine):
    return nn.BatchNorm2d(bn.num_features, affine=affine, track_running_stats=True)


def network(text, cells, channels, classes, affine):
    """zero-cost-nas' network with only `cells` cells a stage, norm=plain or norm=affine."""
    from foresight.models import nasbench2
    net = nasbench2.get_model_from_arch_str(text, classes, init_channels=channels)
    mask = nasbench2.gen_searchcell_mask_from_arch_str(text)
    for stage in (1, 2, 3):
        width = channels << (stage - 1)
        made = [nasbench2.SearchCell(width, width, 1, affine, affine, keep_mask=mask)
                for _ in range(cells)]
        for cell in made:
            for option in cell.options:
                if hasattr(option, "op"):
                    option.op[2] = tracked(option.op[2], affine)
        setattr(net, "stack_cell%d" % stage, nn.Sequential(*made))
    return net.double().train()


def kept(net):
    """Names of what the cell string chose: the original holds all operators of every edge."""
    names = []
    for name, _ in list(net.named_parameters()) + list(net.named_buffers()):
        parts = name.split(".")
        if "num_batches_tracked" in name:
            continue
        if parts[0].startswith("stack") and not net.stack_cell1[0].keep_mask[int(parts[3])]:
            continue
        names.append(name)
    return names


class Recorded(Case):
    """A case whose network is zero-cost-nas'; parameters and statistics are set from seeds."""

    def __init__(self, file, name, spec, net, batch, classes):
        super().__init__(file, name, batch, SHAPE)
        self.lines.append("arch %s %d" % (spec, classes))
        parameters = dict(net.named_parameters())
        for name in kept(net):
            of_norm = name.rsplit(".", 1)[0].endswith((".2", "stem.net.1", "lastact.0"))
            if "running" in name:
                value = self.buffer(name, tuple(net.state_dict()[name].shape), 0.5,
                                    1.0 if name.endswith("var") else 0.0)
                net.state_dict()[name].copy_(value)
                continue
            p = parameters[name]
            fan_in = p[0].numel() if p.dim() > 1 else 9
            value = self.parameter(name, tuple(p.shape), fan_in,
                                   1.0 if of_norm and name.endswith("weight") else 0.0)
            p.data.copy_(value.detach())
        self.net, self.leaves = net, {k: parameters[k] for k in self.parameters}

    def end(self):
        y = self.net(self.input)
        r = self.tensor("r", tuple(y.shape), 1.0).detach()
        self.finish_settings()
        self.expect("output", y)
        leaves = dict(input=self.input, **self.leaves)
        gradients = torch.autograd.grad((y * r).sum(), list(leaves.values()), allow_unused=True)
        for (name, leaf), g in zip(leaves.items(), gradients):
            self.expect("gradient:" + name, torch.zeros_like(leaf) if g is None else g)
        for name in self.buffers:
            self.expect("after:" + name, self.net.state_dict()[name])
        self.file.lines += self.lines + ["end"]


def passes():
    f = File("nb201")
    f.lines = ["# made by make_nb201.py with zero-cost-nas and PyTorch %s" % torch.__version__]
    for name, text in CELLS.items():
        if name == "convolution_of_zero":  # batch norm of a constant: 300 times float's rounding
            continue
        for affine in (False, True) if name == "mixed" else (False,):
            spec = "nb201:%d,cells=1,channels=4" % official().index(text)
            spec += ",norm=affine" if affine else ""
            name += "_affine" if affine else ""
            Recorded(f, name, spec, network(text, 1, 4, 5, affine), 3, 5).end()
    f.write()


def without_norm(net, text, cells, channels, classes):
    """As get_prunable_copy: the network built without batch norm, and weights copied by name."""
    from foresight.models import nasbench2
    made = nasbench2.get_model_from_arch_str(text, classes, use_bn=False, init_channels=channels)
    mask = nasbench2.gen_searchcell_mask_from_arch_str(text)
    for stage in (1, 2, 3):
        width = channels << (stage - 1)
        setattr(made, "stack_cell%d" % stage, nn.Sequential(*[
            nasbench2.SearchCell(width, width, 1, False, False, use_bn=False, keep_mask=mask)
            for _ in range(cells)]))
    made.load_state_dict(net.state_dict(), strict=False)
    return made.double().train()


def synflow(net):
    from foresight.pruners.measures import synflow as module
    scores = module.compute_synflow_per_weight(net, torch.ones((2,) + SHAPE), None, "param")
    return torch.stack([s.sum() for s in scores]).sum().reshape(1)


def synflows():
    from foresight.pruners import predictive
    f = File("synflow")
    f.lines = ["# made by make_nb201.py with zero-cost-nas and PyTorch %s" % torch.__version__]
    for name, text in CELLS.items():
        spec = "nb201:%d,cells=1,channels=4" % official().index(text)
        net = network(text, 1, 4, 5, False)
        case = Recorded(f, name, spec, net, 1, 5)
        case.finish_settings()
        case.expect("zero_cost_nas", synflow(without_norm(net, text, 1, 4, 5)), "%.17g")
        case.expect("naslib", synflow(predictive.copynet(net, False)), "%.17g")
        case.expect("with_batch_norm", synflow(predictive.copynet(net, True)), "%.17g")
        f.lines += case.lines + ["end"]
    f.write()


_order = []


def official():
    """All cells in the benchmark's order: counted up, then shuffled with its seed."""
    import itertools
    import random
    if not _order:
        names = ["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"]
        for o in itertools.product(names, repeat=6):
            _order.append("|%s~0|+|%s~0|%s~1|+|%s~0|%s~1|%s~2|" % o)
        random.seed(88)
        random.shuffle(_order)
    return _order


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    passes()
    synflows()
