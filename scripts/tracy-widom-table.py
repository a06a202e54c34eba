#!/usr/bin/env python3
"""The table of src/num/tracy_widom.c: upper quantiles of the Tracy-Widom law for beta = 1.

F_1(s) = det(1 - K_s), K_s(x, y) = Ai((x + y) / 2) / 2 on (s, infinity) (Ferrari and Spohn 2005,
arXiv math-ph/0505012), by Gauss-Legendre quadrature as in Bornemann 2010 (arXiv 0804.2543).
Needs numpy and scipy. First prints quantiles that are published, for comparison.
"""
import numpy as np
from scipy.optimize import brentq
from scipy.special import airy

NODES, WEIGHTS = np.polynomial.legendre.leggauss(80)
LENGTH = 16.0  # of the half-line that matters: the kernel has fallen by exp(-LENGTH^1.5 / 3)


def upper_tail(s):
    x = s + (NODES + 1) / 2 * LENGTH
    root = np.sqrt(WEIGHTS * LENGTH / 2)
    kernel = airy((x[:, None] + x[None, :]) / 2)[0] / 2 * root[:, None] * root[None, :]
    return -np.expm1(np.linalg.slogdet(np.eye(len(x)) - kernel)[1])


def quantile(tail):
    return brentq(lambda s: np.log(upper_tail(s) / tail), -3, 12, xtol=1e-13)


for level in (0.9, 0.95, 0.975, 0.99, 0.995, 0.999):
    print(f"{level}: {quantile(1 - level):.4f}")
print(", ".join(f"{quantile(10 ** (-k / 2)):.6f}" for k in range(2, 19)))
