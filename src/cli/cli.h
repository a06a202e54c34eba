/* The command line: finds the verb and runs it. */
#ifndef SONDE_CLI_CLI_H
#define SONDE_CLI_CLI_H

/* Exit status: 0 done, 1 the work failed, 2 wrong use. */
int sonde__cli_main(int count, char **arguments);

#endif
