/*
 * The columns of the run store's tables: name, C type and place in the row struct. The schema, the
 * writer and the reader all follow these, so that a new measure is one line here and one field in
 * store.h. A column that runs of earlier releases lack is marked as a later one.
 */
#include "run/store_internal.h"

#define ROOM(type, field) sizeof(((type *)0)->field)
#define EPOCH(kind, field) \
    { \
#field, SONDE__COLUMN_##kind, offsetof(sonde__epoch_row, field), \
            ROOM(sonde__epoch_row, field), false \
    }
#define SCORE(kind, name, field) \
    { \
        name, SONDE__COLUMN_##kind, offsetof(sonde__score_row, field), \
            ROOM(sonde__score_row, field), false \
    }
#define LAYER(kind, name, field) \
    { \
        name, SONDE__COLUMN_##kind, offsetof(sonde__layer_row, field), \
            ROOM(sonde__layer_row, field), false \
    }
#define LATER_LAYER(kind, name, field) \
    { \
        name, SONDE__COLUMN_##kind, offsetof(sonde__layer_row, field), \
            ROOM(sonde__layer_row, field), true \
    }

static const sonde__column epoch_columns[] = {
    EPOCH(INTEGER, epoch),          EPOCH(REAL, train_loss),
    EPOCH(REAL, train_accuracy),    EPOCH(REAL, test_loss),
    EPOCH(REAL, test_accuracy),     EPOCH(REAL, learning_rate),
    EPOCH(INTEGER, examples),       EPOCH(INTEGER, active),
    EPOCH(REAL, gradient_norm),     EPOCH(REAL, seconds),
    EPOCH(REAL, seconds_train),     EPOCH(REAL, seconds_check),
    EPOCH(REAL, seconds_probe),     EPOCH(REAL, seconds_spectrum_wait),
    EPOCH(REAL, seconds_test),      EPOCH(REAL, seconds_store),
    EPOCH(REAL, images_per_second), EPOCH(REAL, memory_peak),
};

static const sonde__column score_columns[] = {
    SCORE(INTEGER, "epoch", epoch),           SCORE(TEXT, "signal", signal),
    SCORE(REAL, "value", score.value),        SCORE(REAL, "error_bound", score.error_bound),
    SCORE(INT, "direction", score.direction), SCORE(INT, "validity", score.validity),
};

static const sonde__column layer_columns[] = {
    LAYER(INTEGER, "epoch", epoch),
    LAYER(TEXT, "layer", layer),
    LAYER(FLAG, "over", over),
    LAYER(REAL, "threshold", threshold),
    LAYER(SIZE, "n", report.rows),
    LAYER(SIZE, "wide", report.cols),
    LAYER(REAL, "aspect", report.aspect),
    LAYER(INT, "validity", report.validity),
    LAYER(INT, "type", report.type),
    LAYER(INT, "spikes", report.spikes),
    LAYER(INT, "bleed", report.bleed),
    LAYER(REAL, "sigma2", report.sigma2),
    LAYER(REAL, "edge", report.edge),
    LAYER(REAL, "mp_low", report.mp_low),
    LAYER(REAL, "mp_high", report.mp_high),
    LAYER(REAL, "distance", report.distance),
    LAYER(REAL, "statistic", report.statistic),
    LATER_LAYER(REAL, "statistic_with_spikes", report.statistic_with_spikes),
    LAYER(REAL, "threshold_published", report.threshold_published),
    LAYER(REAL, "threshold_calibrated", report.threshold_calibrated),
    LAYER(REAL, "smallest", report.smallest),
    LAYER(REAL, "largest", report.largest),
    LAYER(REAL, "stable_rank", report.stable_rank),
    LAYER(REAL, "frobenius", report.frobenius),
    LAYER(REAL, "spectral", report.spectral),
    LAYER(REAL, "entropy", report.entropy),
    LATER_LAYER(REAL, "null_mean", report.null_mean),
};

#define COUNT(columns) (int)(sizeof(columns) / sizeof(columns[0]))

const sonde__table sonde__epochs_table = {"epochs", "epoch", epoch_columns, COUNT(epoch_columns)};
const sonde__table sonde__scores_table = {"scores", "epoch, signal", score_columns,
                                          COUNT(score_columns)};
const sonde__table sonde__layers_table = {"layers", "epoch, layer", layer_columns,
                                          COUNT(layer_columns)};
