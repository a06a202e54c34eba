# Ctrl-C ends a run cleanly, says how to go on, and going on ends like a run never interrupted.
. "$(dirname "$0")/common.bash"

long=(--model mlp:widths=64 --train-size 2000 --test-size 200 --epochs 60 --threads 1)
for signal in INT TERM; do
    run_folder=runs/$signal
    # A shell script's background jobs ignore SIGINT; python starts the command with it in force.
    "$SONDE_PYTHON" - "$SONDE" "$signal" "$run_folder" "${long[@]}" <<'PY' || fail "signal $signal"
import os, signal, subprocess, sys, time
command, name, folder, *options = sys.argv[1:]
signal.signal(signal.SIGINT, signal.default_int_handler)
process = subprocess.Popen([command, "train", "--run", folder, *options], stdout=open("out", "w"),
                           stderr=subprocess.PIPE, text=True)
for line in process.stderr:
    if line.startswith("epoch 2/"):
        break
number = getattr(signal, "SIG" + name)
process.send_signal(number)
time.sleep(0.01) # as timeout(1) does: the same wish twice
process.send_signal(number)
rest = process.stderr.read()
status = process.wait(60)
assert status == 128 + number, status
assert f"sonde resume {folder}" in rest, rest
PY
    says out 'Keep'
    says out 'interrupted'
    run 0 show $run_folder --json
    says out '"status":"interrupted"'
done

run 0 train "${long[@]}" --run runs/whole --json --quiet
cp out whole.json
for run_folder in runs/INT runs/TERM; do
    run 0 resume $run_folder --json --quiet
    "$SONDE_PYTHON" - whole.json out <<'PY' || fail "the resumed run ended differently"
import json, sys
whole, resumed = (json.load(open(name)) for name in sys.argv[1:])
for value in (whole, resumed):
    for name in ("run", "seconds"):
        value.pop(name)
assert whole == resumed, (whole, resumed)
PY
    cmp -s runs/whole/kept.safetensors $run_folder/kept.safetensors ||
        fail "the kept checkpoints differ"
done
