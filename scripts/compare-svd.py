#!/usr/bin/env python3
"""Singular values of 200 matrices of all shapes, formats and conditions against LAPACK in double.

    python3 scripts/compare-svd.py [--library build/src/libsonde.so] [--seed 1] [--large]

Calls sonde_singular_values of the shared library and numpy.linalg.svd on the same matrices, of
which every family has its share, and prints the worst error of each: of a singular value, in units of the
largest one (must be at most 1e-14), and of an eigenvalue s^2, likewise (at most 1e-10). Every matrix
is given a second time transposed, where the bits must be the same. Needs numpy. Ends with status 1
when a limit was passed. --large adds matrices of 1024 to 2048 rows.
"""
import argparse
import ctypes
import glob
import os
import sys

# One thread each: small matrices gain nothing from more, and waiting threads would keep cores busy.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np  # noqa: E402, reads the settings when it is loaded

VALUES, EIGENVALUES = 1e-14, 1e-10
F64, F32, BF16, F16 = 1, 2, 3, 4
NAMES = {F64: "f64", F32: "f32", BF16: "bf16", F16: "f16"}


class Matrix(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("dtype", ctypes.c_int), ("rows", ctypes.c_size_t),
                ("cols", ctypes.c_size_t), ("row_stride", ctypes.c_size_t)]


class Library:
    def __init__(self, path):
        self.calls = ctypes.CDLL(path)
        self.context = ctypes.c_void_p()
        self.calls.sonde_singular_values.argtypes = [ctypes.c_void_p, ctypes.POINTER(Matrix),
                                                     ctypes.POINTER(ctypes.c_double)]
        if self.calls.sonde_context_create(None, ctypes.byref(self.context)) != 0:
            sys.exit("no context")

    def values(self, array, dtype):
        array = np.ascontiguousarray(array)
        out = np.empty(min(array.shape))
        matrix = Matrix(array.ctypes.data, dtype, array.shape[0], array.shape[1], 0)
        status = self.calls.sonde_singular_values(
            self.context, ctypes.byref(matrix), out.ctypes.data_as(ctypes.POINTER(ctypes.c_double)))
        if status != 0:
            sys.exit("status %d for a %s matrix" % (status, array.shape))
        return out


def find_library():
    for pattern in ("build/src/libsonde.so", "build*/src/libsonde.so", "build*/**/libsonde.so"):
        found = sorted(glob.glob(pattern, recursive=True))
        if found:
            return found[0]
    sys.exit("no libsonde.so under build/: name it with --library")


def stored(array, dtype):
    """What is handed over, and the doubles that it means."""
    if dtype == F64:
        return array, array
    if dtype == F16:
        half = array.astype(np.float16)
        return half, half.astype(np.float64)
    single = array.astype(np.float32)
    if dtype == F32:
        return single, single.astype(np.float64)
    upper = (single.view(np.uint32) >> 16).astype(np.uint16)
    return upper, (upper.astype(np.uint32) << 16).view(np.float32).astype(np.float64)


def orthogonal(rng, rows, cols):
    return np.linalg.qr(rng.standard_normal((rows, cols)))[0]


def of_spectrum(rng, rows, cols, spectrum):
    n = min(rows, cols)
    return (orthogonal(rng, rows, n) * spectrum(n)) @ orthogonal(rng, cols, n).T


def gaussian(rng, r, c):
    return rng.standard_normal((r, c)) / np.sqrt(c)


def clustered(n):
    return np.where(np.arange(n) < n // 2, 1.0, 1e-7)


FAMILIES = {
    "gaussian": gaussian,
    "uniform, mean not zero": lambda rng, r, c: rng.random((r, c)),
    "heavy tail": lambda rng, r, c: np.clip(rng.standard_t(1.5, (r, c)), -1e3, 1e3) / 1e2,
    "geometric to 1e-12": lambda rng, r, c: of_spectrum(
        rng, r, c, lambda n: np.logspace(0, -12, n)),
    "two clusters": lambda rng, r, c: of_spectrum(rng, r, c, clustered),
    "all equal": lambda rng, r, c: of_spectrum(rng, r, c, np.ones),
    "one small": lambda rng, r, c: of_spectrum(
        rng, r, c, lambda n: np.append(np.linspace(1, 0.5, n)[:-1], 1e-9)),
    "rank deficient": lambda rng, r, c: gaussian(rng, r, max(1, min(r, c) // 2)) @ gaussian(
        rng, max(1, min(r, c) // 2), c),
    "integers": lambda rng, r, c: rng.integers(-3, 4, (r, c)).astype(float),
    "graded rows and columns": lambda rng, r, c: gaussian(rng, r, c) * np.logspace(0, -6, r)[:, None]
    * np.logspace(0, -6, c),
    "sparse": lambda rng, r, c: gaussian(rng, r, c) * (rng.random((r, c)) < 0.02),
    "spikes": lambda rng, r, c: gaussian(rng, r, c) + 20 * np.outer(
        rng.standard_normal(r), rng.standard_normal(c)) / np.sqrt(r * c),
    "zero rows": lambda rng, r, c: gaussian(rng, r, c) * (np.arange(r) % 3 != 0)[:, None],
    "huge and tiny (f64)": lambda rng, r, c: gaussian(rng, r, c) * 10.0 ** rng.choice([-250, 250]),
}
SHAPES = [(1, 1), (1, 300), (2, 2), (3, 7), (5, 200), (17, 17), (31, 33), (32, 32), (64, 65),
          (100, 100), (127, 200), (150, 1000), (191, 191), (200, 211), (256, 256), (300, 333),
          (333, 1500), (385, 400), (400, 401), (511, 700), (640, 640)]
LARGE = [(1024, 1024), (1000, 4000), (1500, 1501), (2048, 2048)]


def measure(library, array, dtype):
    given, doubles = stored(array, dtype)
    ours = library.values(given, dtype)
    turned = library.values(given.T, dtype)
    # Powers of two change no bit of a significand; LAPACK then needs no scaling of its own.
    exponent = int(np.frexp(np.abs(doubles).max())[1])
    # With vectors: without them LAPACK takes dqds, which errs by 1e-14 itself in tight clusters.
    theirs = np.linalg.svd(np.ldexp(doubles, -exponent), full_matrices=False)[1][::-1]
    ours = np.ldexp(ours, -exponent)
    most = theirs[-1]
    if most == 0:
        return np.abs(ours).max(), np.abs(ours).max(), True
    return (np.abs(ours - theirs).max() / most,
            np.abs(ours**2 - theirs**2).max() / most**2,
            np.array_equal(np.ldexp(turned, -exponent), ours))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--library")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--large", action="store_true")
    options = parser.parse_args()
    library = Library(os.path.abspath(options.library or find_library()))
    rng = np.random.default_rng(options.seed)
    names, worst, bits = list(FAMILIES), {}, 0
    cases = [(names[i % len(names)], SHAPES[(i * 5 + i // len(names)) % len(SHAPES)], i)
             for i in range(options.count)]
    if options.large:
        cases += [(name, shape, 0) for name in names[:8] for shape in LARGE]
    for name, shape, i in cases:
        shape = shape if i % 2 == 0 else shape[::-1]
        dtype = F64 if "f64" in name else (F64, F32, BF16, F16)[(i // len(names)) % 4]
        value, eigenvalue, same = measure(library, FAMILIES[name](rng, *shape), dtype)
        bits += not same
        entry = worst.setdefault(name, [0, -1.0, 0.0, ""])
        entry[0] += 1
        entry[2] = max(entry[2], eigenvalue)
        if value > entry[1]:
            entry[1], entry[3] = value, "%d x %d %s" % (*shape, NAMES[dtype])
    print("| matrices | number | worst error of s / s_max | of s^2 / s_max^2 | worst at |")
    print("|---|---|---|---|---|")
    for name, (count, value, eigenvalue, where) in worst.items():
        print("| %s | %d | %.1e | %.1e | %s |" % (name, count, value, eigenvalue, where))
    value = max(w[1] for w in worst.values())
    eigenvalue = max(w[2] for w in worst.values())
    good = value <= VALUES and eigenvalue <= EIGENVALUES and bits == 0
    print("\n%d matrices: %.1e (limit %.0e), %.1e (limit %.0e); %d differ from their transpose: %s" % (
        len(cases), value, VALUES, eigenvalue, EIGENVALUES, bits, "good" if good else "NOT GOOD"))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
