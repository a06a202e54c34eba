"""The peers' own code beside ours: where it lies, and the few shims it needs under a current PyTorch.

None of it is part of this project. Clone what is wanted into one folder and name that folder with
--peers or SONDE_PEERS (commits that the figures of docs/results.md were made with):

    git clone https://github.com/SamsungLabs/zero-cost-nas         a43bfbc
    git clone https://github.com/automl/NASLib                     0b51bc1
    git clone https://github.com/lliai/DisWOT-CVPR2023             dffe4e6
    git clone https://github.com/devansharpit/TPV                  1cd6a70
    git clone https://github.com/VainF/Torch-Pruning               e80127d

Also here: what every peer script needs, images and cells from SONDE_DATA and a writer of
safetensors, so that PyTorch and numpy are enough.
"""
import contextlib
import csv
import gzip
import importlib
import importlib.util
import io
import json
import os
import struct
import sys
import types
import warnings

import numpy as np

try:
    import torch
except ImportError:
    sys.exit("PyTorch is missing, so the peers cannot run. "
             "python3 -m pip install torch==2.13.0 (the CPU build) and run this again.")

MEAN = (0.4914, 0.4822, 0.4465)  # of CIFAR-10, as zero-cost-nas normalises it
DEVIATION = (0.2023, 0.1994, 0.2010)


# --- where things lie ----------------------------------------------------------------------------

def folder(name, root=None):
    """The clone `name` below --peers or SONDE_PEERS."""
    root = root or os.environ.get("SONDE_PEERS")
    if not root:
        sys.exit("name the folder of the peers' clones with --peers DIR or SONDE_PEERS:" +
                 __doc__[__doc__.index("\n\n    git"):__doc__.index("\n\nAlso")])
    path = os.path.join(root, name)
    if not os.path.isdir(path):
        sys.exit("%s is missing: clone the peer there (bench/peer_code.py lists them)" % path)
    return path


def data(*parts):
    root = os.environ.get("SONDE_DATA")
    if not root:
        sys.exit("set SONDE_DATA to the folder that holds cifar-10-30k/ and nasbench201/")
    return os.path.join(root, *parts)


# --- the peers -----------------------------------------------------------------------------------

def _open_packages(root, path):
    """Packages down to `path` (dotted) without running their __init__.py, which import the world."""
    names = path.split(".")
    for i in range(1, len(names) + 1):
        name = ".".join(names[:i])
        if name not in sys.modules:
            package = types.ModuleType(name)
            package.__path__ = [os.path.join(root, *names[:i])]
            sys.modules[name] = package


def _load_file(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class ZeroCostNas:
    """SamsungLabs/zero-cost-nas: its NAS-Bench-201 network and its measures."""

    MEASURES = ("grad_norm", "snip", "plain", "grasp", "fisher", "synflow", "jacob_cov")

    def __init__(self, root=None):
        sys.path.insert(0, folder("zero-cost-nas", root))
        with contextlib.redirect_stdout(io.StringIO()):
            self.nasbench2 = importlib.import_module("foresight.models.nasbench2")
            self.predictive = importlib.import_module("foresight.pruners.predictive")
            importlib.import_module("foresight.pruners.measures.l2_norm")  # not loaded by default
        operators = importlib.import_module("foresight.models.nasbench2_ops")
        # NASLib's nwot hooks every module whose type says ReLU and not naslib; its own composite
        # ReLUConvBN is left out by that, so this one of the same name has to be as well.
        operators.ReLUConvBN.__module__ = "naslib." + operators.ReLUConvBN.__module__
        self.nasbench2.NAS201Model.forward_before_global_avg_pool = _before_pooling
        sys.path.pop(0)

    def network(self, cell, classes=10):
        return self.nasbench2.get_model_from_arch_str(cell, classes).train()

    def measure(self, net, x, y, names=MEASURES):
        """As nasbench2_pred.py calls it: every measure on its own copy of the network."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the old kind of backward hook that fisher uses
            values = self.predictive.find_measures(
                net, [(x, y)], ("random", 1, net.num_classes), torch.device("cpu"),
                measure_names=list(names))
        return {name: float(value) for name, value in values.items()}

    def state(self, net):
        """What `sonde score --weights` reads: without the operators that the cell does not use, and with
        the running statistics of the cells' batch norms, which keep none."""
        state = dict(net.state_dict())
        for path, cell in net.named_modules():
            if isinstance(cell, self.nasbench2.SearchCell):
                unused = tuple(f"{path}.options.{i}." for i, used in enumerate(cell.keep_mask) if not used)
                state = {key: value for key, value in state.items() if not key.startswith(unused)}
        for path, norm in net.named_modules():
            if isinstance(norm, torch.nn.BatchNorm2d) and norm.running_var is None and \
                    any(key.startswith(path.rsplit(".", 1)[0] + ".") for key in state):
                state[path + ".running_mean"] = torch.zeros(norm.num_features)
                state[path + ".running_var"] = torch.ones(norm.num_features)
        return state

    def l2_norm(self, net, x, y):
        """Apart, since find_measures hands it a loss that it does not take. Operators that the cell does
        not use, which would count with their initial weights, are emptied: ours are not built."""
        net = net.get_prunable_copy(bn=True)
        with torch.no_grad():
            for module in net.modules():
                if isinstance(module, self.nasbench2.SearchCell):
                    for used, option in zip(module.keep_mask, module.options):
                        for parameter in option.parameters() if not used else ():
                            parameter.zero_()
            return float(sum(self.predictive.measures.calc_measure("l2_norm", net, None, x, y)))


def _before_pooling(self, x):
    x = self.reduction1(self.stack_cell1(self.stem(x)))
    return self.top.lastact(self.stack_cell3(self.reduction2(self.stack_cell2(x))))


class NasLib:
    """automl/NASLib: its measures, on whatever network offers get_prunable_copy."""

    PACKAGE = "naslib.predictors.utils.pruners"

    def __init__(self, root=None):
        _open_packages(folder("NASLib", root), self.PACKAGE)
        _open_packages(folder("NASLib", root), "naslib.predictors.utils.models")
        self.measures = importlib.import_module(self.PACKAGE + ".measures")

    def measure(self, name, net, x, y):
        value = self.measures.calc_measure(name, net, torch.device("cpu"), x, y, split_data=1,
                                           loss_fn=torch.nn.functional.cross_entropy)
        return float(sum(torch.sum(v) for v in value) if isinstance(value, list) else value)


class DisWot:
    """lliai/DisWOT-CVPR2023: its ResNets and the two losses that its scores are made of."""

    def __init__(self, root=None):
        root = folder("DisWOT-CVPR2023", root)
        students = _load_file("diswot_students", os.path.join(
            root, "models", "candidates", "mutable", "mutable_depth_resnet20.py"))
        self.teachers = _load_file("diswot_teachers", os.path.join(root, "models", "resnet.py"))
        self.student = students.mutable_resnet20
        zoo = os.path.join(root, "distiller_zoo")
        self.semantic_loss = _load_file("diswot_ickd", os.path.join(zoo, "ICKD.py")).ICKDLoss()
        self.relation_loss = _load_file("diswot_sp", os.path.join(zoo, "SP.py")).Similarity()

    def teacher(self, name, classes):
        return getattr(self.teachers, name)(num_classes=classes)


def tpv_base(root=None):
    """devansharpit/TPV: its estimators (tpv/tpv_base.py), on the processor."""
    module = _load_file("tpv_base", os.path.join(folder("TPV", root), "tpv", "tpv_base.py"))

    class Estimator(module.TPVBase):
        def compute_tpv(self):
            raise NotImplementedError

    return Estimator(device=torch.device("cpu"))


def torch_pruning(root=None):
    """VainF/Torch-Pruning; its exporters for onnx are not needed."""
    sys.path.insert(0, folder("Torch-Pruning", root))
    try:
        return importlib.import_module("torch_pruning")
    finally:
        sys.path.pop(0)


# --- data ----------------------------------------------------------------------------------------

def cells(columns=("c10_test_200ep",)):
    """NAS-Bench-201: [(cell, value of each column)] in the official order."""
    with gzip.open(data("nasbench201", "nasbench201.csv.gz"), "rt") as file:
        return [(row["arch"], *(float(row[c]) for c in columns)) for row in csv.DictReader(file)]


def cifar(count, part="data_batch_1", seed=None, mean=MEAN, deviation=DEVIATION):
    """`count` images, normalised, n x 3 x 32 x 32, and labels; the first ones, or drawn by a seed."""
    with gzip.open(data("cifar-10-30k", part + ".bin.gz")) as file:
        records = np.frombuffer(file.read(), np.uint8).reshape(-1, 3073)
    chosen = np.arange(count)
    if seed is not None:
        chosen = np.random.default_rng(seed).permutation(len(records))[:count]
    pixels = records[chosen, 1:].reshape(-1, 3, 32, 32).astype(np.float32) / 255
    scale = [np.asarray(v, np.float32).reshape(3, 1, 1) for v in (mean, deviation)]
    return (torch.from_numpy((pixels - scale[0]) / scale[1]),
            torch.from_numpy(records[chosen, 0].astype(np.int64)))


DTYPES = {torch.float32: "F32", torch.float64: "F64", torch.int64: "I64"}


def save(path, tensors):
    """A safetensors file of {name: tensor}."""
    header, parts, offset = {}, [], 0
    for name, tensor in tensors.items():
        raw = tensor.detach().contiguous().numpy().tobytes()
        header[name] = {"dtype": DTYPES[tensor.dtype], "shape": list(tensor.shape),
                        "data_offsets": [offset, offset + len(raw)]}
        parts.append(raw)
        offset += len(raw)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(parts))


def trained_resnet(name):
    """State of SONDE_DATA/cifar-resnets, names without "module."."""
    files = {"resnet20": "resnet20-12fca82f.th", "resnet56": "resnet56-4bfd9763.th"}
    state = torch.load(data("cifar-resnets", files[name]), map_location="cpu", weights_only=True)
    return {key.removeprefix("module."): value for key, value in state["state_dict"].items()}
