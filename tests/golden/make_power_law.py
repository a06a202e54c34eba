#!/usr/bin/env python3
"""Writes power_law.h: power-law fits by weightwatcher (its own fit) and powerlaw, on made-up values.

    pip install weightwatcher==0.7.7 powerlaw    (and torch, which weightwatcher wants)
    python3 tests/golden/make_power_law.py > tests/golden/power_law.h
"""
import contextlib
import io
import sys

import numpy as np

with contextlib.redirect_stdout(io.StringIO()):
    import powerlaw
    import weightwatcher
    from weightwatcher.WW_powerlaw import pl_fit

    random = np.random.default_rng(20260)
    wishart = random.standard_normal((90, 200))
    wishart[:, :6] *= np.arange(8, 2, -1)
    cases = {
        "pareto": random.pareto(2.0, 100) + 1,
        "log-normal": np.exp(2 * random.standard_normal(80)),
        "spiked Wishart": np.linalg.svd(wishart, compute_uv=False) ** 2,
        "with ties": np.round(random.pareto(1.5, 60) + 1, 1),
    }
    fits = {}
    for name, values in cases.items():
        values = np.sort(values)
        own = pl_fit(values, distribution="power_law")
        other = powerlaw.Fit(values, verbose=False, xmin_distribution="power_law")
        fits[name] = values, own, other

print("/* Made by tests/golden/make_power_law.py with weightwatcher", weightwatcher.__version__, "and powerlaw",
      powerlaw.__version__ + ". */")
print("typedef struct golden_fit {\n    const char *name;\n    size_t count;\n"
      "    double alpha, alpha_error, distance, xmin; /* weightwatcher */\n"
      "    double other_alpha, other_xmin;            /* powerlaw */\n"
      "    double values[100];\n} golden_fit;\n\nstatic const golden_fit GOLDEN_FITS[] = {")
for name, (values, own, other) in fits.items():
    numbers = [own.alpha, own.sigma, own.D, own.xmin, other.power_law.alpha, other.xmin]
    print(f'    {{"{name}", {len(values)}, ' + ", ".join(f"{float(x):.17g}" for x in numbers) + ",\n     {" +
          ", ".join(f"{x:.17g}" for x in values) + "}},")
    print(f"{name}: weightwatcher alpha {own.alpha:.6f} xmin {own.xmin:.6g}, powerlaw alpha "
          f"{other.power_law.alpha:.6f} xmin {other.xmin:.6g}", file=sys.stderr)
print("};")
