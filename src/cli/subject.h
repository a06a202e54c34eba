/*
 * Options that name a subject, for verbs that measure (sonde__verb.measures): a run and its epoch, or
 * --model with --weights, and the normalisation that those weights were trained with.
 */
#ifndef SONDE_CLI_SUBJECT_H
#define SONDE_CLI_SUBJECT_H

#include "cli/verb.h"
#include "run/subject.h"

/* Fills all but max_batch, study and tangent. `run` may be NULL. */
sonde_status sonde__cli_subject_options(const sonde__call *call, const char *run,
                                        const sonde__subject_words *words,
                                        sonde__subject_options *options);

#endif
