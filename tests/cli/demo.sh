# The demo: a run and a report in its folder; an old demo run is replaced, anything else is not.
. "$(dirname "$0")/common.bash"

small=(--dir d --model mlp:widths=32 --train-size 300 --test-size 100 --epochs 2 --probe held:50
    --threads 1)
run 0 demo "${small[@]}"
says out 'Keep'
says out 'd/report.html'
[ -s d/report.html ] && [ -s d/run/kept.safetensors ] || fail "no report or no checkpoint"
touch d/run/from_before
run 0 demo "${small[@]}" --quiet
[ ! -s out ] && [ ! -s err ] || fail "demo --quiet spoke"
[ ! -e d/run/from_before ] || fail "the old run was not replaced"

rm -rf d/run
mkdir d/run
echo precious >d/run/thesis.txt
run 1 demo "${small[@]}" --quiet
one_error_line
says err 'd/run'
[ -s d/run/thesis.txt ] || fail "the demo removed what is not a run"

# A link is not followed.
rm -rf d/run
mkdir other
echo x >other/run.sqlite
ln -s ../other d/run
run 1 demo "${small[@]}" --quiet
[ -s other/run.sqlite ] || fail "the demo removed something through a link"
