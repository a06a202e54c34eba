/*
 * Speed of two networks, in turns: what disturbs the machine disturbs both. The median of the
 * rounds; rounds go on until both have had half a second, at least five and at most two hundred.
 */
#include <stdlib.h>

#include "base/thread.h"
#include "run/prune.h"

enum { ROUNDS_LEAST = 5, ROUNDS_MOST = 200 };

static const double ENOUGH_SECONDS = 0.5;

static int compare_seconds(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static sonde_status time_one(sonde__net *net, const float *x, int n, double *seconds)
{
    const float *logits = NULL;
    const double begun = sonde__seconds();
    SONDE_TRY(sonde__net_forward(net, SONDE__EVAL, x, n, 0, &logits));
    *seconds = sonde__seconds() - begun;
    return SONDE_OK;
}

sonde_status sonde__prune_speed(sonde_context *context, sonde__net *const nets[2], const float *x,
                                int n, double seconds[2])
{
    double measured[2][ROUNDS_MOST], spent = 0;
    int rounds = 0;
    for (int i = 0; i < 2; i++) /* plans are made and memory is touched */
        SONDE_TRY(time_one(nets[i], x, n, &measured[i][0]));
    while (rounds < ROUNDS_MOST && (rounds < ROUNDS_LEAST || spent < 2 * ENOUGH_SECONDS)) {
        for (int i = 0; i < 2; i++) {
            SONDE_TRY(time_one(nets[i], x, n, &measured[i][rounds]));
            spent += measured[i][rounds];
        }
        rounds++;
        if (sonde__cancelled(context))
            return sonde__fail(context, SONDE_ERROR_CANCELLED, "pruning was cancelled");
    }
    for (int i = 0; i < 2; i++) {
        qsort(measured[i], (size_t)rounds, sizeof measured[i][0], compare_seconds);
        seconds[i] = measured[i][rounds / 2];
    }
    return SONDE_OK;
}
