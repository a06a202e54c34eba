#!/usr/bin/env python3
"""The numbers of weightwatcher and ours on the same matrices, layer by layer, as Markdown.

    pip install weightwatcher==0.7.7 torch        (in an environment of its own)
    python3 scripts/compare-weightwatcher.py [--library build/src/libsonde.so] [--data FOLDER]
        > docs/evidence/weightwatcher.md

Two trained networks (FOLDER/cifar-resnets, from SONDE_DATA by default; left out without it) and made-up
matrices whose answer is known. Ours come from the shared library: singular values of each slice, pooled,
judged. Every difference in a column that should agree is either explained by a rule of weightwatcher that
the script then applies to our eigenvalues as well, or printed as unexplained; unexplained ones end the
script with status 1.
"""
import argparse
import contextlib
import ctypes
import io
import logging
import math
import os
import sys
import time
import warnings

import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
warnings.simplefilter("ignore")
with contextlib.redirect_stdout(io.StringIO()):
    import torch
    import weightwatcher
    from weightwatcher import WW_powerlaw
logging.getLogger(weightwatcher.constants.WW_NAME).setLevel(logging.CRITICAL)
RELATIVE = 1e-6   # of what both compute in double from the same eigenvalues
DROPPED = 1e-5    # weightwatcher fits no eigenvalue at or below
SMALL_N = 20      # below so many it fits by another estimator
DRAWS = 10        # of each kind of matrix with known spikes


class Matrix(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("dtype", ctypes.c_int), ("rows", ctypes.c_size_t),
                ("cols", ctypes.c_size_t), ("row_stride", ctypes.c_size_t)]


class Options(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("fit", ctypes.c_int), ("published_c", ctypes.c_double),
                ("false_alarm", ctypes.c_double), ("calibrate", ctypes.c_bool), ("remove_spikes", ctypes.c_bool),
                ("spike_level", ctypes.c_double), ("slices", ctypes.c_int)]


class Report(ctypes.Structure):
    _fields_ = [("rows", ctypes.c_size_t), ("cols", ctypes.c_size_t), ("aspect", ctypes.c_double),
                ("validity", ctypes.c_int), ("type", ctypes.c_int), ("spikes", ctypes.c_int),
                ("bleed", ctypes.c_int)] + [(name, ctypes.c_double) for name in (
                    "sigma2", "edge", "mp_low", "mp_high", "distance", "statistic", "statistic_with_spikes",
                    "threshold_published", "threshold_calibrated", "null_mean", "smallest", "largest",
                    "stable_rank", "frobenius", "spectral", "entropy")]


class Shape(ctypes.Structure):
    _fields_ = [("power_law", ctypes.c_int), ("alpha", ctypes.c_double), ("alpha_error", ctypes.c_double),
                ("ks_distance", ctypes.c_double), ("xmin", ctypes.c_double), ("xmax", ctypes.c_double),
                ("tail", ctypes.c_size_t)] + [(name, ctypes.c_double) for name in (
                    "alpha_weighted", "log_alpha_norm", "log_norm", "log_spectral_norm", "stable_rank",
                    "effective_rank")] + [("matrix_rank", ctypes.c_size_t), ("edge_margin", ctypes.c_double)]


class Sonde:
    def __init__(self, path):
        self.library = ctypes.CDLL(path)
        self.context = ctypes.c_void_p()
        self.call("sonde_context_create", None, ctypes.byref(self.context))

    def call(self, name, *arguments):
        status = getattr(self.library, name)(*arguments)
        if status != 0:
            sys.exit(f"compare-weightwatcher: {name} returned {status}")

    def squared_singular_values(self, weight):
        weight = np.ascontiguousarray(weight, dtype=np.float32)
        values = np.zeros(min(weight.shape))
        matrix = Matrix(weight.ctypes.data, 2, *weight.shape, 0)
        self.call("sonde_singular_values", self.context, ctypes.byref(matrix), values.ctypes.data_as(ctypes.c_void_p))
        return values ** 2

    def read(self, slices):
        """Report, shape and the squared singular values of equal matrices, pooled."""
        squares = np.sort(np.concatenate([self.squared_singular_values(each) for each in slices]))
        rows, cols = slices[0].shape
        eigenvalues = squares / max(rows, cols)
        options, report, shape = Options(), Report(), Shape()
        self.library.sonde_spectrum_options_init(ctypes.byref(options))
        options.slices = len(slices)
        self.call("sonde_spectrum_judge", self.context, eigenvalues.ctypes.data_as(ctypes.c_void_p),
                  ctypes.c_size_t(len(eigenvalues)), ctypes.c_size_t(rows), ctypes.c_size_t(cols),
                  ctypes.byref(options), ctypes.byref(report))
        self.shape_into(eigenvalues, report, shape)
        return report, shape, squares

    def shape_into(self, eigenvalues, report, shape):
        self.call("sonde_spectrum_shape", self.context, eigenvalues.ctypes.data_as(ctypes.c_void_p),
                  ctypes.c_size_t(len(eigenvalues)), ctypes.byref(report), ctypes.byref(shape))

    def shape_of_list(self, squares):
        """The power law of any ascending list of squared singular values."""
        n, report, shape = len(squares), Report(), Shape()
        report.rows = report.cols = n
        report.stable_rank = squares.sum() / squares[-1]
        self.shape_into(np.ascontiguousarray(squares / n), report, shape)
        return shape


def slices_of(tensor):
    if tensor.ndim == 2:
        return [tensor]
    return [tensor[:, :, i, j] for i in range(tensor.shape[2]) for j in range(tensor.shape[3])]


def watch(tensors, **options):
    """weightwatcher's table of the named tensors, by name."""
    state = {name + ".weight": torch.from_numpy(np.array(tensor)) for name, tensor in tensors.items()}
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        details = weightwatcher.WeightWatcher(model=state).analyze(min_evals=8, **options)
    return {row["name"]: row for _, row in details.iterrows()}


def weightwatcher_fit(squares, small_n):
    """Its own fit without what comes before it, and with its rule for few values or without."""
    before, WW_powerlaw.SMALL_N_CUTOFF = WW_powerlaw.SMALL_N_CUTOFF, small_n
    with contextlib.redirect_stdout(io.StringIO()):
        fit = WW_powerlaw.pl_fit(squares, distribution="power_law")
    WW_powerlaw.SMALL_N_CUTOFF = before
    return fit


def close(a, b, absolute=0.0):
    return abs(a - b) <= absolute + RELATIVE * abs(b)


class Comparison:
    def __init__(self, sonde):
        self.sonde = sonde
        self.worst = {}
        self.unexplained = []
        self.reasons = {}

    def note(self, column, ours, theirs, name, absolute=0.0):
        if close(ours, theirs, absolute):
            difference = abs(ours - theirs) / max(abs(theirs), 1e-300)
            self.worst[column] = max(self.worst.get(column, 0.0), difference if absolute == 0 else abs(ours - theirs))
            return ""
        self.unexplained.append(f"{name}: {column} {ours:.6g}, weightwatcher {theirs:.6g}")
        return " **?**"

    def explain(self, reason):
        self.reasons[reason] = self.reasons.get(reason, 0) + 1
        return reason

    def power_law(self, name, squares, shape, row):
        """"same", or the letters of the rules that make the difference."""
        if close(shape.alpha, row["alpha"]) and close(shape.ks_distance, row["D"], 1e-9):
            self.note("alpha", shape.alpha, row["alpha"], name)
            self.note("alpha's error", shape.alpha_error, row["sigma"], name)
            self.note("D", shape.ks_distance, row["D"], name, 1e-9)
            self.note("xmin", shape.xmin, row["xmin"], name)
            return "same"
        kept = squares[squares > DROPPED]
        rules = "a" if len(kept) < len(squares) else ""
        if len(kept) < SMALL_N:
            rules += "b"
        fit = weightwatcher_fit(kept, 0)
        same = self.sonde.shape_of_list(kept)
        # With its threshold on the values and its rule for few values switched off, both must agree.
        self.note(f"alpha under rule {rules}", same.alpha, fit.alpha, name)
        self.note(f"D under rule {rules}", same.ks_distance, fit.D, name, 1e-9)
        if not rules or not close(weightwatcher_fit(kept, SMALL_N).alpha, row["alpha"]):
            self.unexplained.append(f"{name}: alpha {shape.alpha:.6g}, weightwatcher {row['alpha']:.6g}")
        return self.explain(rules or "?")

    def layer(self, name, tensor, row):
        slices = slices_of(tensor)
        report, shape, squares = self.sonde.read(slices)
        fit = self.power_law(name, squares, shape, row)
        marks = self.note("log norm", shape.log_norm, row["log_norm"], name, 1e-9)
        marks += self.note("log spectral norm", shape.log_spectral_norm, row["log_spectral_norm"], name, 1e-9)
        marks += self.note("stable rank", shape.stable_rank, row["stable_rank"], name)
        if fit == "same":
            marks += self.note("alpha weighted", shape.alpha_weighted, row["alpha_weighted"], name, 1e-7)
            marks += self.note("log alpha norm", shape.log_alpha_norm, row["log_alpha_norm"], name, 1e-7)
        if shape.matrix_rank == len(squares):  # else they are defined differently
            marks += self.note("entropy, of full rank", report.entropy, row["entropy"], name, 1e-7)
        if shape.matrix_rank != row["matrix_rank"]:
            self.unexplained.append(f"{name}: rank {shape.matrix_rank}, weightwatcher {row['matrix_rank']}")
        mean = squares.mean() / max(slices[0].shape)
        sigma = math.sqrt(report.sigma2 / mean) if report.sigma2 > 0 else float("nan")
        size = f"{slices[0].shape[0]} x {slices[0].shape[1]}" + (f" x {len(slices)}" if len(slices) > 1 else "")
        return [name, size, f"{shape.alpha:.3f}", f"{row['alpha']:.3f}", f"{shape.ks_distance:.3f}",
                f"{row['D']:.3f}", str(shape.tail), str(int(row["num_pl_spikes"])), fit,
                f"{shape.stable_rank:.2f}{marks}", f"{row['stable_rank']:.2f}",
                f"{shape.matrix_rank} / {int(row['matrix_rank'])}", f"{report.entropy:.3f} / {row['entropy']:.3f}",
                "-" if sigma != sigma else f"{sigma:.3f}", f"{row['sigma_mp']:.3f}",
                f"{report.spikes}" if report.sigma2 > 0 else "-", str(int(row["num_spikes"]))]


HEADER = ["layer", "size", "alpha", "WW", "D", "WW", "tail", "WW", "fit", "stable rank", "WW", "matrix rank / WW",
          "entropy / WW", "sigma", "WW", "spikes", "WW"]


def table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def compare(comparison, title, tensors, shift_check=False):
    begin = time.perf_counter()
    rows = watch(tensors, mp_fit=True, conv2d_norm=False)
    their_seconds = time.perf_counter() - begin
    begin = time.perf_counter()
    lines = [comparison.layer(name, tensor, rows[name]) for name, tensor in tensors.items() if name in rows]
    our_seconds = time.perf_counter() - begin
    print(f"## {title}\n\n" + table(HEADER, lines))
    missing = [name for name in tensors if name not in rows]
    if missing:
        print("Left out by weightwatcher: " + ", ".join(missing) + ".\n")
    if shift_check:
        print(default_scale(comparison, tensors, rows))
    print(f"Seconds, with all that is in the table: weightwatcher {their_seconds:.1f}, ours {our_seconds:.1f} (which "
          "include the calibrated thresholds).\n")


def default_scale(comparison, tensors, rows):
    """With conv2d_norm (its default) weightwatcher scales convolutions."""
    default = watch(tensors, mp_fit=False)
    moved = []
    for name, tensor in tensors.items():
        if tensor.ndim != 4 or name not in default:
            continue
        comparison.note("log norm at the default scale, plus log10 2", default[name]["log_norm"] + math.log10(2),
                        rows[name]["log_norm"], name, 1e-9)
        if not close(default[name]["alpha"], rows[name]["alpha"]):
            moved.append(name)
    return ("The table has `conv2d_norm=False`. By default weightwatcher multiplies convolutions by sqrt(1/2), which "
            "takes log10 2 off its log norms (checked for every layer) and, since its threshold of "
            f"{DROPPED:g} is not scaled along, moves alpha in " +
            (f"{len(moved)} layers: {', '.join(moved)}.\n" if moved else "no layer here.\n"))


def trained(folder, name):
    loaded = torch.load(os.path.join(folder, name), map_location="cpu", weights_only=True)
    state = loaded.get("state_dict", loaded)
    return {key.removesuffix(".weight").removeprefix("module."): tensor.numpy()
            for key, tensor in state.items() if key.endswith(".weight") and tensor.ndim in (2, 4)}


def planted(random, rows, cols, count, factor):
    """Gaussian with directions whose eigenvalues come out at `factor` times the edge of the law and more."""
    c = min(rows, cols) / max(rows, cols)
    longer, edge = max(rows, cols), (1 + math.sqrt(c)) ** 2
    matrix = random.standard_normal((rows, cols))
    left = np.linalg.qr(random.standard_normal((rows, count)))[0]
    right = np.linalg.qr(random.standard_normal((cols, count)))[0]
    for k in range(count):
        half = (edge * factor * (1 + 0.2 * k) - 1 - c) / 2
        theta = half + math.sqrt(half * half - c)
        matrix += math.sqrt(theta * longer) * np.outer(left[:, k], right[:, k])
    return matrix


def with_spectrum(random, rows, cols, squares):
    left = np.linalg.qr(random.standard_normal((rows, rows)))[0]
    right = np.linalg.qr(random.standard_normal((cols, rows)))[0]
    return left * np.sqrt(squares) @ right.T


def made_up():
    random = np.random.default_rng(11)
    normal = random.standard_normal
    matrices = {
        "random": 0.1 * normal((100, 200)),
        "random, square": normal((300, 300)) / 17,
        "random, near-square": normal((180, 200)) / 14,
        "3 spikes from 1.5 x edge": 0.1 * planted(random, 200, 1000, 3, 1.5),
        "10 spikes from 1.3 x edge": 0.1 * planted(random, 300, 600, 10, 1.3),
        "heavy-tailed entries": 0.05 * random.standard_t(3, (200, 400)),
        "power law, alpha = 3": with_spectrum(random, 300, 500, random.pareto(2, 300) + 1),
        "power law, alpha = 5": with_spectrum(random, 300, 500, random.pareto(4, 300) + 1),
        "rank 20, integers": (random.integers(-3, 4, (100, 20)) @ random.integers(-3, 4, (20, 150))).astype(float),
        "rank 20, rounded": 0.1 * normal((100, 20)) @ normal((20, 150)),
        "tiny entries": 2e-4 * normal((100, 200)),
        "12 rows": 0.1 * normal((12, 400)),
        "random convolution": 0.05 * normal((64, 32, 3, 3)),
        "one loud kernel position": 0.05 * normal((64, 32, 3, 3)) * np.array([1, 1, 1, 1, 3, 1, 1, 1, 1]).reshape(3, 3),
    }
    return {name: matrix.astype(np.float32) for name, matrix in matrices.items()}


def known_spikes(comparison):
    """Both counts of spikes where the right one is known: share of exact counts and the mean count."""
    random = np.random.default_rng(12)
    rows = []
    for shape in ((100, 100), (100, 200), (100, 800)):
        for count, factor in ((0, 1.0), (3, 1.1), (3, 1.3), (3, 2.0), (8, 1.5)):
            tensors = {f"m{i}": (planted(random, *shape, count, factor) / 30).astype(np.float32) for i in range(DRAWS)}
            theirs = [int(row["num_spikes"]) for row in watch(tensors, mp_fit=True).values()]
            ours = [comparison.sonde.read([tensor])[0].spikes for tensor in tensors.values()]
            rows.append([f"{shape[0]} x {shape[1]}", str(count), f"{factor:g}" if count else "-"] +
                        [text for counts in (ours, theirs)
                         for text in (f"{sum(n == count for n in counts) / DRAWS:.2f}", f"{sum(counts) / DRAWS:.1f}")])
    print(f"## Spikes that are known\n\n{DRAWS} Gaussian matrices each, with so many directions planted, the smallest "
          "expected at `factor` times the edge of the law, each further one 20 % further. Share of matrices in which "
          "the count was exact, and the mean count.\n\n" +
          table(["size", "planted", "factor", "ours: exact", "ours: mean", "WW: exact", "WW: mean"], rows))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", default=os.path.join(ROOT, "build", "src", "libsonde.so"))
    parser.add_argument("--data", default=os.environ.get("SONDE_DATA", ""))
    arguments = parser.parse_args()
    comparison = Comparison(Sonde(arguments.library))
    print(INTRODUCTION.format(ww=weightwatcher.__version__, torch=torch.__version__.split("+")[0], numpy=np.__version__))
    compare(comparison, "Made-up matrices", made_up(), shift_check=True)
    folder = os.path.join(arguments.data, "cifar-resnets")
    for name in sorted(os.listdir(folder)) if arguments.data and os.path.isdir(folder) else []:
        compare(comparison, name, trained(folder, name), shift_check=True)
    known_spikes(comparison)
    print("## Agreement\n\nLargest difference where both compute the same thing (relative; of D and of logarithms "
          "absolute):\n\n" + table(["number", "largest difference"],
                                   [[name, f"{value:.1e}"] for name, value in comparison.worst.items()]))
    reasons = ", ".join(f"rule {name}: {count}" for name, count in sorted(comparison.reasons.items()))
    print(f"Fits that differ by a rule of weightwatcher's: {reasons or 'none'}.\n")
    if comparison.unexplained:
        print("**Unexplained:**\n\n" + "\n".join("- " + line for line in comparison.unexplained))
        sys.exit(1)
    print("Unexplained differences: none.")


INTRODUCTION = """Made by `scripts/compare-weightwatcher.py > docs/evidence/weightwatcher.md`

# weightwatcher's numbers and ours

weightwatcher {ww} on torch {torch} and numpy {numpy}, unpatched, against the shared library, on the same
float32 matrices. Columns named WW are weightwatcher's. `fit` says whether both found the same power law:

- **same**: alpha, its error, D and xmin agree;
- **a**: weightwatcher leaves out eigenvalues s^2 of 1e-5 and less, whatever the scale of the matrix. We leave out
  those that are rounding errors of the matrix (below (s_max max(rows, cols) 2^-52)^2). With its threshold applied to
  our eigenvalues the fits agree.
- **b**: for fewer than 20 values weightwatcher corrects the bias of the estimator and prefers longer tails. We
  call such fits what they are: `too few` below ten values in the tail. With that rule switched off in weightwatcher
  the fits agree.

What is not the same number, and should not be compared as such:

- **sigma** (of the law, with the mean eigenvalue scaled to 1). weightwatcher searches a grid for the least squares
  distance from a smoothed histogram; we match the order statistics between the quantiles 0.2 and 0.8. Where the
  matrix is random, the right answer is 1.
- **spikes**. weightwatcher's edge lies sqrt(TW) above the bulk, TW being its Tracy-Widom term, ours at the 99 %
  quantile of the Tracy-Widom law (for pooled slices, of the largest of all slices). The made-up matrices and
  the table of known spikes say how many there are.
- **entropy**: ours is divided by the logarithm of the number of eigenvalues, weightwatcher's by that of the rank,
  with 1e-10 added to every share. They differ where the rank is not full.
"""

if __name__ == "__main__":
    main()
