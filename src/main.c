/* The command `sonde`: everything is in src/cli. */
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "num/blas_core.h"

/* Sets what the user has not; true when it did. */
static bool prefer(const char *name, const char *value)
{
    return value && !getenv(name) && setenv(name, value, 1) == 0;
}

/*
 * OpenBLAS and libgomp read their settings when they are loaded, so the command sets them and starts
 * itself again, once: kernels for a processor that OpenBLAS does not know, and threads that sleep
 * instead of spinning at a barrier while a neighbour has their core (docs/command.md). Where that
 * fails, the command goes on with what it has.
 */
static void choose_libraries_settings(char **arguments)
{
    bool const core = prefer("OPENBLAS_CORETYPE", sonde__blas_better_core());
    bool const spin = !getenv("OMP_WAIT_POLICY") && prefer("GOMP_SPINCOUNT", "10000");
    if (core || spin)
        execv("/proc/self/exe", arguments);
}

/* Verbs that only read and write files answer before a second start would have loaded everything. */
static bool computes(int count, char **arguments)
{
    static const char *const verbs[] = {"train", "resume", "demo", "spectrum", "keep"};
    for (size_t i = 0; count > 1 && i < sizeof verbs / sizeof verbs[0]; i++)
        if (strcmp(arguments[1], verbs[i]) == 0)
            return true;
    return false;
}

int main(int count, char **arguments)
{
    signal(SIGXFSZ, SIG_IGN); /* a file-size limit is an error of the write, not the end */
    if (computes(count, arguments))
        choose_libraries_settings(arguments);
    return sonde__cli_main(count, arguments);
}
