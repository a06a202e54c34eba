/*
 * The parts that a configuration names: data, network and probe batches, made by the same lines for
 * training and for measuring.
 */
#ifndef SONDE_RUN_PARTS_H
#define SONDE_RUN_PARTS_H

#include "file/dataset.h"
#include "net/net.h"
#include "run/choice.h"
#include "run/probe.h"

/* `*test` may come back NULL. Both are freed with sonde__dataset_free. */
sonde_status sonde__parts_data(sonde_context *context, const sonde__config *config,
                               sonde__dataset **train, sonde__dataset **test);
/* SONDE_ERROR_UNSUPPORTED for texts, which have a label for every character. */
sonde_status sonde__parts_one_label(sonde_context *context, const sonde__dataset *dataset);
/* SONDE_ERROR_SHAPE unless the network has a row of logits for each of `rows` labels of an example. */
sonde_status sonde__parts_check_rows(sonde_context *context, const char *model,
                                     const sonde__net *net, int rows);
/* config->model for examples like those of the data set, as the plan config->pruned leaves it. */
sonde_status sonde__parts_graph(sonde_context *context, const sonde__config *config,
                                const sonde__dataset *dataset, sonde__graph **graph);
/*
 * The examples left to train on, ascending, into a new block (freed with sonde__free, also after a
 * failure), and the probe batches, `probes[SONDE__PROBES_MAX]`, freed with sonde__probes_free.
 */
sonde_status sonde__parts_probes(sonde_context *context, const sonde__config *config,
                                 const sonde__choices *choices, size_t examples, uint32_t **indexes,
                                 size_t *positions, sonde__probe *probes);

#endif
