/*
 * Spectra beside the training: weight matrices are copied, their spectra computed on background
 * worker threads with one BLAS thread each, and the results read back by epoch.
 *
 * Results of one epoch stand in order of submission, whichever was done first, so that decisions do
 * not depend on timing. Copies and results count against the context's byte budget. One thread owns
 * an observer; workers touch neither its list nor the context's error record.
 */
#ifndef SONDE_RULE_OBSERVER_H
#define SONDE_RULE_OBSERVER_H

#include "base/context.h"

typedef struct sonde__observer sonde__observer;

/* `options` NULL: the defaults. Workers start at the first submission. */
sonde_status sonde__observer_create(sonde_context *context, const sonde_spectrum_options *options,
                                    sonde__observer **observer);
/* Waits for running spectra. NULL is legal. */
void sonde__observer_free(sonde__observer *observer);

/*
 * Copies the matrix (as float, or double when it is f64) and returns. A second matrix for the same
 * layer and epoch replaces the first, in its place. Wrong matrix or name (empty, too long): a
 * status, nothing queued. NaNs are not an error here: they come back as a validity.
 */
sonde_status sonde__observer_submit(sonde__observer *observer, int64_t epoch, const char *layer,
                                    const sonde_matrix *matrix);
/*
 * Returns when every observation of epochs <= `epoch` is done. A spectrum that could not be computed
 * (memory, cancelled) is told once, as the status; it then reads as validity SONDE_NOT_MEASURED, and
 * the next wait is SONDE_OK.
 */
sonde_status sonde__observer_wait(sonde__observer *observer, int64_t epoch);
/* Observations of exactly this epoch, done or not. */
size_t sonde__observer_count(const sonde__observer *observer, int64_t epoch);
/*
 * The i-th of them; SONDE_ERROR_STATE when it is not done (wait first), SONDE_ERROR_RANGE past the
 * end. Fills name, epoch, report and eigenvalues (ascending; NULL when there are none), which live
 * until they are forgotten; `over` and `threshold` are left false and 0 for sonde__stop_judge.
 */
sonde_status sonde__observer_result(const sonde__observer *observer, int64_t epoch, size_t index,
                                    sonde_layer_view *view);
/* Drops the results of epochs <= `epoch`, waiting for those still running. */
void sonde__observer_forget(sonde__observer *observer, int64_t epoch);

#endif
