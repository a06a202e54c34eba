#!/bin/bash
# Installs into a scratch prefix, moves it, and builds the programs in examples/ and open_model.c (beside
# this file) against what is there: with pkg-config (shared, static) and with the CMake package (both
# targets). Each program must run and say the same. Nothing of the source tree but the programs is on
# any search path.
set -euo pipefail
: "${CMAKE:?}" "${CC:?}" "${CXX:?}" "${SONDE_SOURCE:?}" "${SONDE_BUILD:?}"
read -r -a flags <<< "${SONDE_FLAGS:-}"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

fail() {
    echo "install.own_loop: $*" >&2
    exit 1
}

"$CMAKE" --install "$SONDE_BUILD" --prefix "$scratch/first" > "$scratch/install.log" ||
    { cat "$scratch/install.log"; fail "the installation failed"; }
mv "$scratch/first" "$scratch/moved"
prefix=$scratch/moved
libdir=$(dirname "$(find "$prefix" -name libsonde.a)")
for file in "$prefix/include/sonde.h" "$prefix/bin/sonde" "$libdir/libsonde.so" \
    "$libdir/pkgconfig/sonde.pc" "$libdir/cmake/sonde/sonde-config.cmake"; do
    [ -e "$file" ] || fail "not installed: ${file#"$prefix/"}"
done
"$prefix/bin/sonde" --version > /dev/null || fail "the installed command does not run"

# Away from the tree: no header can be found beside them.
cp "$SONDE_SOURCE"/examples/{own_loop,model_spectra,cut_channels}.c \
    "$SONDE_SOURCE/tests/install/open_model.c" "$scratch"
warnings=(-std=c11 -Wall -Wextra -pedantic -Werror)

export PKG_CONFIG_PATH=$libdir/pkgconfig
pkg-config --exists --print-errors sonde || fail "pkg-config does not find sonde"
read -r -a cflags < <(pkg-config --cflags sonde)
read -r -a shared < <(pkg-config --libs sonde)
read -r -a static < <(pkg-config --libs --static sonde)
static=("${static[@]/#-lsonde/-l:libsonde.a}")

for program in own_loop model_spectra cut_channels open_model; do
    "$CC" "${warnings[@]}" "${flags[@]}" "${cflags[@]}" "$scratch/$program.c" \
        -o "$scratch/$program-shared" "${shared[@]}" -Wl,-rpath,"$libdir" -lm
    "$CC" "${warnings[@]}" "${flags[@]}" "${cflags[@]}" "$scratch/$program.c" \
        -o "$scratch/$program-static" "${static[@]}" -lm
done

mkdir "$scratch/package"
cat > "$scratch/package/CMakeLists.txt" << 'END'
cmake_minimum_required(VERSION 3.20)
project(own_loop LANGUAGES C CXX)
find_package(sonde 0.1 REQUIRED CONFIG)
foreach(kind sonde sonde_static)
    foreach(program own_loop model_spectra cut_channels open_model)
        add_executable(${program}_${kind} ../${program}.c)
        target_link_libraries(${program}_${kind} PRIVATE sonde::${kind} m)
    endforeach()
    add_executable(cpp_${kind} header.cpp)
    target_link_libraries(cpp_${kind} PRIVATE sonde::${kind})
endforeach()
END
# The header in C++: the same declarations, called.
cat > "$scratch/package/header.cpp" << 'END'
#include <sonde.h>
#include <cstring>
int main()
{
    sonde_context *context = nullptr;
    if (sonde_context_create(nullptr, &context) != SONDE_OK) {
        return 1;
    }
    const bool same = std::strcmp(sonde_version(), "0.1.0") == 0 &&
                      std::strcmp(sonde_proxy_name(SONDE_PROXY_SNIP), "snip") == 0 &&
                      sonde_criterion_reads(SONDE_CRITERION_GRASP) == SONDE_NEEDS_HESSIAN;
    sonde_context_free(context);
    return same ? 0 : 2;
}
END
"$CMAKE" -S "$scratch/package" -B "$scratch/package/build" -DCMAKE_PREFIX_PATH="$prefix" \
    -DCMAKE_C_COMPILER="$CC" -DCMAKE_CXX_COMPILER="$CXX" \
    -DCMAKE_C_FLAGS="${SONDE_FLAGS:-}" \
    -DCMAKE_CXX_FLAGS="-std=c++11 -Wall -Wextra -pedantic -Werror ${SONDE_FLAGS:-}" \
    > "$scratch/configure.log" 2>&1 || { cat "$scratch/configure.log"; fail "find_package(sonde)"; }
"$CMAKE" --build "$scratch/package/build" > "$scratch/build.log" 2>&1 ||
    { cat "$scratch/build.log"; fail "the CMake package's targets do not build"; }

built=$scratch/package/build
for program in "$built/cpp_sonde" "$built/cpp_sonde_static"; do
    "$program" || fail "$(basename "$program") ended with status $?"
done

# model HEADER: a safetensors file whose data come from the standard input.
model() {
    printf "\\x$(printf '%x' "${#1}")\0\0\0\0\0\0\0%s" "$1"
    cat
}
# Two tensors: F32 1.5 -2 and BF16 1.
printf '\0\0\300\077\0\0\0\300\200\077' | model \
    '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"BF16","shape":[],"data_offsets":[8,10]}}' \
    > "$scratch/model.safetensors"
# A matrix of recorded numbers, and a vector of the last four of them.
model '{"fc.weight":{"dtype":"F32","shape":[20,67],"data_offsets":[0,5360]},"fc.bias":{"dtype":"F32","shape":[4],"data_offsets":[5360,5376]}}' \
    < "$SONDE_SOURCE/tests/golden/gguf/sample.f32" > "$scratch/layers.safetensors"

# The same answer from all four, so that none of them is an older library found elsewhere.
loads() {
    ldd "$1" | grep -c "libsonde" || true
}
# same NAME ARGUMENT...: runs the four builds of a program.
same() {
    local name=$1 program
    shift
    [ "$(loads "$scratch/$name-shared")" = 1 ] || fail "$name: shared does not load libsonde.so"
    [ "$(loads "$scratch/$name-static")" = 0 ] || fail "$name: static loads libsonde.so"
    for program in "$scratch/$name-shared" "$scratch/$name-static" "$built/${name}_sonde" \
        "$built/${name}_sonde_static"; do
        (cd "$scratch" && "$program" "$@" > "$program.out") ||
            fail "$(basename "$program") ended with status $?: $(tail -n 3 "$program.out")"
        [ -s "$program.out" ] || fail "$(basename "$program") said nothing"
        cmp "$scratch/$name-shared.out" "$program.out" ||
            fail "$(basename "$program") says something else"
    done
    cat "$scratch/$name-shared.out"
}
same own_loop
same open_model model.safetensors
printf 'a F32 1.5 -2\nb BF16 1\n' | cmp - "$scratch/open_model-shared.out" ||
    fail "open_model does not say what is in the file"

# Every digit hangs on rounding, so that only what is sure is compared.
same model_spectra layers.safetensors 64
for line in 'layers.safetensors: safetensors, 2 tensors, 1344 numbers' \
    'fc.weight  20x67 F32 dense  ..  spikes [0-9]*  ratio [0-9.]*  alpha .*' \
    'fc.bias  4 F32 dense  no spectrum: a vector, not a matrix'; do
    grep -qx "$line" "$scratch/model_spectra-shared.out" || fail "model_spectra does not say: $line"
done
status=0
"$scratch/model_spectra-shared" "$scratch/missing" 2> "$scratch/missing.err" || status=$?
[ "$status" = 1 ] && grep -q 'missing.*No such file' "$scratch/missing.err" ||
    fail "model_spectra: a missing file ends with $status: $(cat "$scratch/missing.err")"

same cut_channels layers.safetensors 0.5
for line in 'fc.weight  10 of 20 stay:\( [0-9]*\)\{10\}' '10 of 20 units go, .*'; do
    grep -qx "$line" "$scratch/cut_channels-shared.out" || fail "cut_channels does not say: $line"
done
