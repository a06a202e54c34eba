/*
 * The named choices of a configuration as enumerations and numbers: optimiser, schedule, loss, probe
 * plan, milestones, steering options. What config.h keeps as the user wrote it, the trainer reads
 * here.
 */
#ifndef SONDE_RUN_CHOICE_H
#define SONDE_RUN_CHOICE_H

#include "run/config.h"

typedef enum sonde__optimizer_kind {
    SONDE__OPTIMIZER_SGD,
    SONDE__OPTIMIZER_ADAM,
    SONDE__OPTIMIZER_ADAMW
} sonde__optimizer_kind;

typedef enum sonde__schedule_kind {
    SONDE__SCHEDULE_CONSTANT,
    SONDE__SCHEDULE_STEP,
    SONDE__SCHEDULE_COSINE,
    SONDE__SCHEDULE_EXPONENTIAL,
    SONDE__SCHEDULE_LINEAR
} sonde__schedule_kind;

enum { SONDE__MILESTONES_MAX = 32, SONDE__PROBES_MAX = 3 };

typedef struct sonde__choices {
    sonde__optimizer_kind optimizer;
    sonde__schedule_kind schedule;
    sonde_head_kind loss;
    sonde_score_kind keep_by;
    sonde_keep_window window;
    sonde_mastery_mode skip_mode;
    double learning_rate; /* with the optimiser's default filled in */
    int64_t milestones[SONDE__MILESTONES_MAX];
    int milestone_count;
    /* Kinds in the order given; the first decides, the others are only recorded. */
    sonde_probe_kind probes[SONDE__PROBES_MAX];
    int probe_count;
    int64_t held; /* examples taken out of training; 0: none */
} sonde__choices;

/* Unknown names are SONDE_ERROR_ARGUMENT and name the option and its choices. */
sonde_status sonde__choices_read(sonde_context *context, const sonde__config *config,
                                 sonde__choices *choices);
/* "train", "augmented" or "held". */
const char *sonde__probe_name(sonde_probe_kind kind);

#endif
