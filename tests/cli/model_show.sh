# A model file from the command: every format's listing, JSON, sharded models, files that are broken.
. "$(dirname "$0")/common.bash"
[ -n "${SONDE_PYTHON:-}" ] || exit 77

make_model safetensors model.safetensors
run 0 show model.safetensors
says out 'safetensors, '
says out '6 tensors'
says out 'layers.0.weight'
says out '40x60'
says out 'format = pt'
[ ! -s err ] || fail "show wrote on stderr"
awk 'length > 100 { exit 1 }' out || fail "a line is over 100 columns"

run 0 show model.safetensors --json
"$SONDE_PYTHON" - <<'PYTHON' || fail "the JSON of show"
import json
model = json.load(open("out"))
assert model["tensor_count"] == 6 and len(model["tensors"]) == 6
assert model["elements"] == 4 * 2400 + 40 + 3
names = {tensor["name"]: tensor for tensor in model["tensors"]}
weight = names["layers.2.weight"]
assert weight["shape"] == [40, 60] and weight["bytes"] == 9600 and weight["format"] == "F32"
data = open("model.safetensors", "rb").read()
bias = names["layers.0.bias"]
import struct
assert struct.unpack_from("<f", data, bias["offset"])[0] == 0.5
assert model["metadata"] == [{"key": "format", "value": "pt"}]
PYTHON

# A sharded model by its index and by its folder.
make_model sharded parts
run 0 show parts --json
cp out by_folder
run 0 show parts/model.safetensors.index.json --json
"$SONDE_PYTHON" - <<'PYTHON' || fail "the JSON of a sharded model"
import json
a, b = json.load(open("by_folder")), json.load(open("out"))
assert a["files"] == b["files"] == 2 and a["tensors"] == b["tensors"] and len(a["tensors"]) == 6
PYTHON

# PyTorch: nested names, a tied tensor, a view; nothing of it is executed.
make_model torch model.pt
run 0 show model.pt
says out 'PyTorch (zip)'
says out 'model.embedding.weight'
says out 'same as model.embedding.weight'
says out 'strided'
says out 'epoch = 7'

# Many tensors: listed through a small buffer, all of them.
make_model many many.safetensors 20000
run 0 show many.safetensors
[ "$(grep -c '^block' out)" = 20000 ] || fail "not all tensors are listed"
run 0 show many.safetensors --json
"$SONDE_PYTHON" -c 'import json; assert len(json.load(open("out"))["tensors"]) == 20000' ||
    fail "not all tensors are in the JSON"

# Control characters of a file never reach the terminal.
make_model odd odd.safetensors
run 0 show odd.safetensors
if grep -q "$(printf '[\033\007]')" out err; then fail "an escape sequence from a model file"; fi
says out 'a?[31mred'

# What is broken is told in one line that names the file; nothing else is printed.
head -c 3000 model.safetensors >short.safetensors
head -c 40 model.pt >short.pt
printf '\200\002c__builtin__\neval\n.' >evil.pt
: >nothing.safetensors
mkdir nomodel
for file in short.safetensors short.pt evil.pt nothing.safetensors nomodel missing.gguf; do
    for verb in show spectrum; do
        run 1 $verb $file
        one_error_line
        says err "$file"
        run 1 $verb $file --json
        [ ! -s out ] || fail "JSON after an error of $verb $file"
    done
done
mkfifo pipe.safetensors
status=0
timeout 20 "$SONDE" show pipe.safetensors >out 2>err || status=$?
[ "$status" = 1 ] || fail "a FIFO as a model: $status"
one_error_line
