#!/usr/bin/env python3
"""make_models.py KIND PATH...: small model files for the tests of the command, written with Python's
standard library alone. Everything is seeded: the same bytes every time.

safetensors PATH        five matrices and vectors, one of them of NaN
changed PATH            the same with one number changed, one tensor reshaped, one gone, one new
many PATH COUNT         COUNT tensors of six numbers
large PATH              eight matrices 1200 x 1200 in BF16: seconds of work
sharded FOLDER          two shards and their index
torch PATH              a PyTorch zip file with nested dictionaries, a tied tensor and a view
series FOLDER COUNT     checkpoints in which one layer's tail grows heavy, with probe side files
broken PATH             matrices of NaN, of zeros, and a sound one
adapter PATH            a LoRA adapter of rank 4 without its alpha
odd PATH                metadata and warnings full of escape sequences
"""
import io
import json
import math
import os
import pickle
import random
import struct
import sys
import types
import zipfile


def floats(values):
    return struct.pack(f"<{len(values)}f", *values)


def gauss(random_, count, scale=1.0):
    return [random_.gauss(0, scale) for _ in range(count)]


def safetensors(path, tensors, metadata=None):
    """tensors: name -> (format, shape, bytes)"""
    header, offset = {}, 0
    if metadata:
        header["__metadata__"] = metadata
    for name, (number, shape, data) in tensors.items():
        header[name] = {"dtype": number, "shape": shape, "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, _, data in tensors.values():
            file.write(data)


def plain():
    random_ = random.Random(1)
    tensors = {f"layers.{i}.weight": ("F32", [40, 60], floats(gauss(random_, 2400, 0.1)))
               for i in range(4)}
    tensors["layers.0.bias"] = ("F32", [40], floats([0.5] * 40))
    tensors["scale"] = ("F32", [3], floats([math.nan, 1, 2]))
    return tensors


def changed():
    tensors = plain()
    number, shape, data = tensors["layers.1.weight"]
    tensors["layers.1.weight"] = (number, shape, floats([5.0]) + data[4:])
    tensors["layers.2.weight"] = ("F32", [60, 40], tensors["layers.2.weight"][2])
    del tensors["layers.3.weight"]
    tensors["new.weight"] = ("F32", [2], floats([1, 2]))
    return tensors


def broken():
    sound = floats(gauss(random.Random(5), 2400, 0.1))
    return {"bad.weight": ("F32", [40, 60], floats([math.nan] * 2400)),
            "good.weight": ("F32", [40, 60], sound),
            "zero.weight": ("F32", [40, 60], bytes(9600))}


def adapter():
    random_ = random.Random(6)
    return {"fc.lora_A.weight": ("F32", [4, 60], floats(gauss(random_, 240, 0.1))),
            "fc.lora_B.weight": ("F32", [40, 4], floats(gauss(random_, 160, 0.1)))}


def large():
    random_ = random.Random(2)
    sign = bytes(0x3c if i % 2 else 0xbc for i in range(256))
    tensors = {}
    for i in range(8):
        data = bytearray(random_.randbytes(2 * 1200 * 1200))
        data[1::2] = data[1::2].translate(sign)
        tensors[f"big.{i}.weight"] = ("BF16", [1200, 1200], bytes(data))
    return tensors


def sharded(folder):
    tensors = plain()
    names = list(tensors)
    size = sum(len(data) for _, _, data in tensors.values())
    index = {"metadata": {"total_size": size}, "weight_map": {}}
    for shard in range(2):
        file = f"model-0000{shard + 1}-of-00002.safetensors"
        part = {name: tensors[name] for name in names[shard::2]}
        safetensors(os.path.join(folder, file), part)
        for name in part:
            index["weight_map"][name] = file
    with open(os.path.join(folder, "model.safetensors.index.json"), "w") as file:
        json.dump(index, file)


class Tensor:
    def __init__(self, key, shape, strides):
        self.key, self.shape, self.strides = key, shape, strides


def torch_pickle(tree, sizes):
    """The pickle that torch.save writes, without torch: stand-ins of its two globals."""
    utils, torch = types.ModuleType("torch._utils"), types.ModuleType("torch")

    def rebuild():
        pass
    rebuild.__module__, rebuild.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    rebuild.__name__ = "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = rebuild
    storage = type("FloatStorage", (), {"__module__": "torch"})
    torch.FloatStorage, torch._utils = storage, utils
    sys.modules["torch"], sys.modules["torch._utils"] = torch, utils

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            if isinstance(value, tuple) and value and value[0] == "storage of":
                return ("storage", storage, value[1], "cpu", sizes[value[1]])
            return None

        def reducer_override(self, value):
            if isinstance(value, Tensor):
                return rebuild, (("storage of", value.key), 0, value.shape, value.strides, False, {})
            return NotImplemented

    out = io.BytesIO()
    Pickler(out, protocol=2).dump(tree)
    return out.getvalue()


def torch_zip(path, tree, storages):
    sizes = {key: len(values) for key, values in storages.items()}
    name = os.path.splitext(os.path.basename(path))[0]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(f"{name}/data.pkl", torch_pickle(tree, sizes))
        archive.writestr(f"{name}/byteorder", "little")
        for key, values in storages.items():
            archive.writestr(f"{name}/data/{key}", floats(values))
        archive.writestr(f"{name}/version", "3\n")


def torch_model(path):
    random_ = random.Random(3)
    storages = {"0": gauss(random_, 1200), "1": gauss(random_, 30)}
    tree = {"epoch": 7, "model": {"embedding.weight": Tensor("0", (30, 40), (40, 1)),
                                  "head.weight": Tensor("0", (30, 40), (40, 1)),
                                  "turned": Tensor("0", (40, 30), (1, 40)),
                                  "head.bias": Tensor("1", (30,), (1,))}}
    torch_zip(path, tree, storages)


def npy(shape, number, data):
    header = f"{{'descr': '{number}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (63 - (len(header) + 10) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def probe(path, epoch, best):
    """Logits grow sharper up to epoch `best`, then wrong again."""
    random_ = random.Random(4)
    rows, classes, features = 40, 5, 12
    labels = [random_.randrange(classes) for _ in range(rows)]
    x = gauss(random_, rows * features)
    sharp = 1.0 * epoch if epoch <= best else 1.0 * best - 0.7 * (epoch - best)
    logits = [(sharp if c == labels[r] else 0) + random_.gauss(0, 0.2)
              for r in range(rows) for c in range(classes)]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("features.npy", npy((rows, features), "<f4", floats(x)))
        archive.writestr("logits.npy", npy((rows, classes), "<f4", floats(logits)))
        archive.writestr("labels.npy", npy((rows,), "<i8", struct.pack(f"<{rows}q", *labels)))
        archive.writestr("weight.npy",
                         npy((classes, features), "<f4", floats([1.0] * classes * features)))


def series(folder, count):
    start = random.Random(5)
    still, moving = gauss(start, 80 * 160), gauss(start, 80 * 160)
    for epoch in range(1, count + 1):
        heavy = random.Random(6)
        share = max(0, epoch - 3)
        tail = [share * 0.02 * math.copysign(heavy.paretovariate(1.1), heavy.random() - 0.5)
                for _ in range(80 * 160)]
        tensors = {"still.weight": ("F32", [80, 160], floats(still)),
                   "moving.weight": ("F32", [80, 160],
                                     floats([a + b for a, b in zip(moving, tail)])),
                   "moving.bias": ("F32", [80], floats([0.0] * 80))}
        safetensors(os.path.join(folder, f"epoch-{epoch:02d}.safetensors"), tensors)
        probe(os.path.join(folder, f"epoch-{epoch:02d}.probe.npz"), epoch, 5)


def main():
    kind, path = sys.argv[1], sys.argv[2]
    if kind in ("sharded", "series"):
        os.makedirs(path, exist_ok=True)
    if kind == "safetensors":
        safetensors(path, plain(), {"format": "pt"})
    elif kind == "changed":
        safetensors(path, changed())
    elif kind == "large":
        safetensors(path, large())
    elif kind == "many":
        data = floats([1, 2, 3, 4, 5, 6])
        safetensors(path, {f"block.{i}.weight": ("F32", [2, 3], data)
                           for i in range(int(sys.argv[3]))})
    elif kind in ("broken", "adapter"):
        safetensors(path, broken() if kind == "broken" else adapter())
    elif kind == "odd":
        safetensors(path, plain(), {"note": "a\x1b[31mred", "tab\x07": "bell"})
    elif kind == "sharded":
        sharded(path)
    elif kind == "torch":
        torch_model(path)
    elif kind == "series":
        series(path, int(sys.argv[3]))
    else:
        sys.exit(__doc__)


main()
