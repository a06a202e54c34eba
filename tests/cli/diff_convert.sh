# Two models, and a model in a safer file: exit status as of diff(1), the same numbers bit by bit.
. "$(dirname "$0")/common.bash"
[ -n "${SONDE_PYTHON:-}" ] || exit 77

make_model safetensors a.safetensors
make_model changed b.safetensors
run 0 diff a.safetensors a.safetensors
says out '6 equal, 0 changed'
run 1 diff a.safetensors b.safetensors
says out 'layers.1.weight'
says out 'only in first'
says out 'only in second'
says out '40x60 -> 60x40'
awk 'length > 100 { exit 1 }' out || fail "a line is over 100 columns"
run 1 diff a.safetensors b.safetensors --quiet
[ ! -s out ] && [ ! -s err ] || fail "quiet is not silent"
run 1 diff a.safetensors b.safetensors --json
"$SONDE_PYTHON" - <<'PYTHON' || fail "the JSON of diff"
import json
answer = json.load(open("out"))
kinds = {tensor["name"]: tensor["difference"] for tensor in answer["tensors"]}
assert kinds["layers.1.weight"] == "changed" and kinds["layers.2.weight"] == "reshaped"
assert kinds["layers.3.weight"] == "only_first" and kinds["new.weight"] == "only_second"
assert kinds["layers.0.weight"] == kinds["scale"] == "equal" # NaN equals NaN
one = next(t for t in answer["tensors"] if t["name"] == "layers.1.weight")
assert one["changed"] == 1 and 4 < one["largest"] < 6
assert answer["same"] is False and answer["changed_numbers"] == 1
PYTHON
run 2 diff a.safetensors missing.safetensors
one_error_line
run 2 diff a.safetensors
one_error_line
run 2 diff a.safetensors b.safetensors a.safetensors
one_error_line

# A pickle becomes safetensors; the tied tensor is written once, and the two are the same.
make_model torch model.pt
run 0 convert model.pt model.safetensors
says out '1 tied'
run 0 diff model.pt model.safetensors
run 0 show model.safetensors
says out 'tied.model.head.weight = model.embedding.weight'
run 0 convert a.safetensors copy.safetensors --json
run 0 diff a.safetensors copy.safetensors

# Nothing is replaced unasked, and wrong use leaves nothing behind.
run 2 convert model.pt model.safetensors
says err '--force'
one_error_line
run 0 convert model.pt model.safetensors --force --quiet
run 2 convert model.pt model.bin
one_error_line
run 2 convert copy.safetensors copy.safetensors --force
one_error_line
head -c 200 model.pt >short.pt
run 1 convert short.pt out.safetensors
one_error_line
[ ! -e out.safetensors ] || fail "a failed conversion left a file"
if ls | grep -q tmp; then fail "a temporary file is left"; fi

# Numbers that are listed, not read, are compared by their bytes: a converted model is the same.
"$SONDE_PYTHON" - <<'PYTHON' || fail "a model of complex numbers"
import json, struct
for name, last in ("complex.safetensors", 4.0), ("other.safetensors", 5.0):
    header = json.dumps({"c": {"dtype": "C64", "shape": [2], "data_offsets": [0, 16]}}).encode()
    with open(name, "wb") as file:
        file.write(struct.pack("<Q", len(header)) + header + struct.pack("<4f", 1, 2, 3, last))
PYTHON
run 0 convert complex.safetensors again.safetensors --quiet
run 0 diff complex.safetensors again.safetensors
run 1 diff complex.safetensors other.safetensors
says out '1 of 2 compared numbers differ'

# A budget that does not do is told, one that does changes nothing.
run 2 diff a.safetensors copy.safetensors --memory 1K
one_error_line
for verb in "show a.safetensors" "convert a.safetensors small.safetensors"; do
    run 1 $verb --memory 1K
    one_error_line
    run 0 $verb --memory 64M
done
run 0 diff a.safetensors small.safetensors --memory 64M
