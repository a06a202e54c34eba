#!/usr/bin/env python3
"""Writes signals.h: proxies, DisWOT and importances by the published code, on made-up arrays.

    git clone https://github.com/SamsungLabs/zero-cost-nas     (a43bfbc)
    git clone https://github.com/automl/NASLib                 (0b51bc18)
    git clone https://github.com/lliai/DisWOT-CVPR2023         (dffe4e6)
    git clone https://github.com/VainF/Torch-Pruning           (e80127d)
    git clone https://github.com/devansharpit/TPV              (1cd6a70)
    python3 tests/golden/make_signals.py FOLDER_OF_THE_CLONES > tests/golden/signals.h

Arrays come from a linear congruence of 32 bits, which the tests repeat; only the network's weights,
gradients and Hessian products are written out. Needs torch and numpy.
"""
import contextlib
import importlib.util
import sys
import types
from pathlib import Path

import numpy as np
import torch
from torch import nn

peers = Path(sys.argv[1])


def made(seed, *shape):
    """Floats in [-0.5, 0.5) by x -> 1664525 x + 1013904223."""
    values, x = [], seed
    for _ in range(int(np.prod(shape))):
        x = (x * 1664525 + 1013904223) % 2**32
        values.append((x >> 8) / 2.0**24 - 0.5)
    return np.array(values, np.float32).reshape(shape)


def load(path, name):
    """One file of a package, with its siblings' `measure` decorator left out."""
    package = types.ModuleType("peer." + name)
    package.__path__ = []
    package.measure = lambda *a, **k: lambda f: f
    sys.modules.setdefault("peer", types.ModuleType("peer"))
    sys.modules["peer." + name] = package
    spec = importlib.util.spec_from_file_location(f"peer.{name}.{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def number(name, value, comment):
    print(f"static const double {name} = {float(value)!r}; /* {comment} */")


def numbers(name, values):
    text = ", ".join(f"{float(v):.17g}" for v in np.asarray(values).ravel())
    print(f"static const double {name}[] = {{{text}}};")


def floats(name, values):
    text = ", ".join(f"{float(v).hex()}f" for v in np.asarray(values, np.float32).ravel())
    print(f"static const float {name}[] = {{{text}}};")


# --- proxies of the input Jacobian, of codes ------------------------------------------------------

def jacobian_proxies():
    naslib = peers / "NASLib/naslib/predictors/utils/pruners/measures"
    zero = peers / "zero-cost-nas/foresight/pruners/measures"
    jacob_cov = load(zero / "jacob_cov.py", "jacob")
    epe = load(naslib / "epe_nas.py", "epe")
    number("GOLDEN_JACOB_COV", np.real(jacob_cov.eval_score(made(1, 12, 40))),
           "zero-cost-nas, made(1) 12 x 40")
    labels = [np.array([0, 1, 2, 0, 1, 2, 0, 1, 4, 4, 4, 7])]
    number("GOLDEN_EPE_NAS", epe.eval_score_perclass(made(1, 12, 40), labels, 10),
           "NASLib, the same with GOLDEN_EPE_LABELS of 10 classes")
    number("GOLDEN_EPE_NAS_MANY", epe.eval_score_perclass(made(1, 12, 40), labels, 120),
           "NASLib, of 120 classes")
    print("static const int64_t GOLDEN_EPE_LABELS[] = {" + ", ".join(map(str, labels[0])) + "};")
    nwot = load(naslib / "nwot.py", "nwot")
    network = nn.Sequential(nn.ReLU())
    values = torch.from_numpy(made(2, 9, 75))
    number("GOLDEN_NWOT", nwot.compute_nwot(network, values, torch.zeros(9)),
           "NASLib, made(2) 9 x 75 into one ReLU")


# --- proxies of weights and gradients -------------------------------------------------------------

def weight_proxies():
    sys.path.insert(0, str(peers / "zero-cost-nas"))
    with contextlib.redirect_stdout(sys.stderr):
        from foresight.pruners import predictive
    torch.manual_seed(3)
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Conv2d(3, 4, 2), nn.ReLU(),
                            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    for module in network:
        if hasattr(module, "weight"):
            nn.init.normal_(module.weight, std=0.6)
    inputs, targets = torch.from_numpy(made(4, 6, 2, 6, 6)), torch.tensor([0, 1, 2, 0, 1, 2])
    names = ["grad_norm", "snip", "plain", "grasp", "fisher"]
    scores = predictive.find_measures(network, [(inputs, targets)], ("random", 1, 3), "cpu",
                                      measure_names=names)
    for name in names:
        number("GOLDEN_" + name.upper(), scores[name], "zero-cost-nas")
    norms = predictive.get_layer_metric_array(network, lambda layer: layer.weight.norm(), "param")
    number("GOLDEN_L2_NORM", sum(n.item() for n in norms), "zero-cost-nas")
    layers = [m for m in network if hasattr(m, "weight")]
    outputs = {}
    for i, layer in enumerate(layers):
        layer.register_forward_hook(lambda m, x, y, i=i: outputs.__setitem__(i, y))
    loss = nn.functional.cross_entropy(network(inputs), targets)
    weights = [layer.weight for layer in layers]
    gradients = torch.autograd.grad(loss, weights, create_graph=True)
    product = sum((g.detach() * g).sum() for g in gradients)
    hessian = torch.autograd.grad(product, weights, retain_graph=True)
    by_outputs = torch.autograd.grad(loss, [outputs[i] for i in range(3)])
    for i, (w, g, h) in enumerate(zip(weights, gradients, hessian)):
        floats(f"GOLDEN_WEIGHT_{i}", w.detach())
        floats(f"GOLDEN_GRADIENT_{i}", g.detach())
        floats(f"GOLDEN_HESSIAN_{i}", h.detach())
        a = (outputs[i] * by_outputs[i]).detach()
        floats(f"GOLDEN_PRODUCTS_{i}", a.flatten(2).sum(2) if a.dim() > 2 else a)


# --- DisWOT ---------------------------------------------------------------------------------------

def distillation():
    icc = load(peers / "DisWOT-CVPR2023/distiller_zoo/ICKD.py", "ickd").ICKDLoss()
    sp = load(peers / "DisWOT-CVPR2023/distiller_zoo/SP.py", "sp").Similarity()
    t, s = (torch.from_numpy(made(seed, 5, 7)) for seed in (5, 6))
    number("GOLDEN_SEMANTIC", -icc([t[..., None, None]], [s[..., None, None]])[0],
           "DisWOT, made(5) and made(6), 5 x 7")
    number("GOLDEN_RELATION", -sp([t], [s])[0], "the same, lists")
    number("GOLDEN_RELATION_REPO", -sp(t, s)[0], "the same, bare tensors")
    t, s = (torch.from_numpy(made(seed, 2, 3, 4, 5)) for seed in (7, 8))
    number("GOLDEN_CHANNELS", -icc(t, s)[0], "made(7) and made(8), 2 x 3 x 4 x 5, bare tensors")


# --- importances ----------------------------------------------------------------------------------

def importances():
    sys.path.insert(0, str(peers / "Torch-Pruning"))
    sys.path.insert(0, str(peers / "TPV/applications"))
    import torch_pruning as tp

    # Names that the TPV repository expects of an older torch-pruning.
    dependency = tp.dependency.Dependency
    if not hasattr(dependency, "layer"):
        dependency.layer = property(lambda self: self.target.module)
        dependency.pruning_fn = property(lambda self: self.handler)
    from pruning_utils import Selfmake_Importance as own

    network = nn.Sequential(nn.Conv2d(2, 4, 3, bias=True), nn.BatchNorm2d(4), nn.ReLU(),
                            nn.Conv2d(4, 3, 2))
    with torch.no_grad():
        for i, p in enumerate(network.parameters()):
            p.copy_(torch.from_numpy(made(20 + i, *p.shape)))
            p.grad = torch.from_numpy(made(40 + i, *p.shape))
    network.eval()
    graph = tp.DependencyGraph().build_dependency(network, torch.ones(1, 2, 6, 6))
    pruner = getattr(tp, "prune_conv_out_channels")
    group = graph.get_pruning_group(network[0], pruner, [0, 1, 2, 3])
    options = {"group_reduction": "sum", "normalizer": None}
    jacobian = own.GroupJacobianImportance_accumulate(**options)
    jacobian.accumulate_grad(network)
    criteria = {
        "JACOBIAN": jacobian,
        "TAYLOR": tp.importance.GroupTaylorImportance(**options),
        "L1": tp.importance.GroupMagnitudeImportance(p=1, **options),
        "BN_SCALE": tp.importance.BNScaleImportance(**options),
        "FPGM_SQUARES": tp.importance.FPGMImportance(**options),
        "WHC": own.WHCImportance(**options),
    }
    print("/* conv 2 -> 4 (3 x 3), batch norm, conv 4 -> 3 (2 x 2): parameter i is made(20 + i), its\n"
          " * gradient made(40 + i); the group of the 4 channels, summed. */")
    for name, criterion in criteria.items():
        numbers("GOLDEN_GROUP_" + name, criterion(group))


print("/* Made by tests/golden/make_signals.py with torch", torch.__version__.split("+")[0] + ". */")
print("/* clang-format off */")
jacobian_proxies()
weight_proxies()
distillation()
importances()
