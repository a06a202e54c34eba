/* What the head sees of a probe: gathered batch by batch from a network, then scored. */
#ifndef SONDE_RUN_PROBE_HEAD_H
#define SONDE_RUN_PROBE_HEAD_H

#include "net/net.h"
#include "run/probe.h"

typedef struct sonde__probe_head {
    sonde_context *context;
    sonde__probe *probe;
    sonde__net *net;
    size_t rows; /* labels an example */
    sonde_head_kind loss;
    double label_smoothing;
    sonde__net_head_view head;
} sonde__probe_head;

/* After an EVAL forward of the probe's examples [begin, begin + n): copies features, logits, labels. */
sonde_status sonde__probe_head_take(sonde__probe_head *view, size_t begin, size_t n,
                                    const float *logits, const int32_t *labels);
/* Once all examples were taken: the scores of batch `which` (0 or 1), for the steer too unless it is
 * NULL. */
sonde_status sonde__probe_head_score(const sonde__probe_head *view, int which, sonde_steer *steer,
                                     sonde_head_report *report);
/* The i-th score of a report and its name ("raw", "head_scaled", ...); NULL past the end. */
const sonde_score *sonde__head_score_at(const sonde_head_report *report, int index,
                                        const char **name);

#endif
