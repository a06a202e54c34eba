# TPV of a run, of a model file, and as a signal of training.
. "$(dirname "$0")/common.bash"
[ -n "${SONDE_PYTHON:-}" ] || exit 77

run 0 train "${tiny[@]}" --run runs/a --tpv-every 2 --json
"$SONDE_PYTHON" - <<'PYTHON' || fail "TPV in a run's JSON"
import json
trained = json.load(open("out"))
assert [row["epoch"] for row in trained["tpv"]] == [2, 3], trained["tpv"]
assert all(row["trace"] > 0 and row["standard_error"] > 0 for row in trained["tpv"])
PYTHON
run 0 show runs/a
says out 'tpv'
run 0 report runs/a
grep -q 'Test prediction variance' runs/a/report.html || fail "no figure in the report"

# Every checkpoint, as a table and for programs.
run 0 tpv runs/a --train-inputs 100 --test-inputs 50
says out '100 training and 50 test inputs'
says out 'epoch  trace, training'
run 0 tpv runs/a --train-inputs 100 --test-inputs 50 --json
"$SONDE_PYTHON" - <<'PYTHON' || fail "the JSON of tpv"
import json
answer = json.load(open("out"))
assert answer["train_inputs"] == 100 and answer["test_inputs"] == 50 and not answer["interrupted"]
assert [each["epoch"] for each in answer["checkpoints"]] == [1, 2, 3]
for each in answer["checkpoints"]:
    trace = each["trace"]
    assert abs(trace["ratio"] - trace["train"]["value"] / trace["test"]["value"]) < 1e-12
    layers = sum(layer["train"]["value"] for layer in each["layers"])
    assert abs(layers / trace["train"]["value"] - 1) < 1e-9
    assert [row["form"] for row in each["tpv"]] == ["trace", "trace", "trace, per tensor"]
    assert abs(each["tpv"][0]["train"]["value"] / trace["train"]["value"] / (1e-3 / 256) - 1) < 1e-9
PYTHON

# One checkpoint, all noises, really perturbed; the file of weights gives the same numbers.
noise=sgd:steps=20:burn-in=10:every=5,quant:4:runs=3,isotropic:0.001:runs=3,label:runs=2:epochs=1
run 0 tpv runs/a --epoch 3 --noise "$noise" --empirical --train-inputs 60 --test-inputs 40 --csv a.csv
says out 'empirical'
says out 'fc1'
says a.csv 'epoch,of,form,train'
run 0 tpv runs/a --epoch 3 --train-inputs 60 --test-inputs 40 --json
cp out run.json
run 0 tpv --model mlp:widths=32 --train-size 300 --test-size 100 --threads 1 --weights \
    runs/a/checkpoints/epoch-0003.safetensors --train-inputs 60 --test-inputs 40 --json
"$SONDE_PYTHON" - <<'PYTHON' || fail "a run and its weights differ"
import json
run, weights = json.load(open("run.json")), json.load(open("out"))
assert weights["checkpoints"][0]["epoch"] is None and run["checkpoints"][0]["epoch"] == 3
assert run["checkpoints"][0]["trace"] == weights["checkpoints"][0]["trace"]
PYTHON

# Kept by TPV, with what is known against it.
run 0 train "${tiny[@]}" --epochs 6 --run runs/b --tpv-every 1 --keep-by tpv
says out 'tells stability, not accuracy'
run 0 keep runs/b --json
"$SONDE_PYTHON" - <<'PYTHON' || fail "keep by tpv"
import json
answer = json.load(open("out"))
assert answer["keep"]["by"] == "tpv" and not answer["keep"]["meaningful"]
PYTHON
run 0 keep runs/a --keep-by tpv
says out 'tpv'

# Wrong use is one line that says what would be right.
run 2 train "${tiny[@]}" --run runs/c --keep-by tpv
one_error_line
says err '--tpv-every 1'
run 2 tpv runs/a --noise sdg
one_error_line
says err 'quant:8'
run 2 tpv runs/a --exact --draws 3
one_error_line
run 2 tpv runs/a --mean 0.5
one_error_line
run 2 tpv runs/a --convention mean
one_error_line
run 2 tpv --model mpl
one_error_line
run 1 tpv runs/a --epoch 9
one_error_line
says err 'no such checkpoint'
run 1 tpv --model mlp:widths=31 --train-size 300 --weights runs/a/kept.safetensors
one_error_line
says err 'should be 31x'
run 1 tpv runs/none
one_error_line
