# Language models on texts: trained, reported, measured only where that is possible.
. "$(dirname "$0")/common.bash"

gpt=(--model gpt-tiny:depth=1,width=16,heads=2 --optimizer adamw --lr 0.01 --batch 10 --threads 1)

run 0 data
says out letters
says out text
run 0 models
says out gpt-tiny

# generated text, all decisions
run 0 train --data letters --train-size 120 --test-size 20 --context 16 --epochs 3 "${gpt[@]}" \
    --probe held:20 --quiet --run letters
run 0 show letters
says out lm_head
[ -s letters/kept.safetensors ] || fail "no kept model"
run 0 report letters

# a file: an alternation is learned at once
for _ in $(seq 150); do printf 'abcdefgh'; done >text.txt
run 0 train --data text --data-dir text.txt --context 8 --epochs 4 "${gpt[@]}" --json --run file
python=${SONDE_PYTHON:-python3}
"$python" - <<'PY' || fail "the alternation is not learned"
import sqlite3
rows = sqlite3.connect("file/run.sqlite").execute("SELECT test_accuracy FROM epochs").fetchall()
assert rows[-1][0] > 0.9, rows
PY

# resumed longer on the same text; refused on another
run 0 resume file --epochs 5 --quiet
run 0 tpv file --epoch 2 --train-inputs 4 --test-inputs 4 --noise sgd
says out 'trace'
printf 'x' >>text.txt
run 1 resume file --epochs 6 --quiet || true

# what does not fit
run 1 train --data letters --model mlp --train-size 50 --epochs 1 --run a
says err 'texts need a language model'
run 1 train --data strokes --train-size 50 --epochs 1 "${gpt[@]}" --run b
says err 'reads texts'
run 1 train --data text --data-dir absent.txt --epochs 1 "${gpt[@]}" --run c
run 2 train --data letters --context 0 --epochs 1 "${gpt[@]}" --run d
run 1 score --data letters --arch gpt-tiny --load grasp
says err 'one label an example'
run 1 score --data letters --arch mlp --batch 8
says err 'texts need a language model'
run 2 prune letters --ratio 0.3 --out small.safetensors
says err 'one label an example'

# what needs no class of an example
run 0 score --data letters --arch gpt-tiny:depth=1,width=16,heads=2 --batch 8 --context 16
says out synflow
run 0 probe letters
says out accuracy
exit 0
