# Every signal of one checkpoint, the same numbers that training recorded.
. "$(dirname "$0")/common.bash"
[ -n "${SONDE_PYTHON:-}" ] || exit 77

run 0 train "${tiny[@]}" --run runs/a --probe held:20 --tpv-every 1 --tpv-inputs 280
run 0 probe runs/a
says out 'head-scaled'
says out 'entropy'
says out 'trace'
run 0 probe runs/a --epoch 2 --json
"$SONDE_PYTHON" - <<'PYTHON' || fail "probe and run differ"
import json, sqlite3
answer = json.load(open("out"))
assert answer["epoch"] == 2 and answer["examples"] == 20 and answer["probe"] == "held:20"
rows = sqlite3.connect("runs/a/run.sqlite").execute(
    "SELECT signal, value FROM scores WHERE epoch = 2 AND signal LIKE 'head%'").fetchall()
assert len(rows) == 20
for signal, value in rows:
    batch, name = signal.split(".")
    mine = answer["batch" if batch == "head" else "second_batch"][name]
    assert mine["validity"] == "valid" and abs(mine["value"] - value) <= 1e-5 * abs(value), signal
assert answer["tpv"]["trace"]["value"] > 0 and answer["tpv"]["trace"]["count"] == 20
assert answer["tpv"]["quantization"]["value"] > answer["tpv"]["quantization_per_tensor"]["value"] > 0
PYTHON

# The kept epoch by default; a network without a run too.
run 0 probe runs/a --json
cp out kept.json
run 0 show runs/a --json
"$SONDE_PYTHON" - <<'PYTHON' || fail "not the kept epoch"
import json
assert json.load(open("kept.json"))["epoch"] == json.load(open("out"))["keep"]["epoch"]
PYTHON
run 0 probe --model mlp:widths=16 --train-size 200 --test-size 50
says out 'network'
run 1 probe runs/none
one_error_line
run 1 probe runs/a --epoch 7
one_error_line
