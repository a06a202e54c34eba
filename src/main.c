/* The command `sonde`: everything is in src/cli. */
#include "cli/cli.h"

int main(int count, char **arguments)
{
    return sonde__cli_main(count, arguments);
}
