/*
 * What the spectra of a model say, in plain words: what is seen, how sure that is, and what nobody
 * can read off it.
 */
#ifndef SONDE_REPORT_WORDS_SURVEY_H
#define SONDE_REPORT_WORDS_SURVEY_H

#include "report/survey.h"
#include "report/words.h"

/* Which layers training has shaped, and by how much. */
void sonde__words_law(const sonde__survey_table *table, sonde__words *words);
/* What the power-law exponents say. */
void sonde__words_tails(const sonde__survey_table *table, sonde__words *words);
/* Whether layers have lost rank. */
void sonde__words_rank(const sonde__survey_table *table, sonde__words *words);
void sonde__words_survey_warnings(const sonde__survey_table *table, sonde__warnings *warnings);

/* The stop rule over a series of `count` checkpoints, and their rows of the trend. */
void sonde__words_series_stop(const sonde_decision *decision, const sonde__trend_row *rows,
                              size_t count, sonde__words *words);
/* A keep choice by the signal `by`; the checkpoint's file in `file`, or "". */
void sonde__words_series_keep(const sonde_keep_choice *choice, const char *by, const char *file,
                              sonde__words *words);

#endif
