#!/bin/bash
# symbols.sh SHARED STATIC HEADER: the shared library shows the functions that the header declares,
# all of them and nothing else; the static one defines no global name outside sonde_ and sonde__.
set -euo pipefail
shared=$1 static=$2 header=$3

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

nm -D --defined-only "$shared" | awk '$2 ~ /^[TDBRVWi]$/ { print $3 }' | sed 's/@.*//' |
    grep -v -E '^(_init|_fini|__(asan|ubsan|odr_asan|lsan)_.*|_edata|_end|__bss_start)$' |
    LC_ALL=C sort -u > "$scratch/exported" || true
# "SONDE_API ... name(": a declaration may run over lines.
tr '\n' ' ' < "$header" | grep -o -E 'SONDE_API [^;{(]*\(' |
    sed -E 's/.*[ *]([A-Za-z0-9_]+)\($/\1/' | grep -v '^__attribute__$' |
    LC_ALL=C sort -u > "$scratch/declared"

status=0
[ -s "$scratch/declared" ] || { echo "no declaration found in $header"; status=1; }
if ! diff -u "$scratch/declared" "$scratch/exported"; then
    echo "the header's declarations (-) and the library's exports (+) differ" >&2
    status=1
fi
if grep -v -E '^sonde_[a-z0-9]' "$scratch/exported"; then
    echo "exported, and not public names" >&2
    status=1
fi
if nm --defined-only -g "$static" 2> /dev/null | awk 'NF == 3 { print $3 }' |
    grep -v -E '^(sonde_|__odr_asan)'; then
    echo "global names of the static library that could collide with the caller's" >&2
    status=1
fi
exit $status
