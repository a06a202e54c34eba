#!/usr/bin/env python3
"""The architectures of src/net/arch_{mobilenet,densenet,transformer,mixer}.c as PyTorch modules, with the
parameter names of the implementations that users know: kuangliu/pytorch-cifar (MobileNetV2),
andreasveit/densenet-pytorch, timm (ViT and MLP-Mixer, average pooling), nanoGPT (untied head).

    python3 tests/golden/architectures.py        (prints the parameter counts of tests/unit/net_arch.c)

make_golden.py records their outputs and gradients.
"""
import torch
import torch.nn as nn
import torch.nn.functional as F


class InvertedResidual(nn.Module):
    def __init__(self, i, o, expansion, stride):
        super().__init__()
        planes, self.stride = expansion * i, stride
        self.conv1, self.bn1 = nn.Conv2d(i, planes, 1, bias=False), nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, 1, groups=planes, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3, self.bn3 = nn.Conv2d(planes, o, 1, bias=False), nn.BatchNorm2d(o)
        self.shortcut = nn.Sequential()
        if stride == 1 and i != o:
            self.shortcut = nn.Sequential(nn.Conv2d(i, o, 1, bias=False), nn.BatchNorm2d(o))

    def forward(self, x):
        y = F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))
        y = self.bn3(self.conv3(y))
        return y + self.shortcut(x) if self.stride == 1 else y


class MobileNetV2(nn.Module):
    def __init__(self, factor, classes):
        super().__init__()

        def scaled(v):
            new = max(8, int(v * factor + 4) // 8 * 8)
            return new + 8 if new < 0.9 * v * factor else new
        i = scaled(32)
        self.conv1, self.bn1 = nn.Conv2d(3, i, 3, 1, 1, bias=False), nn.BatchNorm2d(i)
        layers = []
        for expansion, out, blocks, stride in ((1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2),
                                               (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
                                               (6, 320, 1, 1)):
            for k in range(blocks):
                layers.append(InvertedResidual(i, scaled(out), expansion, 1 if k else stride))
                i = scaled(out)
        self.layers = nn.Sequential(*layers)
        last = scaled(1280) if factor > 1 else 1280
        self.conv2, self.bn2 = nn.Conv2d(i, last, 1, bias=False), nn.BatchNorm2d(last)
        self.linear = nn.Linear(last, classes)

    def forward(self, x):
        x = self.layers(F.relu(self.bn1(self.conv1(x))))
        return self.linear(F.relu(self.bn2(self.conv2(x))).mean((2, 3)))


class DenseLayer(nn.Module):
    def __init__(self, i, growth, bottleneck):
        super().__init__()
        self.bottleneck = bottleneck
        self.bn1 = nn.BatchNorm2d(i)
        if bottleneck:
            self.conv1 = nn.Conv2d(i, 4 * growth, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(4 * growth)
            self.conv2 = nn.Conv2d(4 * growth, growth, 3, 1, 1, bias=False)
        else:
            self.conv1 = nn.Conv2d(i, growth, 3, 1, 1, bias=False)

    def forward(self, x):
        y = self.conv1(F.relu(self.bn1(x)))
        return torch.cat([x, self.conv2(F.relu(self.bn2(y))) if self.bottleneck else y], 1)


class Transition(nn.Module):
    def __init__(self, i, o):
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(i), nn.Conv2d(i, o, 1, bias=False)

    def forward(self, x):
        return F.avg_pool2d(self.conv1(F.relu(self.bn1(x))), 2)


class DenseNet(nn.Module):
    def __init__(self, depth, growth, bottleneck, classes):
        super().__init__()
        i, n = 2 * growth if bottleneck else 16, (depth - 4) // 3 // (2 if bottleneck else 1)
        self.conv1 = nn.Conv2d(3, i, 3, 1, 1, bias=False)
        for b in (1, 2, 3):
            block = nn.Module()
            block.layer = nn.Sequential(*(DenseLayer(i + k * growth, growth, bottleneck)
                                          for k in range(n)))
            setattr(self, "block%d" % b, block)
            i += n * growth
            if b < 3:
                out = i // 2 if bottleneck else i
                setattr(self, "trans%d" % b, Transition(i, out))
                i = out
        self.bn1, self.fc = nn.BatchNorm2d(i), nn.Linear(i, classes)

    def forward(self, x):
        x = self.trans1(self.block1.layer(self.conv1(x)))
        x = self.block3.layer(self.trans2(self.block2.layer(x)))
        return self.fc(F.relu(self.bn1(x)).mean((2, 3)))


def attention(qkv, heads, causal):
    n, t, d = qkv.shape
    q, k, v = qkv.reshape(n, t, 3, heads, d // 3 // heads).permute(2, 0, 3, 1, 4)
    return F.scaled_dot_product_attention(q, k, v, is_causal=causal).transpose(1, 2).reshape(
        n, t, d // 3)


class Perceptron(nn.Module):
    def __init__(self, d, hidden):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(d, hidden), nn.Linear(hidden, d)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class VitBlock(nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.heads, self.attn = heads, nn.Module()
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.attn.qkv, self.attn.proj = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.mlp = Perceptron(d, 4 * d)

    def forward(self, x):
        x = x + self.attn.proj(attention(self.attn.qkv(self.norm1(x)), self.heads, False))
        return x + self.mlp(self.norm2(x))


def patches(i, d, patch):
    made = nn.Module()
    made.proj = nn.Conv2d(i, d, patch, patch)
    return made


class Vit(nn.Module):
    def __init__(self, image, patch, d, depth, heads, classes):
        super().__init__()
        self.patch_embed = patches(3, d, patch)
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, (image // patch)**2, d))
        self.blocks = nn.Sequential(*(VitBlock(d, heads) for _ in range(depth)))
        self.fc_norm, self.head = nn.LayerNorm(d), nn.Linear(d, classes)

    def forward(self, x):
        x = self.patch_embed.proj(x).flatten(2).transpose(1, 2) + self.pos_embed
        return self.head(self.fc_norm(self.blocks(x).mean(1)))


class MixerBlock(nn.Module):
    def __init__(self, tokens, d):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.mlp_tokens, self.mlp_channels = Perceptron(tokens, d // 2), Perceptron(d, 4 * d)

    def forward(self, x):
        x = x + self.mlp_tokens(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        return x + self.mlp_channels(self.norm2(x))


class Mixer(nn.Module):
    def __init__(self, image, patch, d, depth, classes):
        super().__init__()
        self.stem = patches(3, d, patch)
        self.blocks = nn.Sequential(*(MixerBlock((image // patch)**2, d) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(d), nn.Linear(d, classes)

    def forward(self, x):
        x = self.stem.proj(x).flatten(2).transpose(1, 2)
        return self.head(self.norm(self.blocks(x)).mean(1))


class GptBlock(nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.heads, self.attn, self.mlp = heads, nn.Module(), nn.Module()
        self.ln_1, self.ln_2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.attn.c_attn, self.attn.c_proj = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.mlp.c_fc, self.mlp.c_proj = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)

    def forward(self, x):
        x = x + self.attn.c_proj(attention(self.attn.c_attn(self.ln_1(x)), self.heads, True))
        return x + self.mlp.c_proj(F.gelu(self.mlp.c_fc(self.ln_2(x))))


class Gpt(nn.Module):
    """x: n x 1 x tokens x 1, ids as floats; gives n x tokens x vocabulary."""

    def __init__(self, vocabulary, context, d, depth, heads):
        super().__init__()
        self.transformer = nn.ModuleDict(dict(
            wte=nn.Embedding(vocabulary, d), wpe=nn.Embedding(context, d),
            h=nn.ModuleList(GptBlock(d, heads) for _ in range(depth)), ln_f=nn.LayerNorm(d)))
        self.lm_head = nn.Linear(d, vocabulary, bias=False)

    def forward(self, x):
        t = self.transformer
        x = t.wte(x.detach()[:, 0, :, 0].long()) + t.wpe.weight
        for block in t.h:
            x = block(x)
        return self.lm_head(t.ln_f(x))


if __name__ == "__main__":
    for name, net in (("mobilenetv2", MobileNetV2(1.0, 10)),
                      ("mobilenetv2:width=0.5", MobileNetV2(0.5, 10)),
                      ("mobilenetv2:width=1.4", MobileNetV2(1.4, 10)),
                      ("densenet", DenseNet(40, 12, False, 10)),
                      ("densenet:depth=100,form=bc", DenseNet(100, 12, True, 10)),
                      ("densenet:depth=40,form=bc", DenseNet(40, 12, True, 10)),
                      ("vit-tiny", Vit(32, 4, 192, 12, 3, 10)),
                      ("vit-tiny:depth=6,width=64,heads=4,patch=8", Vit(32, 8, 64, 6, 4, 10)),
                      ("mlp-mixer", Mixer(32, 4, 128, 8, 10)),
                      ("gpt-tiny, 65 characters, context 64", Gpt(65, 64, 128, 4, 4))):
        print("%-48s %9d" % (name, sum(p.numel() for p in net.parameters())))
