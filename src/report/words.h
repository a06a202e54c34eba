/*
 * The decisions in plain words, for the terminal and the report alike.
 *
 * Words never add to a decision: they name it, say how sure it is, give the rule's own reason, and
 * what it cost or saved. Whatever rests on the test part says that it is hindsight.
 */
#ifndef SONDE_REPORT_WORDS_H
#define SONDE_REPORT_WORDS_H

#include "report/record.h"

typedef enum sonde__tone {
    SONDE__TONE_PLAIN = 0, /* nothing to be sure of */
    SONDE__TONE_SURE = 1,
    SONDE__TONE_CARE = 2,
    SONDE__TONE_UNSURE = 3
} sonde__tone;

enum { SONDE__WORDS_LINES = 6, SONDE__WORDS_LINE = 640, SONDE__WARNINGS_MAX = 16 };

typedef struct sonde__words {
    const char *topic;    /* "Keep" */
    const char *question; /* "Which epoch is the one to ship?" */
    sonde__tone tone;
    char answer[192]; /* "epoch 7" */
    char sure[192];   /* how sure, or "" */
    int line_count;
    char lines[SONDE__WORDS_LINES][SONDE__WORDS_LINE];
} sonde__words;

typedef struct sonde__warnings {
    int count;
    char lines[SONDE__WARNINGS_MAX][SONDE__WORDS_LINE];
} sonde__warnings;

void sonde__words_keep(const sonde__record *record, sonde__words *words);
void sonde__words_stop(const sonde__record *record, sonde__words *words);
void sonde__words_skip(const sonde__record *record, sonde__words *words);
/* Whether there is a test part and what it was used for: one sentence. */
void sonde__words_test(const sonde__record *record, char *line, size_t size);
void sonde__words_warnings(const sonde__record *record, sonde__warnings *warnings);

/* One more line, as printf writes it; past the last one nothing happens. */
void sonde__words_add(sonde__words *words, const char *format, ...) SONDE_PRINTF(2, 3);
void sonde__words_warn(sonde__warnings *warnings, const char *format, ...) SONDE_PRINTF(2, 3);
/* Tone and how sure a keep choice is. */
void sonde__words_keep_sure(const sonde_keep_choice *keep, sonde__words *words);
/* Each warning of a choice with what to do about it. */
void sonde__words_keep_warnings(uint32_t bits, sonde__warnings *warnings);

/* "3:07" or "1:02:09" from an hour on; "?" for NaN and negative. */
void sonde__words_clock(double seconds, char *text, size_t size);
/* "47 s", "3 min 7 s", "1 h 2 min". */
void sonde__words_duration(double seconds, char *text, size_t size);
/* "12,345". */
void sonde__words_grouped(int64_t value, char *text, size_t size);
/* "512 bytes", "3.4 MB", "13.5 GB": powers of 1000, as file managers count. */
void sonde__words_bytes(uint64_t bytes, char *text, size_t size);

#endif
