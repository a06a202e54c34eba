# Ctrl-C ends a run cleanly, says how to go on, and going on ends like a run never interrupted.
. "$(dirname "$0")/common.bash"

long=(--model mlp:widths=64 --train-size 2000 --test-size 200 --epochs 400 --threads 1)
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

epochs=$("$SONDE_PYTHON" -c 'import json; print(json.load(open("out"))["epochs_run"])')
[ "$epochs" -ge 2 ] && [ "$epochs" -lt 400 ] || fail "epochs after the interrupt: $epochs"
run 0 resume runs/TERM --epochs $((epochs + 2)) --json --quiet
says out "\"epochs_run\":$((epochs + 2))"
says out '"status":"finished"'
