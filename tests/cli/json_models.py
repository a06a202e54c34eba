"""--json of the verbs that read model files: exactly the names and types that docs/command.md tells."""
import csv
import json
import os
import re
import subprocess
import sys
import tempfile

SONDE = os.environ["SONDE"]
HERE = os.path.dirname(os.path.abspath(__file__))
NUMBER = (int, float)
MAYBE_NUMBER, MAYBE_INT, MAYBE_TEXT = (*NUMBER, None), (int, None), (str, None)

TENSOR = {"name": str, "format": str, "shape": [int], "elements": int, "bytes": int, "file": str,
          "offset": MAYBE_INT, "contiguous": bool, "readable": bool, "tied_to": MAYBE_TEXT,
          "scale": MAYBE_TEXT}
SHOW = {"model": str, "format": str, "files": int, "file_bytes": int, "elements": int, "bytes": int,
        "tensor_count": int, "tied": int,
        "formats": [{"format": str, "tensors": int, "elements": int, "bytes": int}],
        "metadata": [{"key": str, "value": str}], "warnings": [str], "tensors": [TENSOR]}
STOP = {"advised": bool, "epoch": MAYBE_INT, "layer": MAYBE_TEXT, "reason": str,
        "worst_ratio": MAYBE_NUMBER, "worst_layer": MAYBE_TEXT}
LAYER = {"name": str, "shape": [int], "kind": str, "format": str}
LAYER |= dict.fromkeys(["skipped", "note", "validity", "power_law", "type"], MAYBE_TEXT)
LAYER |= dict.fromkeys(["over", "fits", "odd_tail", "collapsed"], bool)
LAYER |= dict.fromkeys(["slices", "rows", "cols", "spikes", "bleed", "tail", "matrix_rank",
                        "eigenvalues"], MAYBE_INT)
LAYER |= dict.fromkeys(
    ["aspect", "edge", "edge_margin", "sigma2", "mp_low", "mp_high", "distance", "statistic",
     "threshold", "threshold_published", "ratio", "smallest", "largest", "frobenius_norm",
     "spectral_norm", "entropy", "alpha", "alpha_error", "ks_distance", "xmin", "xmax",
     "alpha_weighted", "log_alpha_norm", "log_norm", "log_spectral_norm", "stable_rank",
     "effective_rank", "error_bound", "seconds"], MAYBE_NUMBER)
SUMMARY = {"layers": int, "spectra": int, "judged": int, "over": int, "false_alarm": NUMBER,
           "worst_ratio": MAYBE_NUMBER, "worst_layer": MAYBE_TEXT, "tails_fitted": int,
           "mean_alpha": MAYBE_NUMBER, "odd_tails": int, "collapsed": int}
MODEL = {"model": str, "epoch": MAYBE_INT, "format": str, "elements": int, "complete": bool,
         "fast": bool, "seconds": NUMBER, "summary": SUMMARY, "layers": [LAYER]}
CHOICE = {"epoch": MAYBE_INT, "score": MAYBE_NUMBER, "meaningful": bool, "warnings": [str],
          "window": MAYBE_TEXT, "window_first": MAYBE_INT, "window_last": MAYBE_INT,
          "candidates": [int], "reason": str}
CHECKPOINT = {"epoch": int, "file": MAYBE_TEXT, "layers_judged": MAYBE_INT, "layers_over": MAYBE_INT}
CHECKPOINT |= dict.fromkeys(["raw", "head_scaled", "feature_scaled", "loss", "accuracy", "tpv",
                             "worst_ratio", "mean_alpha"], MAYBE_NUMBER)
KEEP = {"source": str, "keep": {"by": MAYBE_TEXT, "file": MAYBE_TEXT} | CHOICE,
        "signals": [{"signal": str, "applies": bool, "why_not": MAYBE_TEXT, "scored": int} | CHOICE],
        "stop": STOP, "checkpoints": [CHECKPOINT]}
DIFF = {"first": str, "second": str, "same": bool}
DIFF |= dict.fromkeys(["equal", "changed", "reshaped", "only_first", "only_second", "not_compared",
                       "tied", "other_format", "changed_numbers", "compared_numbers"], int)
DIFF["tensors"] = [{"name": str, "difference": str, "first_shape": ([int], None),
                    "second_shape": ([int], None), "first_format": MAYBE_TEXT,
                    "second_format": MAYBE_TEXT, "relative": MAYBE_NUMBER, "largest": MAYBE_NUMBER,
                    "changed": MAYBE_INT, "nonfinite": MAYBE_INT}]
CONVERT = {"input": str, "output": str, "tensors": int, "tied": int, "as_f32": int, "bytes": int}


def sonde(*arguments, status=0):
    done = subprocess.run([SONDE, *arguments], capture_output=True, text=True)
    assert done.returncode == status, (arguments, done.returncode, done.stderr)
    return json.loads(done.stdout)


def make(*arguments):
    maker = os.path.join(HERE, "..", "support", "make_models.py")
    subprocess.run([sys.executable, maker, *arguments], check=True)


def fits(value, kind):
    if kind is None:
        return value is None
    if isinstance(kind, list):
        return isinstance(value, list) and all(type(each) is kind[0] for each in value)
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def check(value, kinds, where):
    if isinstance(kinds, dict):
        assert isinstance(value, dict) and set(value) == set(kinds), (where, set(value) ^ set(kinds))
        for name, kind in kinds.items():
            check(value[name], kind, f"{where}.{name}")
    elif isinstance(kinds, list) and isinstance(kinds[0], dict):
        assert value and isinstance(value, list), (where, "no list, or an empty one that proves nothing")
        for each in value:
            check(each, kinds[0], f"{where}[]")
    else:
        kinds = kinds if isinstance(kinds, tuple) else (kinds,)
        assert any(fits(value, kind) for kind in kinds), (where, value)


def names_of(kinds):
    if isinstance(kinds, list):
        return names_of(kinds[0])
    if not isinstance(kinds, dict):
        return set()
    return set(kinds).union(*map(names_of, kinds.values()))


def check_documented():
    """Every name is told where its verb is, and the table of a layer's names is complete."""
    text = open(os.path.join(HERE, "..", "..", "docs", "command.md")).read()
    text = text[text.index("\n## JSON"):text.index("\n## The run folder")]
    stop = {f"stop.{name}" for name in STOP}
    assert stop <= set(re.findall(r"`([\w.]+)`", text)), "stop"
    parts = {}
    for verb in ("show MODEL", "spectrum", "keep", "diff", "convert"):
        begin = text.index(f"\n`{verb} --json`")
        end = re.compile(r"\n`[\w ]+ --json`").search(text, begin + 1)
        parts[verb] = text[begin:end.start() if end else len(text)]
    for verb, kinds in (("show MODEL", SHOW), ("spectrum", {"models": [MODEL], "stop": None}),
                        ("keep", {name: kind for name, kind in KEEP.items() if name != "stop"}),
                        ("diff", DIFF), ("convert", CONVERT)):
        missing = names_of(kinds) - set(re.findall(r"`(\w+)`", parts[verb]))
        assert not missing, (verb, missing)
    rows = [line.split("|")[1] for line in parts["spectrum"].splitlines() if line.startswith("| `")]
    table = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert sorted(table) == sorted(LAYER), set(table) ^ set(LAYER)


def main():
    check_documented()
    os.chdir(tempfile.mkdtemp())
    make("safetensors", "a.safetensors")
    make("changed", "b.safetensors")
    make("odd", "odd.safetensors")
    make("torch", "a.pt")
    make("series", "run", "6")

    check(sonde("show", "a.safetensors", "--json"), SHOW, "show")
    check(sonde("show", "odd.safetensors", "--json"), SHOW, "show odd")
    tied = sonde("show", "a.pt", "--json")
    check(tied, SHOW, "show torch")
    assert tied["tied"] == sum(tensor["tied_to"] is not None for tensor in tied["tensors"]) > 0

    one = sonde("spectrum", "a.safetensors", "--json", "--quiet", "--csv", "a.csv")
    check(one, {"models": [MODEL], "stop": None}, "spectrum")
    columns = next(csv.reader(open("a.csv")))
    assert set(columns) == set(LAYER) | {"model", "epoch"} and len(columns) == len(set(columns))
    series = sonde("spectrum", "run", "--json", "--quiet")
    check(series, {"models": [MODEL], "stop": STOP}, "spectrum of a series")

    check(sonde("keep", "run", "--spectra", "--json", "--quiet"), KEEP, "keep")
    check(sonde("keep", "run", "--json"), KEEP | {"stop": None}, "keep without spectra")

    check(sonde("diff", "a.safetensors", "b.safetensors", "--json", status=1), DIFF, "diff")
    check(sonde("convert", "a.pt", "c.safetensors", "--json"), CONVERT, "convert")


if __name__ == "__main__":
    sys.exit(main())
