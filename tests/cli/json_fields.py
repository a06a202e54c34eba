"""--json: exactly one object on stdout, with the documented names and types."""
import json
import math
import os
import subprocess
import sys
import tempfile

SONDE = os.environ["SONDE"]
TINY = ["--model", "mlp:widths=32", "--train-size", "300", "--test-size", "100", "--epochs", "3",
        "--batch", "50", "--threads", "1"]
NUMBER = (int, float)

FIELDS = {
    "run": str, "status": str, "data": str, "model": str, "parameters": int,
    "train_examples": int, "test_examples": int, "epochs": int, "epochs_run": int,
    "stop": {"advised": bool, "epoch": (int, None), "layer": (str, None), "reason": str,
             "worst_ratio": (*NUMBER, None), "worst_layer": (str, None)},
    "keep": {"epoch": (int, None), "score": (*NUMBER, None), "rule": str, "warnings": list,
             "meaningful": bool, "probe": str, "window": str, "window_first": (int, None),
             "window_last": (int, None), "second_epoch": (int, None), "candidates": list,
             "reason": str},
    "skip": {"saved_fraction": (*NUMBER, None), "on": bool, "examples": int, "active": int,
             "reason": str},
    "final": {"train_loss": (*NUMBER, None), "test_accuracy": (*NUMBER, None)},
    "kept": {"test_accuracy": (*NUMBER, None)},
    "tpv": (list, None),
    "hindsight": {"best_epoch": (int, None), "best_test_accuracy": (*NUMBER, None)},
    "test_used_for": (str, None), "seconds": (*NUMBER, None), "warnings": list,
}


def refuse_twice(pairs):
    names = [name for name, _ in pairs]
    assert len(names) == len(set(names)), f"a name twice: {names}"
    return dict(pairs)


def refuse_constant(name):
    raise AssertionError(f"{name} is not JSON")


def sonde(*arguments, status=0):
    done = subprocess.run([SONDE, *arguments], capture_output=True, text=True)
    assert done.returncode == status, (arguments, done.returncode, done.stderr)
    return json.loads(done.stdout, object_pairs_hook=refuse_twice, parse_constant=refuse_constant)


def check(value, fields, where=""):
    assert set(value) == set(fields), (where, set(value) ^ set(fields))
    for name, kinds in fields.items():
        if isinstance(kinds, dict):
            check(value[name], kinds, f"{where}{name}.")
            continue
        kinds = kinds if isinstance(kinds, tuple) else (kinds,)
        allowed = tuple(type(None) if kind is None else kind for kind in kinds)
        got = value[name]
        assert isinstance(got, allowed), (where + name, got)
        assert bool in kinds or not isinstance(got, bool), (where + name, got)


def main():
    os.chdir(tempfile.mkdtemp())
    trained = sonde("train", *TINY, "--run", "a", "--json")
    check(trained, FIELDS)
    assert trained["run"].rstrip("/").endswith("a") and trained["epochs_run"] == 3
    assert trained["status"] == "finished" and trained["test_used_for"] == "reporting"
    assert 1 <= trained["keep"]["epoch"] <= 3 and trained["keep"]["rule"] == "head-scaled"
    assert 0 <= trained["skip"]["saved_fraction"] <= 1
    assert 0 <= trained["kept"]["test_accuracy"] <= 1
    assert math.isfinite(trained["final"]["train_loss"]) and trained["seconds"] > 0
    assert sonde("show", "a", "--json") == trained, "show and train tell different things"

    # A hostile name is one JSON string; a run without head or spectra has nulls, not NaN.
    name = 'b "\\\t\u00e9'
    odd = sonde("train", *TINY, "--run", name, "--json", "--quiet", "--no-spectrum", "--no-skip",
                "--no-test-each-epoch")
    check(odd, FIELDS)
    assert odd["run"] == name and odd["skip"]["on"] is False
    assert odd["stop"]["advised"] is False and odd["stop"]["layer"] is None

    report = sonde("report", "a", "--json")
    assert set(report) == {"run", "report"} and os.path.getsize(report["report"]) > 10000
    data = sonde("data", "--json")["data"]
    assert {"strokes", "mnist", "cifar-10", "npy"} <= {entry["name"] for entry in data}
    models = sonde("models", "--json")["models"]
    assert {"mlp", "cnn", "resnet20"} <= {entry["name"] for entry in models}

    failed = subprocess.run([SONDE, "show", "missing", "--json"], capture_output=True, text=True)
    assert failed.returncode == 1 and failed.stdout == "" and failed.stderr.count("\n") == 1


if __name__ == "__main__":
    sys.exit(main())
