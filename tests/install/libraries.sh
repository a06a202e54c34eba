#!/bin/bash
# libraries.sh COMMAND SHARED OPENBLAS_FOLDER: what the dynamic linker loads. One OpenBLAS, the
# OpenMP build, and no other BLAS or LAPACK beside it; one OpenMP runtime, gcc's; the public library
# knows no engine and no database.
set -euo pipefail
command=$1 shared=$2 openblas=$3

status=0
complain() {
    echo "$*" >&2
    status=1
}

loaded() {
    ldd "$1" | awk '$2 == "=>" { print $3 }'
}

for file in "$command" "$shared"; do
    name=$(basename "$file")
    folders=$(loaded "$file" | grep libopenblas | xargs -r -n 1 dirname)
    [ "$folders" = "$openblas" ] ||
        complain "$name loads OpenBLAS from '$folders', wanted '$openblas' once"
    # A second one, by whatever alternative the system prefers, would be a second thread pool.
    others=$(loaded "$file" | grep -E '/lib(blas|cblas|lapack|lapacke|atlas|blis|flexiblas)\.so' || true)
    [ -z "$others" ] || complain "$name loads another BLAS or LAPACK: $others"
    # By name: libgomp of gcc, libomp and libiomp5 of clang and Intel.
    runtimes=$(loaded "$file" | grep -c -E '/lib(gomp|omp|iomp5)\.so' || true)
    [ "$runtimes" = 1 ] || complain "$name loads $runtimes OpenMP runtimes"
    loaded "$file" | grep -q '/libgomp\.so' || complain "$name does not use libgomp"
    missing=$(ldd "$file" | grep 'not found' || true)
    [ -z "$missing" ] || complain "$name: $missing"
done

for library in dnnl sqlite3 jansson; do
    if loaded "$shared" | grep -q "$library"; then
        complain "the public library loads $library"
    fi
done
loaded "$shared" | grep -q '/libz\.so' || complain "the public library does not use zlib"

exit $status
