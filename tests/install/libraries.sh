#!/bin/bash
# libraries.sh COMMAND SHARED OPENBLAS_FOLDER: what the dynamic linker loads. One OpenBLAS, the
# OpenMP build; one OpenMP runtime, gcc's; LAPACK calls made through LAPACKE end in that OpenBLAS even
# where the system's liblapack is another one; the public library knows no engine and no database.
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
    # By name: libgomp of gcc, libomp and libiomp5 of clang and Intel.
    runtimes=$(loaded "$file" | grep -c -E '/lib(gomp|omp|iomp5)\.so' || true)
    [ "$runtimes" = 1 ] || complain "$name loads $runtimes OpenMP runtimes"
    loaded "$file" | grep -q '/libgomp\.so' || complain "$name does not use libgomp"
    missing=$(ldd "$file" | grep 'not found' || true)
    [ -z "$missing" ] || complain "$name: $missing"
done

for library in dnnl sqlite3 jansson libz; do
    if loaded "$shared" | grep -q "$library"; then
        complain "the public library loads $library"
    fi
done

# Every binding of a BLAS or LAPACK name, whoever asks for it, must lead to the one OpenBLAS: a second
# BLAS in the process would be a second thread pool and other bits.
bindings=$(LD_BIND_NOW=1 LD_DEBUG=bindings "$command" --version 2>&1 > /dev/null || true)
strays=$(grep -E "symbol .(cblas_[a-z]|[sdcz](gemm|syrk|gemv|syevd|syevr|gesdd|geqrf|lasq1|steqr|sterf|stedc|sytrd|orgtr)_)" <<< "$bindings" |
    grep -v -E 'to [^ ]*libopenblas[^ ]* \[' || true)
[ -z "$strays" ] || complain "bound outside OpenBLAS: $(head -n 5 <<< "$strays")"
exit $status
