"""kill -9 at random moments, then resume: the run ends bit-identical to one never interrupted.

Compared byte by byte: kept.safetensors, every checkpoint, the last state; and every number in the
run store that is not a time.
"""
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time

SONDE = os.environ["SONDE"]
EPOCHS = 10
SHARED = ["--epochs", str(EPOCHS), "--batch", "25", "--threads", "1", "--delta", "0.1", "--quiet"]
RUNS = [["--model", "mlp:widths=64x32,dropout=0.1", "--train-size", "1500", "--test-size", "200",
         "--augment", "--probe", "held:64,train", "--tpv-every", "1", "--tpv-inputs", "64", *SHARED],
        ["--data", "letters", "--model", "gpt-tiny:depth=1,width=16,heads=2,dropout=0.1",
         "--context", "24", "--train-size", "800", "--test-size", "50", "--optimizer", "adamw",
         "--probe", "held:32,train", *SHARED]]
options = None  # of the run that is tested now
LEAST_KILLS, MOST_KILLS, LEAST_EPOCHS, ATTEMPTS = 3, 16, 3, 3
TIMES = {"seconds", "seconds_train", "seconds_check", "seconds_probe", "seconds_spectrum_wait",
         "seconds_test", "seconds_store", "images_per_second", "memory_peak"}


def command(verb, folder):
    if verb == "train":
        return [SONDE, "train", *options, "--run", folder]
    return [SONDE, "resume", folder, "--quiet"]


def run_whole(verb, folder):
    done = subprocess.run(command(verb, folder), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert done.returncode == 0, f"{verb}: {done.returncode}: {done.stderr.decode()}"


def checkpoints(folder):
    """How many epochs have a whole checkpoint; looking at files does not touch the run store."""
    try:
        return sum(name.endswith(".safetensors") for name in os.listdir(f"{folder}/checkpoints"))
    except FileNotFoundError:
        return 0


def run_and_kill(verb, folder, until, seconds):
    """Kills that long after `until` checkpoints are there. True when the kill came before the end."""
    process = subprocess.Popen(command(verb, folder), stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE)
    while checkpoints(folder) < until and process.poll() is None:
        time.sleep(0.002)
    try:
        _, errors = process.communicate(timeout=seconds)
        assert process.returncode == 0, f"{verb}: {process.returncode}: {errors.decode()}"
        return False
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.communicate()
        return True


def has_begun(folder):
    """Whether the folder holds a run that can be resumed."""
    path = os.path.join(folder, "run.sqlite")
    if checkpoints(folder) > 0:
        return True
    if not os.path.exists(path):
        return False
    try:
        with sqlite3.connect(path) as database:
            found = database.execute("SELECT count(*) FROM facts WHERE key = 'config'").fetchone()
    except sqlite3.OperationalError:
        return False
    finally:
        database.close()
    return found[0] == 1


def numbers(folder):
    database = sqlite3.connect(os.path.join(folder, "run.sqlite"))
    tables = {}
    for table in ("epochs", "scores", "layers", "decisions", "events"):
        cursor = database.execute(f"SELECT * FROM {table} ORDER BY 1, 2")
        names = [column[0] for column in cursor.description]
        tables[table] = [tuple(value for name, value in zip(names, row) if name not in TIMES)
                         for row in cursor]
    database.close()
    return tables


def content(path):
    with open(path, "rb") as file:
        return file.read()


def compare(whole, cut):
    names = ["kept.safetensors", f"state/epoch-{EPOCHS:04}.safetensors"]
    names += [f"checkpoints/{name}" for name in sorted(os.listdir(f"{whole}/checkpoints"))]
    assert len(names) == EPOCHS + 2, names
    for name in names:
        assert content(f"{whole}/{name}") == content(f"{cut}/{name}"), f"{name} differs"
    a, b = numbers(whole), numbers(cut)
    for table in a:
        assert a[table] == b[table], f"table {table} differs:\n{a[table]}\n{b[table]}"
    left = [f"{at}/{name}" for at, _, files in os.walk(cut) for name in files if ".tmp-" in name]
    assert not left, f"half-written files are left: {left}"


def kill_and_resume():
    """False where too few kills hit: the machine was slower while the whole run set the pace."""
    with tempfile.TemporaryDirectory() as folder:
        whole, cut = os.path.join(folder, "whole"), os.path.join(folder, "cut")
        begun = time.monotonic()
        run_whole("train", whole)
        length = time.monotonic() - begun
        kills, epochs = 0, set()
        while kills < MOST_KILLS and checkpoints(cut) < EPOCHS:
            verb = "resume" if has_begun(cut) else "train"
            more = random.choice([0, 1, 1, 2])
            wait = random.uniform(0, 0.03 * length if more else 0.35 * length)
            kills += run_and_kill(verb, cut, checkpoints(cut) + more, wait)
            epochs.add(checkpoints(cut))
        run_whole("resume" if has_begun(cut) else "train", cut)
        compare(whole, cut)
        print(f"{kills} kills, after epochs {sorted(epochs)}; the whole run took {length:.1f} s")
        return kills >= LEAST_KILLS and len(epochs) >= LEAST_EPOCHS


def main():
    global options
    random.seed(20)
    for options in RUNS:
        assert any(kill_and_resume() for _ in range(ATTEMPTS)), "too few kills to mean anything"


if __name__ == "__main__":
    sys.exit(main())
