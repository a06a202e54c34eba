/*
 * Learning-rate schedules, one rate an epoch, with the same figures as PyTorch's schedulers stepped
 * once after every epoch (torch.optim.lr_scheduler: ConstantLR, MultiStepLR, CosineAnnealingLR,
 * ExponentialLR, LinearLR, after LinearLR warm-up in a SequentialLR).
 */
#ifndef SONDE_RUN_SCHEDULE_H
#define SONDE_RUN_SCHEDULE_H

#include "run/choice.h"

typedef struct sonde__schedule {
    sonde__schedule_kind kind;
    double rate;     /* the full rate */
    double final;    /* cosine, linear: the rate that the epoch after the last one would have */
    double gamma;    /* step: factor a milestone; exponential: factor an epoch */
    int64_t epochs;  /* of the whole run */
    int64_t warm_up; /* epochs in which the rate rises in equal steps to the full rate */
    const int64_t *milestones; /* whole epochs after which the rate is multiplied by gamma */
    int milestone_count;
} sonde__schedule;

/* `epoch` counts from 1, as everywhere. */
double sonde__schedule_rate(const sonde__schedule *schedule, int64_t epoch);

#endif
