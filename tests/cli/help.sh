# Help that a newcomer can use: for the command and for every verb, on stdout, examples first.
. "$(dirname "$0")/common.bash"

run 0 help
general=$(cat out)
for verb in show spectrum keep score tpv probe prune diff convert train resume report demo data models; do
    case $general in *"    $verb "*) ;; *) fail "help does not list $verb" ;; esac
    run 0 help $verb
    cp out by_help
    run 0 $verb --help
    cmp -s out by_help || fail "sonde help $verb and sonde $verb --help differ"
    [ ! -s err ] || fail "help on stderr"
    examples=$(grep -n '^Examples' out | cut -d: -f1)
    usage=$(grep -n '^Usage' out | cut -d: -f1)
    [ -n "$examples" ] && [ -n "$usage" ] && [ "$examples" -lt "$usage" ] || fail "$verb: no examples first"
    awk 'length > 100 { exit 1 }' out || fail "$verb: a help line is over 100 columns"
done

run 0 help train
for option in --data --epochs --no-skip --probe --stop --run --label-noise; do
    says out "$option"
done
run 0 help spectrum
for option in --layers --fast --conv --base --memory --threads --html --csv --json; do
    says out "$option"
done
run 0 --help
run 0 --version
grep -qE '^sonde [0-9]+\.[0-9]+\.[0-9]+$' out || fail "version"
run 2 # nothing at all: help, on stderr
[ ! -s out ] || fail "help for wrong use belongs on stderr"
says err "Verbs"
