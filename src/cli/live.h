/*
 * Progress on stderr: one live line on a terminal, one plain line an epoch elsewhere, nothing when
 * quiet. The live line is redrawn at most ten times a second and never longer than the terminal is
 * wide.
 */
#ifndef SONDE_CLI_LIVE_H
#define SONDE_CLI_LIVE_H

#include <stdbool.h>
#include <stddef.h>

#include "run/trainer.h"

typedef struct sonde__live {
    bool quiet, terminal, colour;
    bool drawn;            /* a live line stands on the screen */
    double last_draw;      /* monotonic seconds */
    int64_t printed_epoch; /* plain lines: the last epoch told */
    char greeting[2048];   /* told once when the work has really begun; "": nothing */
} sonde__live;

void sonde__live_init(sonde__live *live, bool quiet);
/* Two hooks of sonde__train_hooks; `user` is the sonde__live. */
void sonde__live_progress(void *user, const sonde__train_progress *progress);
void sonde__live_event(void *user, const char *text);
/* Terminal only: true when the line may be drawn again; draws it, cut to the terminal's width by the
 * caller. */
bool sonde__live_due(const sonde__live *live);
void sonde__live_show(sonde__live *live, const char *line);
/* Clears the live line, so that the terminal is as it was. */
void sonde__live_end(sonde__live *live);

/* The line itself, at most `width` columns: what matters least is left out first. */
void sonde__live_format(const sonde__train_progress *progress, int width, bool colour, char *line,
                        size_t size);

/* Progress of a survey, for sonde_survey_options.progress; `user` is a sonde__survey_live. */
typedef struct sonde__survey_live {
    sonde__live live;
    const char *model;     /* its name, shown when there are several */
    size_t number, models; /* 1 of 12 */
    double told;           /* monotonic seconds of the last plain line, or of the beginning */
} sonde__survey_live;

void sonde__survey_live_init(sonde__survey_live *live, bool quiet);
/* False after the first Ctrl-C, which ends the survey with what is done. */
bool sonde__survey_live_progress(void *user, const sonde_survey_progress *progress);
/* The line, at most `width` columns. */
void sonde__survey_live_format(const sonde__survey_live *live,
                               const sonde_survey_progress *progress, int width, char *line,
                               size_t size);

/* Columns of the terminal behind the file descriptor; `otherwise` where there is none. */
int sonde__terminal_width(int descriptor, int otherwise);
bool sonde__terminal_colour(int descriptor);

#endif
