#!/usr/bin/env python3
"""Records what PyTorch computes, in double precision on the CPU, for tests/unit/net_operators.c.

    python3 tests/golden/make_golden.py            (writes tests/golden/*.txt; needs torch and numpy)

Every case is a small graph in the engine's own terms, run here operator by operator on torch tensors.
Inputs and parameters are not stored: both sides compute them from a seed (`noise`), as multiples of
1/128 that float and double hold exactly. The gradients are those of L = sum(output * r), with r from
a seed too. Of large tensors every STRIDE-th value is kept (a prime), and the largest magnitude always.

A file is lines of words:

    case NAME                           a comment of one word; ends with "end"
    batch N / mode train|eval / tolerance X
    input C H W
    layer KIND ...                      node numbers: 0 is the input, then one a layer line
    arch SPEC CLASSES                   instead of layers: a named architecture
    set TENSOR SEED SCALE OFFSET        offset + scale * noise(seed); "input", "r" or a parameter
    expect TENSOR COUNT STRIDE LARGEST VALUES   VALUES numbers follow; "output", "loss",
                                        "gradient:input", "gradient:PARAMETER", "after:PARAMETER"
    train STEPS RATE MOMENTUM DECAY LABELSEED   SGD as in PyTorch; input seed + step; expects "losses"
    loss KIND N CLASSES SMOOTHING       a loss alone: z from "logits", t from "targets"
"""
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F

import architectures

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)
HERE = os.path.dirname(os.path.abspath(__file__))
KEPT = 160


def noise(seed, count):
    """Multiples of 1/128 in (-1, 1); the same integers as in net_operators.c."""
    with np.errstate(over="ignore"):
        h = np.arange(count, dtype=np.uint32) * np.uint32(2654435761)
        h += np.uint32(seed) * np.uint32(2246822519)
        h ^= h >> np.uint32(15)
        h *= np.uint32(0x2C1B3C6D)
        h ^= h >> np.uint32(12)
        h *= np.uint32(0x297A2D39)
        h ^= h >> np.uint32(15)
    return ((h >> np.uint32(16)) % np.uint32(255)).astype(np.int64) / 128 - 127 / 128


def noise_labels(seed, count, classes):
    return ((noise(seed, count) * 128).astype(np.int64) + 127) % classes


def next_prime(n):
    while any(n % d == 0 for d in range(2, int(n**0.5) + 1)):
        n += 1
    return n


class File:
    def __init__(self, name):
        self.path = os.path.join(HERE, name + ".txt")
        self.lines = ["# made by make_golden.py with PyTorch %s" % torch.__version__]

    def write(self):
        with open(self.path, "w") as f:
            f.write("\n".join(self.lines) + "\n")


class Case:
    """A graph, evaluated while it is described; `x` of every method is a node number."""

    def __init__(self, file, name, batch, shape, mode="train", scale=1.0, offset=0.0,
                 tolerance=None):
        self.lines, self.file, self.name, self.mode = [], file, name, mode
        self.seed, self.quiet, self.kept = 1, False, KEPT
        self.parameters, self.buffers, self.settings = {}, {}, {}
        self.batch, self.shape = batch, shape
        self.lines += ["case " + name, "batch %d" % batch, "mode " + mode,
                       "input %d %d %d" % shape]
        if tolerance:
            self.lines.insert(1, "tolerance %g" % tolerance)
        self.input = self.tensor("input", (batch,) + tuple(shape), scale, offset)
        self.nodes = [self.input]

    def tensor(self, name, shape, scale, offset=0.0):
        self.seed += 1
        self.lines_set(name, self.seed, scale, offset)
        count = int(np.prod(shape))
        values = noise(self.seed, count) * scale + offset
        return torch.tensor(values.reshape(shape)).requires_grad_()

    def lines_set(self, name, seed, scale, offset):
        self.settings[name] = (seed, scale, offset)

    def parameter(self, name, shape, fan_in, offset=0.0):
        scale = 2.0 ** round(np.log2(1.7 / np.sqrt(fan_in)))
        self.parameters[name] = self.tensor(name, shape, min(scale, 1.0), offset)
        return self.parameters[name]

    def buffer(self, name, shape, scale, offset):
        self.buffers[name] = self.tensor(name, shape, scale, offset).detach()
        return self.buffers[name]

    def add(self, line, value):
        if not self.quiet:
            self.lines.append("layer " + line)
        self.nodes.append(value)
        return len(self.nodes) - 1

    def conv(self, name, x, out, kernel=3, stride=1, padding=0, dilation=1, groups=1, bias=False):
        kh, kw = kernel if isinstance(kernel, tuple) else (kernel, kernel)
        v = self.nodes[x]
        fan_in = v.shape[1] // groups * kh * kw
        w = self.parameter(name + ".weight", (out, v.shape[1] // groups, kh, kw), fan_in)
        b = self.parameter(name + ".bias", (out,), 16) if bias else None
        y = F.conv2d(v, w, b, stride, padding, dilation, groups)
        return self.add("conv %s %d %d %d %d %d %d %d %d %d" % (
            name, x, out, kh, kw, stride, padding, dilation, groups, bias), y)

    def linear(self, name, x, out, bias=True):
        v = self.nodes[x].flatten(1)
        w = self.parameter(name + ".weight", (out, v.shape[1]), v.shape[1])
        b = self.parameter(name + ".bias", (out,), 16) if bias else None
        y = F.linear(v, w, b)[:, :, None, None]
        return self.add("linear %s %d %d %d" % (name, x, out, bias), y)

    def batch_norm(self, name, x):
        v = self.nodes[x]
        c = v.shape[1]
        w = self.parameter(name + ".weight", (c,), 9, 1.0)
        b = self.parameter(name + ".bias", (c,), 9)
        mean = self.buffer(name + ".running_mean", (c,), 0.5, 0.0)
        variance = self.buffer(name + ".running_var", (c,), 0.5, 1.0)
        y = F.batch_norm(v, mean, variance, w, b, self.mode == "train", 0.1, 1e-5)
        return self.add("batch_norm %s %d" % (name, x), y)

    def layer_norm(self, name, x):
        v = self.nodes[x]
        shape = v.shape[1:] if v.shape[2] * v.shape[3] > 1 else v.shape[1:2]
        w = self.parameter(name + ".weight", shape, 9, 1.0)
        b = self.parameter(name + ".bias", shape, 9)
        y = F.layer_norm(v, v.shape[1:], w.reshape(v.shape[1:]), b.reshape(v.shape[1:]), 1e-5)
        return self.add("layer_norm %s %d" % (name, x), y)

    def token_linear(self, name, x, out, bias=True):
        v = self.nodes[x]
        w = self.parameter(name + ".weight", (out, v.shape[1]), v.shape[1])
        b = self.parameter(name + ".bias", (out,), 16) if bias else None
        y = F.linear(v.movedim(1, 3), w, b).movedim(3, 1)
        return self.add("token_linear %s %d %d %d" % (name, x, out, bias), y)

    def token_norm(self, name, x):
        v = self.nodes[x]
        w = self.parameter(name + ".weight", v.shape[1:2], 9, 1.0)
        b = self.parameter(name + ".bias", v.shape[1:2], 9)
        y = F.layer_norm(v.movedim(1, 3), v.shape[1:2], w, b, 1e-5).movedim(3, 1)
        return self.add("token_norm %s %d" % (name, x), y)

    def group_norm(self, name, x, groups):
        v = self.nodes[x]
        w = self.parameter(name + ".weight", v.shape[1:2], 9, 1.0)
        b = self.parameter(name + ".bias", v.shape[1:2], 9)
        y = F.group_norm(v, groups, w, b, 1e-5)
        return self.add("group_norm %s %d %d" % (name, x, groups), y)

    def embedding(self, name, x, count, width):
        w = self.parameter(name + ".weight", (count, width), 4)
        y = F.embedding(self.nodes[x].detach()[:, 0].long(), w).movedim(3, 1)
        return self.add("embedding %s %d %d %d" % (name, x, count, width), y)

    def positions(self, name, x, dims):
        v = self.nodes[x]
        tokens, width = v.shape[2] * v.shape[3], v.shape[1]
        w = self.parameter(name, (1, tokens, width)[3 - dims:], 4)
        y = v + w.reshape(1, v.shape[2], v.shape[3], width).movedim(3, 1)
        return self.add("positions %s %d %d" % (name, x, dims), y)

    def attention(self, x, heads, causal):
        n, d, h, w = self.nodes[x].shape
        q, k, v = self.nodes[x].reshape(n, 3, heads, d // 3 // heads, h * w).transpose(3, 4).unbind(1)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        return self.add("attention %d %d %d" % (x, heads, causal),
                        y.transpose(2, 3).reshape(n, d // 3, h, w))

    def transpose(self, x):
        return self.add("transpose %d" % x, self.nodes[x].flatten(2).transpose(1, 2)[..., None])

    def upsample(self, x, factor):
        y = F.interpolate(self.nodes[x], scale_factor=factor, mode="nearest")
        return self.add("upsample %d %d" % (x, factor), y)

    def transformer_block(self, name, x, heads, causal):
        width = self.nodes[x].shape[1]
        y = self.token_linear(name + ".qkv", self.token_norm(name + ".norm1", x), 3 * width)
        y = self.token_linear(name + ".proj", self.attention(y, heads, causal), width)
        x = self.binary("add", x, y)
        y = self.unary("gelu", self.token_linear(name + ".fc1", self.token_norm(name + ".norm2", x),
                                                 4 * width))
        return self.binary("add", x, self.token_linear(name + ".fc2", y, width))

    def unary(self, kind, x):
        functions = {"relu": F.relu, "gelu": F.gelu, "silu": F.silu, "sigmoid": torch.sigmoid,
                     "tanh": torch.tanh, "softmax": lambda v: F.softmax(v, 1),
                     "global_pool": lambda v: v.mean((2, 3), keepdim=True)}
        return self.add("unary %s %d" % (kind, x), functions[kind](self.nodes[x]))

    def relu(self, x):
        return self.unary("relu", x)

    def max_pool(self, x, kernel, stride, padding=0):
        y = F.max_pool2d(self.nodes[x], kernel, stride, padding)
        return self.add("max_pool %d %d %d %d" % (x, kernel, stride, padding), y)

    def avg_pool(self, x, kernel, stride, padding=0):
        y = F.avg_pool2d(self.nodes[x], kernel, stride, padding, count_include_pad=False)
        return self.add("avg_pool %d %d %d %d" % (x, kernel, stride, padding), y)

    def binary(self, kind, a, b):
        y = self.nodes[a] + self.nodes[b] if kind == "add" else self.nodes[a] * self.nodes[b]
        return self.add("%s %d %d" % (kind, a, b), y)

    def concat(self, *nodes):
        y = torch.cat([self.nodes[n] for n in nodes], 1)
        return self.add("concat %d %s" % (len(nodes), " ".join(map(str, nodes))), y)

    def reshape(self, x, *shape):
        y = self.nodes[x].reshape(-1, *shape)
        return self.add("reshape %d %d %d %d" % ((x,) + shape), y)

    def dropout(self, x, rate):
        assert rate == 0
        return self.add("dropout %d %g" % (x, rate), self.nodes[x] * 1)

    def shortcut_pad(self, x, out, stride):
        v = self.nodes[x][:, :, ::stride, ::stride]
        front = (out - v.shape[1]) // 2
        y = F.pad(v, (0, 0, 0, 0, front, out - v.shape[1] - front))
        return self.add("shortcut_pad %d %d %d" % (x, out, stride), y)

    def basic_block(self, name, x, out, stride):
        y = self.relu(self.batch_norm(name + ".bn1",
                                      self.conv(name + ".conv1", x, out, 3, stride, 1)))
        y = self.batch_norm(name + ".bn2", self.conv(name + ".conv2", y, out, 3, 1, 1))
        if stride != 1 or self.nodes[x].shape[1] != out:
            x = self.shortcut_pad(x, out, stride)
        return self.relu(self.binary("add", y, x))

    def expect(self, name, value, number_format="%.9g"):
        v = value.detach().reshape(-1).numpy()
        most = getattr(self, "kept", KEPT)
        stride = 1 if len(v) <= 2 * most else next_prime(len(v) // most)
        kept = v[::stride]
        self.lines.append("expect %s %d %d %.9g %d" % (
            name, len(v), stride, np.abs(v).max(), len(kept)))
        self.lines.append(" ".join(number_format % k for k in kept))

    def finish_settings(self):
        at = self.lines.index("input %d %d %d" % self.shape) + 1
        while at < len(self.lines) and self.lines[at].split()[0] in ("layer", "arch"):
            at += 1
        self.lines[at:at] = ["set %s %d %.17g %.17g" % ((k,) + v) for k, v in self.settings.items()]

    def end(self):
        """Outputs; in train mode also the gradients of sum(output * r), and running statistics."""
        y = self.nodes[-1]
        r = self.tensor("r", tuple(y.shape), 1.0).detach()
        self.finish_settings()
        self.expect("output", y)
        if self.mode == "train":
            leaves = dict(input=self.input, **self.parameters)
            gradients = torch.autograd.grad((y * r).sum(), list(leaves.values()), allow_unused=True)
            for name, g in zip(leaves, gradients): # ids have none
                self.expect("gradient:" + name, torch.zeros_like(leaves[name]) if g is None else g)
            for name, b in self.buffers.items():
                self.expect("after:" + name, b)
        self.file.lines += self.lines + ["end"]


def sandwich(file, name, batch, channels, size, body, **options):
    """The operator between two convolutions, where the engine keeps its blocked layout."""
    c = Case(file, name, batch, (3, size, size), **options)
    x = c.conv("before", 0, channels, 3, 1, 1, bias=True)
    x = body(c, x)
    c.conv("after", x, 5, 1, bias=True)
    c.end()


def convolutions():
    f = File("convolution")
    # batch, channels, height, width, out, kernel, stride, padding, dilation, groups, bias
    rows = {
        "one_of_everything": (1, 1, 1, 1, 1, 1, 1, 0, 1, 1, True),
        "pixel_under_3x3": (1, 3, 1, 1, 4, 3, 1, 1, 1, 1, True),
        "stem": (2, 3, 8, 8, 16, 3, 1, 1, 1, 1, False),
        "stem_of_one_channel": (2, 1, 9, 9, 32, 3, 1, 1, 1, 1, False),
        "odd_channels": (2, 3, 8, 8, 17, 3, 1, 1, 1, 1, True),
        "odd_channels_stride": (2, 17, 7, 7, 3, 3, 2, 1, 1, 1, True),
        "tall_kernel": (1, 17, 5, 6, 17, (3, 1), 1, 1, 1, 1, True),
        "wide_kernel": (2, 4, 6, 5, 7, (2, 5), 1, 2, 1, 1, True),
        "full_blocks": (3, 16, 6, 6, 32, 3, 1, 1, 1, 1, False),
        "full_blocks_square": (2, 32, 8, 8, 32, 3, 1, 1, 1, 1, False),
        "full_blocks_bias": (2, 64, 5, 5, 64, 3, 1, 1, 1, 1, True),
        "full_blocks_stride": (2, 16, 9, 9, 32, 3, 2, 1, 1, 1, False),
        "pointwise": (2, 17, 4, 4, 16, 1, 1, 0, 1, 1, True),
        "pointwise_stride": (2, 16, 7, 7, 32, 1, 2, 0, 1, 1, False),
        "five": (1, 3, 12, 12, 6, 5, 1, 0, 1, 1, True),
        "seven_stride": (2, 3, 15, 15, 16, 7, 2, 3, 1, 1, False),
        "stride_three": (1, 5, 11, 10, 9, 3, 3, 0, 1, 1, True),
        "dilated": (2, 3, 9, 9, 17, 3, 1, 2, 2, 1, True),
        "dilated_stride": (2, 16, 11, 11, 16, 3, 2, 3, 3, 1, False),
        "groups_of_two": (2, 6, 9, 9, 9, 3, 1, 1, 1, 3, True),
        "groups_of_eight": (2, 16, 6, 6, 16, 3, 1, 1, 1, 2, False),
        "groups_dilated": (2, 6, 9, 9, 9, 3, 1, 2, 2, 3, True),
        "depthwise": (2, 17, 6, 6, 17, 3, 1, 1, 1, 17, True),
        "depthwise_stride": (2, 32, 7, 7, 32, 3, 2, 1, 1, 32, False),
        "depthwise_twice": (2, 3, 6, 6, 6, 3, 1, 1, 1, 3, True),
        "wide_padding": (1, 3, 4, 4, 5, 3, 1, 2, 1, 1, True),
    }
    for name, (n, c, h, w, out, k, s, p, d, g, bias) in rows.items():
        case = Case(f, name, n, (c, h, w))
        case.conv("conv", 0, out, k, s, p, d, g, bias)
        case.end()
    for name, (n, c, h, w, out, k, s, p, d, g, bias) in rows.items():
        if name in ("odd_channels_stride", "full_blocks_stride", "pointwise", "dilated", "depthwise",
                    "groups_of_two", "tall_kernel", "depthwise_twice"):
            sandwich(f, name + "_between", n, c, h,
                     lambda case, x: case.conv("conv", x, out, k, s, p, d, g, bias))
    f.write()


def linears():
    f = File("linear")
    for name, n, shape, out, bias in (("one_to_one", 1, (1, 1, 1), 1, True),
                                      ("features", 3, (3, 1, 1), 17, True),
                                      ("many_features", 5, (100, 1, 1), 10, True),
                                      ("no_bias", 2, (17, 1, 1), 16, False),
                                      ("of_an_image", 2, (17, 3, 2), 10, True),
                                      ("of_one_image", 1, (3, 5, 5), 3, True)):
        c = Case(f, name, n, shape)
        c.linear("fc", 0, out, bias)
        c.end()
    c = Case(f, "behind_a_convolution", 3, (3, 5, 4))
    c.linear("fc", c.relu(c.conv("conv", 0, 17, 3, 1, 1, bias=True)), 10)
    c.end()
    c = Case(f, "chain", 4, (17, 1, 1))
    c.linear("fc3", c.relu(c.linear("fc2", c.relu(c.linear("fc1", 0, 33)), 1)), 3)
    c.end()
    f.write()


def norms():
    f = File("norm")
    shapes = {"one_channel": (2, 1, 3, 3), "features": (4, 17, 1, 1), "one_image": (1, 3, 4, 4),
              "full_block": (6, 16, 5, 5), "odd_channels": (3, 17, 4, 3)}
    for mode in ("train", "eval"):
        for name, (n, ch, h, w) in shapes.items():
            c = Case(f, "batch_norm_%s_%s" % (name, mode), n, (ch, h, w), mode)
            c.batch_norm("bn", 0)
            c.end()
            c = Case(f, "batch_norm_relu_%s_%s" % (name, mode), n, (ch, h, w), mode)
            c.relu(c.batch_norm("bn", 0))
            c.end()
        for ch in (1, 3, 16, 17):
            sandwich(f, "batch_norm_%d_between_%s" % (ch, mode), 3, ch, 5,
                     lambda c, x: c.batch_norm("bn", x), mode=mode)
            sandwich(f, "batch_norm_relu_%d_between_%s" % (ch, mode), 3, ch, 5,
                     lambda c, x: c.relu(c.batch_norm("bn", x)), mode=mode)
            sandwich(f, "batch_norm_add_relu_%d_between_%s" % (ch, mode), 3, ch, 5,
                     lambda c, x: c.relu(c.binary("add", c.batch_norm("bn", x), x)), mode=mode)
        # the norm's output is wanted twice: by a ReLU and by an addition
        sandwich(f, "batch_norm_read_twice_" + mode, 3, 17, 5,
                 lambda c, x: (lambda b: c.binary("add", c.relu(b), b))(c.batch_norm("bn", x)),
                 mode=mode)
    # values far from zero: the variance must not be lost in the mean's square
    c = Case(f, "batch_norm_far_from_zero", 4, (3, 4, 4), scale=0.25, offset=16.0,
             tolerance=1e-4)
    c.batch_norm("bn", 0)
    c.end()
    for name, (n, ch, h, w) in shapes.items():
        if ch * h * w > 1:
            c = Case(f, "layer_norm_" + name, n, (ch, h, w))
            c.layer_norm("ln", 0)
            c.end()
    sandwich(f, "layer_norm_between", 2, 17, 4, lambda c, x: c.layer_norm("ln", x))
    c = Case(f, "layer_norm_between_linear", 3, (5, 1, 1))
    c.linear("fc2", c.layer_norm("ln", c.linear("fc1", 0, 17)), 4)
    c.end()
    f.write()


def activations():
    f = File("activation")
    for kind in ("relu", "gelu", "silu", "sigmoid", "tanh", "softmax"):
        for name, n, shape in (("features", 3, (17, 1, 1)), ("image", 2, (3, 5, 4)),
                               ("one_value", 1, (1, 1, 1))):
            c = Case(f, kind + "_" + name, n, shape, scale=4.0, offset=1 / 64)
            c.unary(kind, 0)
            c.end()
        for channels in (3, 16, 17):
            sandwich(f, "%s_%d_between" % (kind, channels), 2, channels, 4,
                     lambda c, x: c.unary(kind, x), scale=2.0)
        c = Case(f, kind + "_between_linear", 3, (5, 1, 1), scale=2.0)
        c.linear("fc2", c.unary(kind, c.linear("fc1", 0, 17)), 4)
        c.end()
    for kind in ("gelu", "silu", "sigmoid", "tanh", "softmax"):
        c = Case(f, kind + "_large", 2, (9, 1, 1), scale=64.0)
        c.unary(kind, 0)
        c.end()
    f.write()


def pools():
    f = File("pool")
    rows = {"halves": (2, 3, 8, 8, 2, 2, 0), "odd_size": (2, 17, 7, 7, 2, 2, 0),
            "overlaps": (2, 3, 8, 8, 3, 2, 1), "slides": (1, 17, 5, 5, 3, 1, 1),
            "one_pixel": (1, 1, 1, 1, 1, 1, 0), "padded_pixel": (2, 3, 1, 1, 3, 2, 1),
            "steps_over": (2, 1, 7, 7, 2, 3, 0), "not_square": (2, 16, 6, 9, 2, 2, 0),
            "step_one": (3, 3, 4, 4, 2, 1, 0)}
    for kind in ("max_pool", "avg_pool"):
        for name, (n, c, h, w, k, s, p) in rows.items():
            case = Case(f, kind + "_" + name, n, (c, h, w), scale=4.0)
            getattr(case, kind)(0, k, s, p)
            case.end()
        for channels in (3, 16, 17):
            for name in ("halves", "odd_size", "overlaps"):
                n, _, h, _, k, s, p = rows[name]
                sandwich(f, "%s_%s_%d_between" % (kind, name, channels), n, channels, h,
                         lambda case, x: getattr(case, kind)(x, k, s, p))
    for name, n, shape in (("pixel", 2, (3, 1, 1)), ("image", 2, (17, 3, 5)), ("one", 1, (1, 7, 7))):
        c = Case(f, "global_pool_" + name, n, shape)
        c.unary("global_pool", 0)
        c.end()
    for channels in (1, 3, 16, 17):
        c = Case(f, "global_pool_%d_between" % channels, 2, (3, 5, 4))
        c.linear("fc", c.unary("global_pool", c.conv("conv", 0, channels, 3, 1, 1)), 4)
        c.end()
    f.write()


def shapes():
    f = File("shape")
    for kind in ("add", "mul"):
        c = Case(f, kind + "_with_itself", 2, (3, 4, 4))
        c.binary(kind, 0, 0)
        c.end()
        for channels in (1, 3, 16, 17):
            c = Case(f, "%s_%d" % (kind, channels), 2, (3, 4, 5))
            a = c.conv("a", 0, channels, 3, 1, 1)
            b = c.conv("b", 0, channels, 1)
            c.binary(kind, a, b)
            c.end()
        c = Case(f, kind + "_features", 3, (5, 1, 1))
        c.binary(kind, c.linear("a", 0, 7), c.linear("b", 0, 7))
        c.end()
    for channels in (1, 3, 16, 17):
        c = Case(f, "gate_%d" % channels, 2, (3, 4, 5))
        a = c.conv("a", 0, channels, 3, 1, 1)
        g = c.linear("gate", c.unary("global_pool", a), channels)
        c.conv("after", c.binary("mul", a, c.unary("sigmoid", g)), 4, 1)
        c.end()
    for name, widths in (("odd", (1, 3, 17)), ("blocks", (16, 32)), ("mixed", (16, 5, 16)),
                         ("one", (7,))):
        c = Case(f, "concat_" + name, 2, (3, 4, 4))
        nodes = [c.conv("c%d" % i, 0, w, 3, 1, 1) for i, w in enumerate(widths)]
        c.conv("after", c.concat(*nodes), 6, 3, 1, 1)
        c.end()
    c = Case(f, "concat_features_and_input", 3, (5, 1, 1))
    c.linear("fc", c.concat(0, c.linear("a", 0, 7), 0), 4)
    c.end()
    c = Case(f, "reshape_image", 2, (6, 4, 2))
    c.reshape(0, 3, 4, 4)
    c.end()
    c = Case(f, "reshape_between", 2, (3, 4, 4))
    x = c.reshape(c.conv("a", 0, 17, 3, 1, 1), 34, 4, 2)
    c.conv("b", c.reshape(x, 68, 2, 2), 3, 1)
    c.end()
    c = Case(f, "reshape_features_to_image", 2, (5, 1, 1))
    c.conv("b", c.reshape(c.linear("a", 0, 48), 3, 4, 4), 5, 3, 1, 1)
    c.end()
    for name, channels, out, stride, h, w in (("doubles", 16, 32, 2, 8, 8), ("odd", 3, 6, 2, 7, 5),
                                              ("one_more", 3, 4, 1, 4, 4), ("17", 17, 34, 2, 6, 6),
                                              ("same", 16, 16, 2, 6, 6), ("32", 32, 64, 2, 4, 4)):
        c = Case(f, "shortcut_pad_" + name, 2, (channels, h, w))
        c.shortcut_pad(0, out, stride)
        c.end()
        sandwich(f, "shortcut_pad_%s_between" % name, 2, channels, h,
                 lambda case, x: case.shortcut_pad(x, out, stride))
    c = Case(f, "dropout_of_nothing", 2, (3, 4, 4))
    c.conv("b", c.dropout(c.conv("a", 0, 17, 3, 1, 1), 0), 3, 1)
    c.end()
    c = Case(f, "read_four_times", 2, (3, 4, 4))
    x = c.conv("a", 0, 17, 3, 1, 1)
    y = c.binary("add", c.relu(x), c.unary("tanh", x))
    y = c.binary("mul", c.binary("add", y, x), x)
    c.conv("b", y, 3, 1)
    c.end()
    f.write()


def tokens():
    f = File("token")
    shapes = {"one_token": (2, 6, 1, 1), "row": (3, 12, 5, 1), "image": (2, 33, 3, 4),
              "one_channel": (2, 1, 4, 2), "full_block": (2, 48, 7, 1)}
    for name, (n, ch, h, w) in shapes.items():
        for bias in (True, False):
            c = Case(f, "token_linear_%s_%s" % (name, "bias" if bias else "plain"), n, (ch, h, w))
            c.token_linear("fc", 0, 17, bias)
            c.end()
        c = Case(f, "positions_" + name, n, (ch, h, w))
        c.positions("pos_embed", 0, 2 + h % 2)
        c.end()
        c = Case(f, "transpose_" + name, n, (ch, h, w))
        c.transpose(0)
        c.end()
        if ch > 1:
            c = Case(f, "token_norm_" + name, n, (ch, h, w), scale=2.0, offset=1.0)
            c.token_norm("ln", 0)
            c.end()
    for name, n, shape, heads in (("one_head", 2, (12, 5, 1), 1), ("heads", 2, (24, 3, 3), 4),
                                  ("one_token", 3, (6, 1, 1), 2), ("wide", 1, (96, 17, 1), 2),
                                  ("thin", 2, (9, 4, 4), 3)):
        for causal in (False, True):
            c = Case(f, "attention_%s%s" % (name, "_causal" if causal else ""), n, shape, scale=2.0)
            c.attention(0, heads, causal)
            c.end()
    # logits so far apart that a softmax without its maximum taken off would overflow
    c = Case(f, "attention_peaked", 2, (6, 5, 1), scale=16.0)
    c.attention(0, 1, True)
    c.end()
    for channels in (3, 16, 17):
        sandwich(f, "token_linear_%d_between" % channels, 2, channels, 4,
                 lambda c, x: c.unary("gelu", c.token_linear("fc", x, 20)))
        sandwich(f, "token_norm_%d_between" % channels, 2, channels, 4,
                 lambda c, x: c.token_norm("ln", x))
        sandwich(f, "upsample_%d_between" % channels, 2, channels, 3, lambda c, x: c.upsample(x, 2))
    sandwich(f, "transformer_between", 2, 12, 3,
             lambda c, x: c.transformer_block("block", c.positions("pos", x, 3), 3, False))
    sandwich(f, "mixer_between", 2, 12, 3, lambda c, x: c.reshape(
        c.transpose(c.token_linear("mix", c.transpose(c.token_norm("ln", x)), 9)), 12, 3, 3))
    c = Case(f, "token_linear_relu", 2, (5, 4, 3))
    c.token_linear("fc2", c.relu(c.token_linear("fc1", 0, 17)), 6)
    c.end()
    c = Case(f, "logits_by_token", 2, (5, 6, 1))
    c.transpose(c.token_linear("head", c.token_norm("ln", c.token_linear("fc", 0, 8)), 4))
    c.end()
    for name, n, shape, groups in (("one", 2, (6, 3, 3), 1), ("three", 2, (6, 4, 3), 3),
                                   ("instances", 2, (5, 4, 4), 5), ("features", 3, (8, 1, 1), 2)):
        c = Case(f, "group_norm_" + name, n, shape, scale=2.0, offset=1.0)
        c.group_norm("gn", 0, groups)
        c.end()
    sandwich(f, "group_norm_between", 2, 18, 4, lambda c, x: c.relu(c.group_norm("gn", x, 3)))
    for factor in (1, 2, 3):
        c = Case(f, "upsample_%d" % factor, 2, (3, 2, 4))
        c.upsample(0, factor)
        c.end()
    f.write()


def embeddings():
    """Ids are 127 + 128 noise: whole numbers from 0 to 254, some of them more than once."""
    f = File("embedding")
    for name, n, shape, width in (("row", 3, (1, 9, 1), 4), ("image", 2, (1, 3, 5), 17),
                                  ("many", 40, (1, 64, 1), 3)):
        for mode in ("train", "eval"):
            c = Case(f, "%s_%s" % (name, mode), n, shape, mode, scale=128.0, offset=127.0)
            c.embedding("wte", 0, 255, width)
            c.end()
    c = Case(f, "small_language_model", 3, (1, 8, 1), scale=128.0, offset=127.0)
    x = c.positions("wpe.weight", c.embedding("wte", 0, 255, 12), 2)
    x = c.transformer_block("h.0", x, 2, True)
    c.transpose(c.token_linear("lm_head", c.token_norm("ln_f", x), 20, bias=False))
    c.end()
    f.write()


def small_residual(c):
    x = c.relu(c.batch_norm("bn1", c.conv("conv1", 0, 16, 3, 1, 1)))
    x = c.basic_block("layer1.0", x, 16, 1)
    x = c.basic_block("layer2.0", x, 32, 2)
    x = c.unary("global_pool", x)
    return c.linear("fc", x, 10)


def networks():
    f = File("network")
    for mode in ("train", "eval"):
        c = Case(f, "mlp_" + mode, 8, (1, 6, 6), mode)
        c.lines.append("arch mlp:widths=50x33 10")
        c.quiet = True
        x = c.relu(c.linear("fc1", 0, 50))
        x = c.relu(c.linear("fc2", x, 33))
        c.linear("fc3", x, 10)
        c.end()
        c = Case(f, "small_residual_" + mode, 6, (3, 10, 10), mode)
        small_residual(c)
        c.end()
        c = Case(f, "resnet8_" + mode, 4, (3, 16, 16), mode)
        c.lines.append("arch resnet8 10")
        c.quiet = True
        x = c.relu(c.batch_norm("bn1", c.conv("conv1", 0, 16, 3, 1, 1)))
        for stage, out in enumerate((16, 32, 64)):
            x = c.basic_block("layer%d.0" % (stage + 1), x, out, 2 if stage else 1)
        c.linear("linear", c.unary("global_pool", x), 10)
        c.end()
        c = Case(f, "cnn_" + mode, 4, (1, 12, 12), mode)
        c.lines.append("arch cnn 10")
        c.quiet = True
        x = 0
        for i, out in enumerate((16, 64, 128)):
            x = c.relu(c.batch_norm("bn%d" % (i + 1), c.conv("conv%d" % (i + 1), x, out, 3, 1, 1)))
            x = c.max_pool(x, 2, 2)
        x = c.relu(c.linear("fc1", x, 128))
        c.linear("fc2", x, 10)
        c.end()
    f.write()


def named_architectures():
    f = File("architecture")
    rows = (("mobilenetv2:width=0.25", (3, 16, 16), 10, architectures.MobileNetV2(0.25, 10)),
            ("densenet:depth=10,growth=5", (3, 8, 8), 4, architectures.DenseNet(10, 5, False, 4)),
            ("densenet:depth=16,growth=4,form=bc", (3, 8, 8), 4,
             architectures.DenseNet(16, 4, True, 4)),
            ("vit-tiny:depth=2,width=24,heads=3", (3, 12, 12), 5,
             architectures.Vit(12, 4, 24, 2, 3, 5)),
            ("mlp-mixer:depth=2,width=20", (3, 12, 12), 5, architectures.Mixer(12, 4, 20, 2, 5)),
            ("gpt-tiny:depth=2,width=16,heads=2", (1, 7, 1), 255,
             architectures.Gpt(255, 7, 16, 2, 2)))
    for spec, shape, classes, net in rows:
        ids = spec.startswith("gpt")
        c = Case(f, spec.split(":")[0], 3, shape, scale=128.0 if ids else 1.0,
                 offset=127.0 if ids else 0.0, tolerance=1e-4)
        c.lines.append("arch %s %d" % (spec, classes))
        c.kept = 12
        for name, value in list(net.named_parameters()):
            scale = name.endswith("weight") and value.dim() == 1
            v = c.parameter(name, tuple(value.shape), 16 if value.dim() < 2 else value[0].numel(),
                            1.0 if scale else 0.0)
            value.data = v.detach()
            c.parameters[name] = value
        for name, value in net.named_buffers():
            if "running" in name:
                value.data = c.buffer(name, tuple(value.shape), 0.5, 1.0 if "var" in name else 0.0)
                c.buffers[name] = value
        y = net.train()(c.input)
        c.nodes.append(y)
        c.end()
    f.write()


def trajectory():
    """Three SGD steps of the small residual network, as torch.optim.SGD takes them."""
    f = File("trajectory")
    steps, rate, momentum, decay, label_seed = 3, 0.125, 0.9, 5e-4, 1000
    c = Case(f, "small_residual", 8, (3, 10, 10))
    small_residual(c)
    seed, scale, offset = c.settings["input"]
    c.finish_settings()
    c.lines.append("train %d %.17g %.17g %.17g %d" % (steps, rate, momentum, decay, label_seed))
    current = {}
    for name, value in {**c.parameters, **c.buffers}.items():
        s, sc, off = c.settings[name]
        current[name] = torch.tensor(noise(s, value.numel()) * sc + off).reshape(value.shape)
    velocity = {k: torch.zeros_like(v) for k, v in c.parameters.items()}
    losses = []
    for step in range(steps):
        run = Case(f, "step", 8, (3, 10, 10))
        run.nodes[0] = torch.tensor(noise(seed + step, 8 * 300) * scale + offset).reshape(8, 3, 10, 10)
        run.tensor = lambda name, shape, s, o=0.0: current[name].clone().requires_grad_()
        small_residual(run)
        labels = torch.tensor(noise_labels(label_seed + step, 8, 10))
        loss = F.cross_entropy(run.nodes[-1].flatten(1), labels)
        losses.append(loss.detach())
        gradients = torch.autograd.grad(loss, list(run.parameters.values()))
        for name, g in zip(run.parameters, gradients):
            velocity[name] = momentum * velocity[name] + g + decay * current[name]
            current[name] = current[name] - rate * velocity[name]
        for name, b in run.buffers.items():
            current[name] = b
    c.expect("losses", torch.stack(losses), "%.12g")
    for name, value in current.items():
        c.expect("after:" + name, value)
    f.lines += c.lines + ["end"]
    f.write()


def losses():
    f = File("loss")

    def values(seed, n, classes, scale, offset):
        return torch.tensor(noise(seed, n * classes) * scale + offset).reshape(n, classes)

    def record(kind, n, classes, smoothing, scale, function):
        lines = ["case %s_%d_%d_%g" % (kind, n, classes, smoothing),
                 "loss %s %d %d %.17g" % (kind, n, classes, smoothing)]
        z = values(11, n, classes, scale, 0.0).requires_grad_()
        t = values(12, n, classes, 0.5, 0.5)
        labels = torch.tensor(noise_labels(13, n, classes))
        lines += ["set logits 11 %.17g 0" % scale, "set targets 12 0.5 0.5", "set labels 13 1 0"]
        each = function(z, t, labels)
        g, = torch.autograd.grad(each.mean(), z)
        holder = Case.__new__(Case)
        holder.lines = lines
        holder.expect("mean", each.mean().reshape(1))
        holder.expect("losses", each)
        holder.expect("gradient:logits", g)
        f.lines.extend(lines + ["end"])

    for n, classes, scale in ((1, 1, 4.0), (1, 10, 8.0), (5, 3, 4.0), (7, 17, 16.0), (3, 100, 8.0),
                              (4, 10, 256.0)):
        for smoothing in (0.0, 0.125):
            record("cross_entropy", n, classes, smoothing, scale, lambda z, t, y: F.cross_entropy(
                z, y, reduction="none", label_smoothing=smoothing))
        record("cross_entropy_soft", n, classes, 0, scale,
               lambda z, t, y: F.cross_entropy(z, t, reduction="none"))
        record("squared", n, classes, 0, scale,
               lambda z, t, y: F.mse_loss(z, t, reduction="none").mean(1))
        record("sigmoid", n, classes, 0, scale,
               lambda z, t, y: F.binary_cross_entropy_with_logits(z, t, reduction="none").mean(1))
    f.write()


if __name__ == "__main__":
    for make in (convolutions, linears, norms, activations, pools, shapes, tokens, embeddings,
                 networks, named_architectures, trajectory, losses):
        make()
    total = sum(os.path.getsize(os.path.join(HERE, n)) for n in os.listdir(HERE))
    print("%d bytes in %s" % (total, HERE), file=sys.stderr)
