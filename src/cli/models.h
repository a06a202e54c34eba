/* Which model files a command line means: one, or a series of checkpoints in order of epoch. */
#ifndef SONDE_CLI_MODELS_H
#define SONDE_CLI_MODELS_H

#include "cli/verb.h"
#include "model/series.h"

/*
 * One name: a model file, a folder that holds one model, or a folder of checkpoints; a run stands for
 * its checkpoints. Several names: a series of them. A single model is a series of one whose path is
 * as the user gave it.
 */
sonde_status sonde__cli_models(sonde__call *call, sonde__series *series);

/* Whether a file's name has the ending of a model: reports and tables are not written there. */
bool sonde__cli_names_model(const char *path);

#endif
