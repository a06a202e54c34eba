# Proxies from the command: one network, a ranked list, resumable results, bad input.
. "$(dirname "$0")/common.bash"
[ -n "${SONDE_PYTHON:-}" ] || exit 77
data=(--train-size 100 --batch 12 --threads 2)

run 0 score --arch mlp:widths=16 "${data[@]}"
says out 'mlp:widths=16'
says out '12 examples'
says out 'seed 42'
says out 'protocol zero-cost-nas'
for name in params flops grad_norm snip plain l2_norm grasp fisher synflow jacob_cov nwot epe_nas zen; do
    grep -q "^  $name " out || fail "no line of $name"
done
says out 'often rank'
awk 'length > 101 { exit 1 }' out || fail "a line is over 100 columns"

# JSON: every proxy with its direction and validity, and what it was measured with.
run 0 score --arch mlp:widths=16 --arch lenet --model cnn "${data[@]}" --repeat 2 --json --csv t.csv
"$SONDE_PYTHON" - <<'PYTHON' || fail "the JSON of score"
import csv, json, statistics
answer = json.load(open("out"))
settings = answer["settings"]
assert settings["protocol"] == "zero-cost-nas" and settings["batch"] == "12", settings
assert settings["seeds"] == [42, 43] and settings["load"] == "random" and settings["init"] == "initial"
assert answer["by"] == "vote" and answer["complete"] is True
networks = answer["networks"]
assert sorted(network["name"] for network in networks) == ["cnn", "lenet", "mlp:widths=16"]
ranks = [network["rank"] for network in networks]
assert ranks == sorted(ranks) and sum(ranks) == 6, ranks
for network in networks:
    scores = {score["name"]: score for score in network["scores"]}
    assert {"params", "flops", "grad_norm", "synflow", "zen", "vote"} <= set(scores)
    for score in scores.values():
        assert score["direction"] == "higher is better"
        assert (score["value"] is None) == (score["validity"] != "valid"), score
    snip = scores["snip"]
    assert abs(snip["value"] - statistics.mean(snip["values"])) < 1e-9 * abs(snip["value"])
    assert abs(snip["spread"] - statistics.stdev(snip["values"])) < 1e-6 * snip["value"]
    assert scores["params"]["spread"] == 0
rows = list(csv.DictReader(open("t.csv")))
assert [row["arch"] for row in rows] == [network["name"] for network in networks]
assert float(rows[0]["snip"]) == {s["name"]: s for s in networks[0]["scores"]}["snip"]["value"]
PYTHON

# Only what is asked for, ranked by it, invalid last.
run 0 score --arch mlp:widths=8 --arch mlp:widths=64 "${data[@]}" --proxy l2_norm --by l2_norm
grep -q '^ *1  mlp:widths=64 ' out || fail "the wider network has the larger norm"
! grep -q snip out || fail "a proxy that was not asked for"

# The same numbers as a list, and a file that goes on after a kill.
printf 'mlp:widths=8  # small\n\nmlp:widths=64\nmlp:widths=8\nlenet\n' >list.txt
some=(--list list.txt "${data[@]}" --proxy snip,l2_norm)
run 0 score "${some[@]}" --out whole.csv --quiet
[ "$(wc -l <whole.csv)" = 4 ] || fail "not a line a network"
head -c $(($(head -2 whole.csv | wc -c) + 40)) whole.csv >cut.csv # the second line and a part
run 0 score "${some[@]}" --out cut.csv --json
"$SONDE_PYTHON" - <<'PYTHON' || fail "the resumed file"
import csv
def read(path):
    rows = list(csv.DictReader(open(path)))
    for row in rows:
        del row["seconds"]
    return sorted(rows, key=lambda row: row["arch"])
assert read("whole.csv") == read("cut.csv")
PYTHON
before=$(wc -l <cut.csv)
run 0 score "${some[@]}" --out cut.csv --quiet
[ "$(wc -l <cut.csv)" = "$before" ] || fail "what was done is done again"
run 1 score --list list.txt --train-size 100 --batch 13 --proxy snip,l2_norm --out cut.csv
one_error_line
says err 'batch'
run 1 score "${some[@]}" --proxy snip --out cut.csv
one_error_line
says err 'other proxies'
echo hello >mine.txt
run 1 score "${some[@]}" --out mine.txt
one_error_line
[ "$(cat mine.txt)" = hello ] || fail "a file that is not ours was changed"

# Own weights and own batch.
"$SONDE_PYTHON" - <<'PYTHON'
import json, random, struct
random.seed(1)
x = [random.gauss(0, 1) for _ in range(6 * 4)]
y = [0, 1, 2, 0, 1, 0]
def write(path, tensors):
    head, data = {}, b""
    for name, kind, shape, numbers in tensors:
        raw = struct.pack("<%d%s" % (len(numbers), "f" if kind == "F32" else "q"), *numbers)
        head[name] = {"dtype": kind, "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(head).encode()
    open(path, "wb").write(struct.pack("<Q", len(text)) + text + data)
write("b.safetensors", [("x", "F32", [6, 4], x), ("y", "I64", [6], y)])
write("bad.safetensors", [("x", "F32", [6, 4], x), ("y", "I64", [6], [0, 1, 2, -1, 1, 0])])
write("none.safetensors", [("y", "I64", [6], y)])
write("nan.safetensors", [("x", "F32", [6, 4], [float("nan")] + x[1:]), ("y", "I64", [6], y)])
PYTHON
run 0 score --arch mlp:widths=5 --input b.safetensors --json
"$SONDE_PYTHON" -c '
import json
answer = json.load(open("out"))
assert answer["settings"]["classes"] == 3 and answer["settings"]["input"] == [4, 1, 1]
' || fail "own tensors"
run 0 score --arch mlp:widths=5 --input b.safetensors --out classes.csv --quiet
run 1 score --arch mlp:widths=5 --input b.safetensors --classes 9 --out classes.csv --quiet
says err 'give the same options'
run 1 score --arch mlp --input nan.safetensors
one_error_line
says err 'x[0] is nan'
run 1 score --arch mlp --input none.safetensors
one_error_line
says err 'no tensor x'
run 1 score --arch mlp --input bad.safetensors
one_error_line
says err 'y[3] is -1'

# DisWOT.
run 0 score --arch mlp:widths=16 --teacher mlp:widths=32x16 "${data[@]}" --proxy diswot
says out 'diswot_semantic'
says out 'teacher mlp:widths=32x16'

# Bad input: one line that says what is allowed, before anything is computed.
bad() { # bad TEXT arguments...
    local text=$1
    shift
    run 2 score "$@"
    one_error_line
    says err "$text"
}
bad 'which network'
bad 'resnet20' --arch resnet21 --data strokes
bad 'did you mean snip' --arch mlp --proxy snipp
bad 'zero-cost-nas or naslib' --arch mlp --protocol other
bad 'teacher' --arch mlp --proxy diswot
bad 'proxies compare examples' --arch mlp --batch 1
bad 'more than the 100 examples' --arch mlp --train-size 100 --batch 101
bad '10 classes' --arch mlp --batch 5 --load grasp
bad 'no such proxy' --arch mlp --by nothing
bad 'name of a model file' --arch mlp --out scores.pt
bad 'names one network' --arch mlp --weights b.safetensors --out scores.csv
bad 'of one network' --arch mlp --arch lenet --weights b.safetensors
printf 'mlp\nlenet:wrong=1\n' >bad.txt
bad 'bad.txt, line 2' --list bad.txt --train-size 100
printf 'nb201:|nor_conv_3x3~0|\n' >bad.txt
bad 'bad.txt, line 1' --list bad.txt --train-size 100
: >empty.txt
bad 'names no architecture' --list empty.txt
