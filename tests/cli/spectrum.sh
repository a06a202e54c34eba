# Spectra from the command: one model, a series with its stop advice, all outputs, limits.
. "$(dirname "$0")/common.bash"
[ -n "${SONDE_PYTHON:-}" ] || exit 77

make_model safetensors model.safetensors
run 0 spectrum model.safetensors
says out 'layers.NAME.weight'
says out '4 of 6 tensors'
says out 'a vector'
says out 'Law'
awk 'length > 100 { exit 1 }' out || fail "a line is over 100 columns"
if grep -q "$(printf '\033')" out; then fail "colour in a file"; fi
run 0 spectrum model.safetensors --all
says out 'layers.0.bias'
run 0 spectrum model.safetensors --quiet
[ ! -s out ] && [ ! -s err ] || fail "quiet is not silent"

run 0 spectrum model.safetensors --json --csv s.csv --html s.html --layers '*.1.*,*.2.*'
"$SONDE_PYTHON" - <<'PYTHON' || fail "the JSON and CSV of spectrum"
import csv, json
answer = json.load(open("out"))
assert answer["stop"] is None and len(answer["models"]) == 1
model = answer["models"][0]
assert model["complete"] and model["summary"]["spectra"] == 2, model["summary"]
layers = {layer["name"]: layer for layer in model["layers"]}
layer = layers["layers.1.weight"]
assert layer["rows"] == 40 and layer["cols"] == 60 and abs(layer["aspect"] - 2 / 3) < 1e-12
assert layer["skipped"] is None and layer["validity"] == "valid" and layer["eigenvalues"] == 40
# ||W||_F^2 over s_max^2, from the file itself
import struct
data = open("model.safetensors", "rb").read()
start = 8 + struct.unpack_from("<Q", data)[0]
header = json.loads(data[8:start])
begin, end = header["layers.1.weight"]["data_offsets"]
square = sum(x * x for x in struct.unpack_from("<2400f", data, start + begin))
assert abs(layer["frobenius_norm"] - square ** 0.5) < 1e-9
assert abs(layer["stable_rank"] - square / layer["spectral_norm"] ** 2) < 1e-9
assert abs(layer["ratio"] - layer["statistic"] / layer["threshold"]) < 1e-12
rows = list(csv.DictReader(open("s.csv")))
assert [row["name"] for row in rows] == [layer["name"] for layer in model["layers"]]
for row, layer in zip(rows, model["layers"]):
    for name, value in layer.items():
        if name in ("name", "shape"):
            continue
        if value is None:
            assert row[name] == "", (name, row[name])
        elif isinstance(value, bool):
            assert row[name] == str(int(value)), name
        elif isinstance(value, (int, float)):
            assert float(row[name]) == value, name
        else:
            assert row[name] == value, name
PYTHON
"$SONDE_PYTHON" "$here/../../scripts/check-report" s.html >/dev/null || fail "the page fetches something"
grep -q 'Tail of layers.1.weight' s.html || fail "the page draws no tail"

run 2 spectrum model.safetensors --layers 'nothing*'
one_error_line
says err 'nothing*'

# A page or a table never replaces a model, neither one that is read nor one that is named like one.
cp model.safetensors before
cp model.safetensors odd-name
for output in model.safetensors other.pt; do
    for option in --csv --html; do
        run 2 spectrum model.safetensors $option $output
        one_error_line
        says err "$output"
    done
done
run 2 spectrum odd-name --csv odd-name
says err 'odd-name'
cmp -s model.safetensors before || fail "the model was written over"
cmp -s odd-name before || fail "the model was written over"

# Weights that no working network has are named.
make_model broken broken.safetensors
run 0 spectrum broken.safetensors
says out '1 layer holds NaN or infinity: bad.weight'
says out '1 layer is all zero: zero.weight'
grep -q '^ *bad .* -  *- *$' out || fail "numbers of a matrix that has none"

# Files of different models are no series.
run 0 spectrum model.safetensors broken.safetensors
says out 'No answer'
says out 'holds other layers'

# An adapter: its rank and scale are told, and can be set.
make_model adapter adapter.safetensors
run 0 spectrum adapter.safetensors
says out 'rank 4, scale 1: the file does not tell alpha'
says out 'rank'
run 0 spectrum adapter.safetensors --adapter-scale 2
says out 'rank 4, scale 2 as asked'
run 2 spectrum adapter.safetensors --adapter-scale 0
says err 'takes a number other than 0'

# A series: in order of epoch, with the advice to stop where the layer left the law.
make_model series run 8
run 0 spectrum run
says out 'Advised at epoch 6'
says out 'moving.weight'
[ "$(grep -c 'epoch-0' out)" = 8 ] || fail "not one line a checkpoint"
run 0 spectrum run/epoch-0[1234].safetensors --json
"$SONDE_PYTHON" - <<'PYTHON' || fail "the JSON of a series"
import json
answer = json.load(open("out"))
assert [model["epoch"] for model in answer["models"]] == [1, 2, 3, 4]
assert answer["stop"]["advised"] is False and answer["stop"]["worst_ratio"] < 1
PYTHON
run 0 spectrum run --html series.html --quiet
"$SONDE_PYTHON" "$here/../../scripts/check-report" series.html >/dev/null || fail "the series page"
grep -q 'Advised at epoch 6' series.html || fail "the page does not say the advice"

# A checkpoint that cannot be read is told, left out, and makes the exit status 1.
head -c 900 run/epoch-03.safetensors >cut && mv cut run/epoch-03.safetensors
run 1 spectrum run
says err 'epoch-03.safetensors'
says out 'epoch-08'
[ "$(wc -l <err)" = 1 ] || fail "not one line of error"

# A budget is kept: what does not fit alone is skipped and says what it would need.
make_model large large.safetensors
run 0 spectrum large.safetensors --memory 3M --json --quiet
"$SONDE_PYTHON" - <<'PYTHON' || fail "--memory"
import json
model = json.load(open("out"))["models"][0]
assert all(layer["skipped"] and "bytes" in layer["skipped"] for layer in model["layers"]), model["layers"][0]
PYTHON

# Ctrl-C: what is finished is told, as a part.
"$SONDE" spectrum large.safetensors --json --threads 1 >out 2>err &
child=$!
sleep 0.4
kill -INT $child
status=0
wait $child || status=$?
case $status in
130)
    says err 'interrupted'
    [ ! -s out ] || "$SONDE_PYTHON" - <<'PYTHON' || fail "the JSON of an interrupted survey"
import json
model = json.load(open("out"))["models"][0]
assert model["complete"] is False
assert any(layer["skipped"] for layer in model["layers"])
PYTHON
    ;;
0) ;; # it was done sooner
*) fail "interrupted: $status" ;;
esac
