# Folders that are not runs, cannot be written, or are in the way.
. "$(dirname "$0")/common.bash"

mkdir empty
for verb in show resume report; do
    run 1 $verb empty
    one_error_line
    says err 'empty'
    run 1 $verb missing
    one_error_line
    says err 'missing'
done
[ -z "$(ls -A empty)" ] || fail "looking at a folder changed it"

echo not a database >file
run 1 show file
one_error_line
mkdir broken
echo not a database >broken/run.sqlite
run 1 show broken
one_error_line
says err 'broken'

run 1 train "${tiny[@]}" --run file/run --quiet
one_error_line
says err 'file'

run 0 train "${tiny[@]}" --run runs/a --quiet
run 1 report runs/a -o missing/folder/r.html
one_error_line
says err 'missing/folder'
[ ! -e missing ] || fail "report made a folder"

if [ "$(id -u)" != 0 ]; then
    mkdir locked
    chmod a-w locked
    run 1 train "${tiny[@]}" --run locked/run --quiet
    one_error_line
    says err 'locked'
    chmod -R a-w runs/a
    run 0 show runs/a
    run 1 resume runs/a --quiet --epochs 5
    one_error_line
    run 1 report runs/a
    one_error_line
    chmod -R u+w runs/a
fi

# Output that cannot be written is a failure.
if [ -w /dev/full ]; then
    status=0
    "$SONDE" models >/dev/full 2>err || status=$?
    [ "$status" = 1 ] || fail "a full disk went unnoticed: $status"
fi

# A limit on the size of files is a full disk: told in one line, and the run can go on without it.
(
    ulimit -f 60
    run 1 train "${tiny[@]}" --run limited --quiet
) || exit 1
one_error_line
says err 'free space'
run 0 resume limited --quiet
[ -s limited/kept.safetensors ] || fail "the resumed run kept nothing"

# Names of runs may hold anything; none of it steers the terminal.
odd="$(printf 'odd \033[31m"%%s\047 n\303\274')"
run 0 train "${tiny[@]}" --run "$odd"
if grep -q "$(printf '\033')" out err; then fail "an escape sequence from train"; fi
run 0 show "$odd"
if grep -q "$(printf '\033')" out err; then fail "an escape sequence from show"; fi
run 0 report "$odd" --quiet
[ -s "$odd/report.html" ] || fail "no report of an odd name"

# A run may be looked at whatever its killed writer left; what is no database never blocks.
mkdir pipe
mkfifo pipe/run.sqlite
status=0
timeout 20 "$SONDE" show pipe >out 2>err || status=$?
[ "$status" = 1 ] || fail "a FIFO as a database: $status"
one_error_line
says err 'pipe/run.sqlite'
