/* The command `sonde`: everything is in src/cli. */
#include <stdlib.h>
#include <unistd.h>

#include "cli/cli.h"
#include "num/blas_core.h"

/* Starts the command again with better kernels where OpenBLAS does not know the processor; where
 * that fails, the command goes on with what it has. */
static void choose_blas_core(char **arguments)
{
    const char *core = getenv("OPENBLAS_CORETYPE") ? NULL : sonde__blas_better_core();
    if (core && setenv("OPENBLAS_CORETYPE", core, 1) == 0)
        execv("/proc/self/exe", arguments);
}

int main(int count, char **arguments)
{
    choose_blas_core(arguments);
    return sonde__cli_main(count, arguments);
}
