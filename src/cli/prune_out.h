/* What `sonde prune` says: for people and as JSON. */
#ifndef SONDE_CLI_PRUNE_OUT_H
#define SONDE_CLI_PRUNE_OUT_H

#include <stdio.h>

#include "run/prune.h"

void sonde__prune_print(FILE *to, const sonde__prune_job *job, const sonde__prune_outcome *outcome);
sonde_status sonde__prune_json(sonde_context *context, FILE *to, const sonde__prune_job *job,
                               const sonde__prune_outcome *outcome);

#endif
