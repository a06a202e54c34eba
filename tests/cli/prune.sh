# A smaller network from a run, its plan, training on, and what is refused.
. "$(dirname "$0")/common.bash"
[ -n "${SONDE_PYTHON:-}" ] || exit 77

run 0 train "${tiny[@]}" --run runs/a --no-spectrum --quiet
few=(--iterations 2 --batches 2 --batch 50 --confidence 0 --no-speed)

# Half of the channels; the plan and the file say the same.
run 0 prune runs/a --ratio 0.5 "${few[@]}" --out small.safetensors --json
cp out pruned
"$SONDE_PYTHON" - <<'PYTHON' || fail "the JSON of prune, its plan and its file"
import json, struct
answer, plan = json.load(open("pruned")), json.load(open("small.plan.json"))
assert answer["by"] == "jbr" and answer["units"] == 32 and answer["kept"] == 16, answer
assert answer["plan"] == "small.plan.json" and answer["test_examples"] == 100
assert answer["parameters"] == {"before": 784 * 32 + 32 + 330, "after": 784 * 16 + 16 + 170}, answer["parameters"]
assert plan["format"] == "sonde-prune-plan-1" and plan["kind"] == "channels"
first, last = plan["layers"]
assert first["name"] == "fc1" and len(first["keep_outputs"]) == 16 and first["outputs"] == 32
assert last["keep_inputs"] == first["keep_outputs"] and last["keep_outputs"] == list(range(10))
with open("small.safetensors", "rb") as file:
    header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
assert header["fc1.weight"]["shape"] == [16, 784] and header["fc2.weight"]["shape"] == [10, 16]
PYTHON
run 0 prune runs/a --ratio 0.25 --by l1 "${few[@]}" --out words.safetensors --curve --reestimate-bn 1
says out '24 of 32 removable channels are left'
says out 'only reported'
says out '--model mlp:widths=32 --pruned'
says out '`sonde train --data'
says out '--pruned words.plan.json --weights words.safetensors'

# What exists stays, unless it is to be replaced.
run 2 prune runs/a "${few[@]}" --out small.safetensors
one_error_line
says err '--force'
run 0 prune runs/a "${few[@]}" --by random --out small.safetensors --force --quiet
[ ! -s out ] || fail "--quiet says something"

# The pruned network trains on, in a run that keeps its plan.
run 0 train "${tiny[@]}" --epochs 1 --no-spectrum --pruned small.plan.json --weights small.safetensors --run runs/b --quiet
rm small.plan.json small.safetensors
run 0 resume runs/b --epochs 2 --quiet
run 0 prune runs/b --ratio 0.5 --by l1 --out half.safetensors --json --no-speed
says out '"kept":8'

# In one go.
run 0 prune runs/a --ratio 0.5 --by l1 --out tuned.safetensors --no-speed --fine-tune 1 --run runs/c
says out 'runs/c/kept.safetensors'

# Single weights.
run 0 prune runs/a --ratio 0.9 --by magnitude --out zeros.safetensors --json
"$SONDE_PYTHON" - <<'PYTHON' || fail "the mask of a plan of weights"
import json
plan = json.load(open("zeros.plan.json"))
assert plan["kind"] == "weights"
bits = sum(bin(int(digit, 16)).count("1") for tensor in plan["tensors"] for digit in tensor["mask"])
assert bits == sum(tensor["kept"] for tensor in plan["tensors"]) == json.load(open("out"))["kept"]
PYTHON

# Ratios: nothing, everything, nonsense.
run 0 prune runs/a --ratio 0 --by l1 --out copy.safetensors --quiet
run 0 diff runs/a/kept.safetensors copy.safetensors
run 0 prune runs/a --ratio 1 --by l1 --least 3 --out least.safetensors --no-speed
says out '3 of 32 removable channels are left'
says out 'every layer keeps its 3 best'
run 2 prune runs/a --ratio 1.5 --out x.safetensors
one_error_line
run 2 prune runs/a --by jrb --out x.safetensors
says err 'did you mean jbr'
run 2 prune runs/a --fine-tune 1 --lr fast --out x.safetensors
one_error_line
run 2 prune runs/a --out x.safetensors --plan x.safetensors
says err 'name two files'
run 2 prune runs/a --out x.pt
says err 'safetensors'
run 2 prune runs/a
says err '--out'

# Files that do not fit.
run 1 prune runs/a "${few[@]}" --confidence 1 --out x.safetensors
says err 'no example of 300'
echo '{"format": "sonde-prune-plan-1", "kind": "channels", "layers": [{"name": "fc9", "keep_outputs": [0]}]}' >bad.json
run 1 train "${tiny[@]}" --pruned bad.json --run runs/x --quiet
says err 'layer fc9 is not in it'
run 1 prune runs/a "${few[@]}" --out missing/x.safetensors
says err 'the folder missing is not there'
[ ! -e x.safetensors ] && [ ! -e x.plan.json ] || fail "something was written after an error"
