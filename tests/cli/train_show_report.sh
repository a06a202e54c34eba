# The everyday path: train, show, report; what each says; quiet is silent.
. "$(dirname "$0")/common.bash"

run 0 train "${tiny[@]}" --run runs/a
says err 'epoch 3/3'
[ "$(grep -c '^epoch ' err)" = 3 ] || fail "not one plain line an epoch"
for word in Keep Stop Skip 'used only to report accuracy' 'runs/a/kept.safetensors'; do
    says out "$word"
done
if grep -q "$(printf '\033')" out err; then fail "escape sequences in a file"; fi
[ -s runs/a/kept.safetensors ] || fail "no kept checkpoint"
[ -s runs/a/run.sqlite ] || fail "no database"

run 0 show runs/a
says out 'Keep'
says out '3 of 3 epochs'
says out 'the kept epoch'
[ ! -s err ] || fail "show wrote on stderr"

run 0 report runs/a
says out 'runs/a/report.html'
run 0 report runs/a -o b.html
cmp -s b.html runs/a/report.html || fail "two reports of one run differ"
run 0 report runs/a --output=c.html --quiet
[ ! -s out ] && [ ! -s err ] || fail "report --quiet spoke"

# A run is never overwritten.
run 1 train "${tiny[@]}" --run runs/a
one_error_line
says err 'runs/a'

run 0 train "${tiny[@]}" --run runs/b --quiet
[ ! -s out ] && [ ! -s err ] || fail "train --quiet spoke"

# Without --run each run gets a folder of its own.
run 0 train "${tiny[@]}" --epochs 1 --quiet
run 0 train "${tiny[@]}" --epochs 1 --quiet
[ "$(ls -d runs/strokes-mlp-* | wc -l)" = 2 ] || fail "default folders: $(ls runs)"

# Longer than configured.
run 0 resume runs/b --epochs 4 --quiet
run 0 show runs/b
says out '4 of 4 epochs'
