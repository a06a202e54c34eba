/*
 * The stop rule: advises to stop at the first epoch at which some layer's spectrum has been over its
 * threshold `patience` times in a row. A pure state machine fed with layer views, in any number of
 * layers; it starts no computation. Source: JMLR 24(28) 2023, docs/spectrum.md.
 *
 * Epochs in which a layer was not observed, or had no valid spectrum, leave its count as it was.
 */
#ifndef SONDE_RULE_STOP_H
#define SONDE_RULE_STOP_H

#include "base/bytes.h"
#include "base/context.h"

typedef struct sonde__stop sonde__stop;

/* NULL options: the defaults. Options out of range: SONDE_ERROR_RANGE. */
sonde_status sonde__stop_create(sonde_context *context, const sonde_stop_options *options,
                                sonde__stop **stop);
/* NULL is legal. */
void sonde__stop_free(sonde__stop *stop);

/* Sets view->threshold (0: this layer cannot be judged) and view->over, as the rule sees them. With
 * `baseline`, a layer that was never observed is judged as if this were its first spectrum. */
void sonde__stop_judge(const sonde__stop *stop, sonde_layer_view *view);
/* One layer's spectrum of the epoch that ends next; twice for one layer and epoch is
 * SONDE_ERROR_STATE. Reads name, epoch and report only. */
sonde_status sonde__stop_observe(sonde__stop *stop, const sonde_layer_view *view);
/* Decides for `epoch` from what was observed since the last end; epochs must increase
 * (SONDE_ERROR_STATE otherwise). */
sonde_status sonde__stop_end_epoch(sonde__stop *stop, int64_t epoch);
/* Fills stop_advised, stop_epoch, stop_layer, stop_reason, worst_ratio and worst_layer; leaves the
 * other fields, `stop` among them, as they are. */
void sonde__stop_decide(const sonde__stop *stop, sonde_decision *decision);

/* The whole state. Restoring needs a stop created with the same options; on failure (damaged,
 * truncated or foreign bytes) it is unchanged. */
sonde_status sonde__stop_save(const sonde__stop *stop, sonde__byte_writer *writer);
sonde_status sonde__stop_restore(sonde__stop *stop, sonde__byte_reader *reader);

#endif
