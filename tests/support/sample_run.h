/*
 * A made-up but plausible run, for tests of the report and the words: 20 % label noise, the score
 * turns at two thirds, some layers go over their threshold. Shapes and lengths are free.
 */
#ifndef SONDE_TESTS_SAMPLE_RUN_H
#define SONDE_TESTS_SAMPLE_RUN_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/record.h"

typedef struct sample_shape {
    int epochs, layers, eigenvalues;
    bool test;  /* there is a test part */
    bool valid; /* layers can be judged */
    bool nan;   /* the loss is NaN from the middle on */
} sample_shape;

/* A repeatable wobble in [-1, 1]. */
static inline double sample_wobble(int a, int b)
{
    const double x = sin(a * 12.9898 + b * 78.233) * 43758.5453;
    return 2 * (x - floor(x)) - 1;
}

static inline void sample_epochs(sonde__record *record, const sample_shape *shape)
{
    record->epochs = calloc((size_t)shape->epochs + 1, sizeof *record->epochs);
    record->epoch_count = (size_t)shape->epochs;
    for (int i = 0; i < shape->epochs; i++) {
        sonde__epoch_row *row = &record->epochs[i];
        const double t = (i + 1.0) / shape->epochs;
        const bool broken = shape->nan && i >= shape->epochs / 2;
        row->epoch = i + 1;
        row->train_loss =
            broken ? (double)NAN : 0.12 + 2.1 * exp(-4 * t) + 0.02 * sample_wobble(i, 1);
        row->train_accuracy = 0.97 - 0.75 * exp(-4 * t) + 0.005 * sample_wobble(i, 2);
        row->test_loss = (double)NAN;
        row->test_accuracy = shape->test
                                 ? 0.86 - 0.6 * exp(-8 * t) - 0.12 * pow(fmax(0, t - 0.5), 2) +
                                       0.006 * sample_wobble(i, 3)
                                 : (double)NAN;
        row->learning_rate = 0.025 * (1 + cos(3.14159265 * t));
        row->examples = 20000;
        row->active = i < 3 ? 20000 : (int64_t)(20000 * (1 - 0.6 * t + 0.04 * sample_wobble(i, 4)));
        if (t > 0.9)
            row->active = 20000;
        row->gradient_norm = 1.5 - t;
        row->seconds_train = 1.9 * (double)row->active / 20000;
        row->seconds_check = 0.2;
        row->seconds_probe = 0.02;
        row->seconds_spectrum_wait = 0.01;
        row->seconds_test = shape->test ? 0.18 : 0;
        row->seconds_store = 0.05;
        row->seconds = row->seconds_train + 0.52;
        row->images_per_second = (double)row->active / row->seconds_train;
        row->memory_peak = 2e8;
    }
}

static inline void sample_scores(sonde__record *record, const sample_shape *shape)
{
    record->scores = calloc(2 * (size_t)shape->epochs + 1, sizeof *record->scores);
    record->score_count = 2 * (size_t)shape->epochs;
    for (int i = 0; i < shape->epochs; i++)
        for (int which = 0; which < 2; which++) {
            sonde__score_row *row = &record->scores[2 * i + which];
            const double t = (i + 1.0) / shape->epochs;
            row->epoch = i + 1;
            snprintf(row->signal, sizeof row->signal, "head%s.head_scaled", which ? "2" : "");
            row->score.value = 0.018 + 0.05 * exp(-5 * t) + 0.03 * pow(fmax(0, t - 0.6), 2) +
                               0.0006 * sample_wobble(i, 7 + which) + 0.002 * which;
            row->score.direction = SONDE_LOWER_IS_BETTER;
            if (shape->nan && i >= shape->epochs / 2)
                row->score.validity = SONDE_NOT_FINITE;
        }
}

static inline double *sample_eigenvalues(int count, int layer)
{
    double *values = calloc((size_t)count, sizeof *values);
    for (int i = 0; i < count; i++) { /* quantiles that look like the law's with ratio 0.25 */
        const double u = (i + 0.5) / count;
        values[i] = 0.25 + 2.0 * (0.62 * u + 0.38 * u * u * u) + 0.01 * sample_wobble(i, layer) * u;
    }
    for (int i = 1; i < count; i++)
        values[i] = fmax(values[i], values[i - 1]);
    if (count > 8) {
        values[count - 3] = 2.75;
        values[count - 2] = 3.4 + layer;
        values[count - 1] = 9.1 + layer;
    }
    return values;
}

static inline void sample_layers(sonde__record *record, const sample_shape *shape)
{
    const size_t count = (size_t)shape->epochs * (size_t)shape->layers;
    record->layers = calloc(count + 1, sizeof *record->layers);
    record->layer_count = count;
    for (int i = 0; i < shape->epochs; i++)
        for (int l = 0; l < shape->layers; l++) {
            sonde__layer_row *row = &record->layers[i * shape->layers + l];
            const double t = (i + 1.0) / shape->epochs;
            row->epoch = i + 1;
            snprintf(row->layer, sizeof row->layer, l % 3 == 2 ? "fc%d" : "conv%d", l + 1);
            row->threshold = 0.4 + 0.03 * l;
            row->report.rows = (size_t)shape->eigenvalues;
            row->report.cols = (size_t)shape->eigenvalues * 4;
            row->report.validity = shape->valid && l != 3 ? SONDE_VALID : SONDE_SMALL;
            row->report.statistic = row->threshold * (0.45 + fmax(-0.3, 0.8 - 0.14 * l) * t * t +
                                                      0.03 * sample_wobble(i, 20 + l));
            row->report.distance = row->report.statistic / 4;
            row->over =
                row->report.validity == SONDE_VALID && row->report.statistic > row->threshold;
            row->report.type = row->over ? SONDE_SPECTRUM_HEAVY_TAIL : SONDE_SPECTRUM_LIGHT_TAIL;
            row->report.spikes = 3;
            row->report.mp_low = 0.25;
            row->report.mp_high = 2.25;
            row->report.edge = 2.3;
            row->report.largest = 9.1 + l;
            row->report.stable_rank = 11.5;
            if (i == shape->epochs - 1 && shape->eigenvalues) {
                row->eigenvalues = sample_eigenvalues(shape->eigenvalues, l);
                row->eigenvalue_count = (size_t)shape->eigenvalues;
            }
        }
}

static inline void sample_decision(sonde__record *record, const sample_shape *shape)
{
    sonde__run_summary *run = &record->summary;
    sonde_decision *decision = &run->decision;
    const int kept = shape->nan ? shape->epochs / 2 : (2 * shape->epochs + 2) / 3;
    decision->epoch = shape->epochs;
    decision->stop_epoch = -1;
    decision->keep = (sonde_keep_choice){.epoch = kept,
                                         .meaningful = true,
                                         .window = SONDE_WINDOW_ALL,
                                         .window_first = 1,
                                         .window_last = shape->epochs,
                                         .second_epoch = kept,
                                         .top_count = 1,
                                         .top = {kept}};
    decision->keep.score = 0.0195;
    snprintf(decision->keep.reason, SONDE_REASON_MAX,
             "The head-scaled gradient on 256 held-out examples is lowest at epoch %d; it has "
             "risen since, so the whole run was searched.",
             kept);
    if (shape->valid) {
        decision->stop_advised = shape->epochs > 3;
        decision->stop_epoch = shape->epochs > 3 ? shape->epochs - shape->epochs / 6 : -1;
        snprintf(decision->stop_layer, sizeof decision->stop_layer, "conv1");
        snprintf(decision->stop_reason, SONDE_REASON_MAX,
                 "The spectrum of conv1 left the Marchenko-Pastur law by 1.04 times its "
                 "threshold, calibrated at a false-alarm rate of 1 %%.");
        decision->worst_ratio = 1.25;
        snprintf(decision->worst_layer, sizeof decision->worst_layer, "conv1");
    }
    decision->examples = 20000;
    decision->active = 9120;
    decision->saved_fraction = 0.274;
    snprintf(decision->skip_reason, SONDE_REASON_MAX,
             "Examples whose loss has settled (second difference under 0.001) were skipped until "
             "it moved again.");
}

static inline void sample_summary(sonde__record *record, const sample_shape *shape)
{
    sonde__run_summary *run = &record->summary;
    snprintf(run->folder, sizeof run->folder, "runs/strokes-cnn-20261121-220000");
    snprintf(run->status, sizeof run->status, "finished");
    sonde__config_init(&run->config);
    run->config.epochs = shape->epochs;
    run->config.label_noise = 0.2;
    snprintf(run->config.probe, sizeof run->config.probe, "held:256");
    run->epochs_run = shape->epochs;
    run->parameters = 421642;
    run->train_examples = 20000;
    run->test_examples = shape->test ? 5000 : 0;
    run->seconds = 2.1 * shape->epochs;
    run->best_test_epoch = -1;
    sample_decision(record, shape);
    const int64_t kept = run->decision.keep.epoch;
    const bool any = shape->epochs > 0;
    const double none = (double)NAN;
    run->final_train_loss = any ? record->epochs[shape->epochs - 1].train_loss : none;
    run->final_test_accuracy = any ? record->epochs[shape->epochs - 1].test_accuracy : none;
    run->kept_test_accuracy = any && kept > 0 ? record->epochs[kept - 1].test_accuracy : none;
    run->best_test_accuracy = none;
    for (int i = 0; i < shape->epochs && shape->test; i++)
        if (!(record->epochs[i].test_accuracy <= run->best_test_accuracy)) {
            run->best_test_accuracy = record->epochs[i].test_accuracy;
            run->best_test_epoch = i + 1;
        }
}

static inline sonde__record sample_run(sample_shape shape)
{
    sonde__record record = {0};
    sample_epochs(&record, &shape);
    sample_scores(&record, &shape);
    sample_layers(&record, &shape);
    sample_summary(&record, &shape);
    return record;
}

static inline void sample_free(sonde__record *record)
{
    for (size_t i = 0; i < record->layer_count; i++)
        free(record->layers[i].eigenvalues);
    free(record->epochs);
    free(record->scores);
    free(record->layers);
    free(record->events);
    *record = (sonde__record){0};
}

#endif
