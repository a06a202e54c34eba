# Sourced by the tests: a scratch folder, and checks that say what they saw.
set -u
here=$(cd "$(dirname "$0")" && pwd)
scratch=$(mktemp -d)
trap 'chmod -R u+w "$scratch" 2>/dev/null; rm -rf "$scratch"' EXIT
cd "$scratch" || exit 1
tiny=(--model mlp:widths=32 --train-size 300 --test-size 100 --epochs 3 --batch 50 --threads 1)

fail() {
    echo "FAILED: $*" >&2
    [ -s out ] && { echo "--- stdout"; head -c 2000 out; } >&2
    [ -s err ] && { echo "--- stderr"; head -c 2000 err; } >&2
    exit 1
}

# run EXPECTED_STATUS arguments...: stdout into ./out, stderr into ./err
run() {
    local expected=$1 status=0
    shift
    "$SONDE" "$@" >out 2>err || status=$?
    [ "$status" = "$expected" ] || fail "sonde $* ended with $status, not $expected"
}

says() { # says FILE TEXT
    grep -qF -- "$2" "$1" || fail "$1 does not say: $2"
}

one_error_line() {
    [ "$(wc -l <err)" = 1 ] || fail "not one line of error"
    grep -q '^sonde: ' err || fail "the error does not begin with 'sonde: '"
    [ ! -s out ] || fail "output beside an error"
}

# make_model KIND PATH...: a model file of tests/support/make_models.py
make_model() {
    "$SONDE_PYTHON" "$here/../support/make_models.py" "$@" || fail "make_models $*"
}
