"""The benchmark's networks in PyTorch, layer for layer those of src/net/arch_*.c, and how a variant
of PyTorch is set up: memory layout, torch.compile, optimizer implementation, malloc, threads."""
import os
import resource
import sys

try:
    import torch
    import torch.nn as nn
    import torch.nn.functional as F
except ImportError:
    sys.exit("PyTorch is missing, so the peer cannot be measured. "
             "python3 -m pip install torch==2.13.0 (the CPU build) and run this again.")

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "golden"))
import architectures  # noqa: E402  (the networks that recorded values come from)

# Memory that glibc gives back to the system after every step is faulted in again by the next one.
# These settings keep it; a careful user of PyTorch on a CPU sets them.
MALLOC = {"MALLOC_MMAP_THRESHOLD_": "1073741824", "MALLOC_TRIM_THRESHOLD_": "8589934592",
          "MALLOC_TOP_PAD_": "67108864"}

# name: channels_last, compiled, fused optimizer, malloc settings
VARIANTS = {
    "eager": (False, False, False, False),
    "eager+fused": (False, False, True, False),
    "eager+fused+malloc": (False, False, True, True),
    "channels_last": (True, False, False, False),
    "channels_last+fused": (True, False, True, False),
    "channels_last+fused+malloc": (True, False, True, True),
    "compile+fused": (False, True, True, False),
    "compile+fused+malloc": (False, True, True, True),
    "compile+channels_last+fused": (True, True, True, False),
    "compile+channels_last+fused+malloc": (True, True, True, True),
}


class Block(nn.Module):
    """Basic block with the parameter-free shortcut (option A)."""

    def __init__(self, inputs, out, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.stride, self.pad = stride, (out - inputs) // 2

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.stride != 1 or self.pad:
            x = F.pad(x[:, :, ::self.stride, ::self.stride], (0, 0, 0, 0, self.pad, self.pad))
        return F.relu(y + x)


class ResNet20(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        layers, width = [], 16
        for out, stride in ((16, 1), (32, 2), (64, 2)):
            for i in range(3):
                layers.append(Block(width, out, stride if i == 0 else 1))
                width = out
        self.layers = nn.Sequential(*layers)
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        x = self.layers(F.relu(self.bn1(self.conv1(x))))
        return self.linear(x.mean((2, 3)))


def cnn():
    def stage(inputs, out):
        return [nn.Conv2d(inputs, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU(),
                nn.MaxPool2d(2)]
    return nn.Sequential(*stage(1, 16), *stage(16, 64), *stage(64, 128), nn.Flatten(),
                         nn.Linear(1152, 128), nn.ReLU(), nn.Linear(128, 10))


def mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512),
                         nn.ReLU(), nn.Linear(512, 10))


# name: constructor, input shape, parameters (as tests/unit/net_arch.c counts them)
NETS = {"resnet20": (ResNet20, (3, 32, 32), 269722),
        "cnn": (cnn, (1, 28, 28), None),
        "mlp": (mlp, (1, 28, 28), 669706),
        "mobilenetv2": (lambda: architectures.MobileNetV2(1.0, 10), (3, 32, 32), 2296922),
        "vit-tiny": (lambda: architectures.Vit(32, 4, 192, 12, 3, 10), (3, 32, 32), 5362378)}


class Trainer:
    """A network with the whole training step of one variant."""

    def __init__(self, net, variant, threads):
        channels_last, compiled, fused, _ = VARIANTS[variant]
        torch.set_num_threads(threads)
        torch.manual_seed(1)
        make, self.shape, parameters = NETS[net]
        self.model = make()
        count = sum(p.numel() for p in self.model.parameters())
        assert parameters in (None, count), "%s has %d parameters" % (net, count)
        self.channels_last = channels_last and net != "mlp"
        if self.channels_last:
            self.model = self.model.to(memory_format=torch.channels_last)
        self.run = torch.compile(self.model) if compiled else self.model
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.05, momentum=0.9,
                                         weight_decay=5e-4, fused=fused or None,
                                         foreach=None if fused else True)

    def step(self, x, y):
        if self.channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        self.optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(self.run(x), y)
        loss.backward()
        self.optimizer.step()
        return loss


def environment(variant, threads):
    """For a child process: thread counts of every library, malloc settings."""
    result = dict(os.environ, OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads))
    if VARIANTS[variant][3]:
        result.update(MALLOC)
    return result


def peak_rss_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
