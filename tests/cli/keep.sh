# Which checkpoint to ship: of a run, of a folder with probes, of one without.
. "$(dirname "$0")/common.bash"
[ -n "${SONDE_PYTHON:-}" ] || exit 77

# A run: the same choice as training told, by the score it was configured with.
run 0 train "${tiny[@]}" --epochs 6 --run runs/a --json
cp out trained
run 0 keep runs/a --json
"$SONDE_PYTHON" - <<'PYTHON' || fail "keep and train differ"
import json
trained, kept = json.load(open("trained")), json.load(open("out"))
assert kept["keep"]["by"] == "head-scaled" and kept["keep"]["epoch"] == trained["keep"]["epoch"]
assert kept["keep"]["score"] == trained["keep"]["score"]
assert kept["keep"]["candidates"] == trained["keep"]["candidates"]
assert len(kept["checkpoints"]) == 6 and len(kept["signals"]) == 6
assert kept["stop"]["advised"] == trained["stop"]["advised"]
PYTHON
run 0 keep runs/a
says out 'head-scaled'
says out 'Keep'
says out 'spectra'

# The spectra of a run are those of its checkpoints.
run 0 spectrum runs/a --json
"$SONDE_PYTHON" - <<'PYTHON' || fail "the spectra of a run"
import json
answer = json.load(open("out"))
assert [model["epoch"] for model in answer["models"]] == [1, 2, 3, 4, 5, 6], answer["models"]
PYTHON

# A folder: the probe's loss is lowest at epoch 5.
make_model series run 8
run 0 keep run --held --json
"$SONDE_PYTHON" - <<'PYTHON' || fail "the JSON of keep"
import json
answer = json.load(open("out"))
assert answer["keep"]["epoch"] == 5 and answer["keep"]["file"] == "run/epoch-05.safetensors"
assert answer["keep"]["warnings"] == []
assert {signal["signal"]: signal["applies"] for signal in answer["signals"]}["loss"]
assert answer["stop"] is None
PYTHON
run 0 keep run
says out 'cannot see over-fitting'
run 0 keep run --keep-by loss --spectra
says out 'Epoch 5'
says out 'advised at epoch 6'

# Without probes nothing ranks, and it says what would; the spectra's advice is what is left.
rm run/*.npz
run 0 keep run
says out 'No answer'
says out 'no checkpoint has a probe side file'
says out 'NAME.probe.npz'
run 0 keep run --spectra --json
"$SONDE_PYTHON" - <<'PYTHON' || fail "keep by spectra"
import json
answer = json.load(open("out"))
assert answer["keep"]["by"] == "spectra" and answer["keep"]["epoch"] == 6
assert not any(signal["applies"] for signal in answer["signals"])
assert answer["checkpoints"][7]["layers_over"] == 1
PYTHON

# What is not there is told, not taken for a checkpoint without a probe.
run 1 keep missing.pt
one_error_line
says err 'missing.pt'

# A damaged side file is told, not left out silently.
make_model series run 8
head -c 300 run/epoch-02.probe.npz >cut && mv cut run/epoch-02.probe.npz
run 1 keep run
one_error_line
says err 'epoch-02.probe.npz'
run 2 keep run --keep-by luck
one_error_line
run 2 keep run --window sometimes
one_error_line
