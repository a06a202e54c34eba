/* Asks OpenBLAS for its kernels and the processor for its vectors; see blas_core.h. */
#include "num/blas_core.h"

#include <cblas.h>
#include <stddef.h>
#include <string.h>

#include "base/compiler.h"

const char *sonde__blas_better_core(void)
{
    if (strcmp(openblas_get_corename(), "Prescott") != 0)
        return NULL;
    if (sonde__cpu_has_avx512())
        return "SkylakeX";
    return sonde__cpu_has_avx2() ? "Haswell" : NULL;
}
