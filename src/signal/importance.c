/*
 * The criteria of pruning by name (SONDE_CRITERION_LIST in sonde.h), those that score single weights,
 * and random numbers for the criterion that scores nothing. Channels: importance_layer.c.
 *
 *   magnitude  |w|
 *   snip       |w g|           Lee et al., arXiv 1810.02340
 *   grasp      w (H g)         Wang et al., arXiv 2002.07376: the score there is -w (H g), and what has
 *                              the largest one goes first; here larger is more important
 *   synflow    |w dR/dw|       Tanaka et al., arXiv 2006.05467
 */
#include "base/context.h"

#include <math.h>
#include <string.h>

#include "base/random.h"

const char *sonde_criterion_name(sonde_criterion criterion)
{
    switch (criterion) {
#define SONDE_CRITERION_NAME(name, number, text, needs, channels, sentence) \
    case name: \
        return text;
        SONDE_CRITERION_LIST(SONDE_CRITERION_NAME)
#undef SONDE_CRITERION_NAME
    }
    return "?";
}

const char *sonde_criterion_sentence(sonde_criterion criterion)
{
    switch (criterion) {
#define SONDE_CRITERION_SENTENCE(name, number, text, needs, channels, sentence) \
    case name: \
        return sentence;
        SONDE_CRITERION_LIST(SONDE_CRITERION_SENTENCE)
#undef SONDE_CRITERION_SENTENCE
    }
    return "?";
}

sonde_criterion_needs sonde_criterion_reads(sonde_criterion criterion)
{
    switch (criterion) {
#define SONDE_CRITERION_READS(name, number, text, needs, channels, sentence) \
    case name: \
        return needs;
        SONDE_CRITERION_LIST(SONDE_CRITERION_READS)
#undef SONDE_CRITERION_READS
    }
    return SONDE_NEEDS_NOTHING;
}

bool sonde_criterion_of_channels(sonde_criterion criterion)
{
    switch (criterion) {
#define SONDE_CRITERION_CHANNELS(name, number, text, needs, channels, sentence) \
    case name: \
        return channels;
        SONDE_CRITERION_LIST(SONDE_CRITERION_CHANNELS)
#undef SONDE_CRITERION_CHANNELS
    }
    return false;
}

bool sonde_criterion_find(const char *name, sonde_criterion *criterion)
{
    for (int i = 0; name && criterion && i < SONDE_CRITERION_COUNT; i++)
        if (strcmp(name, sonde_criterion_name((sonde_criterion)i)) == 0) {
            *criterion = (sonde_criterion)i;
            return true;
        }
    return false;
}

void sonde_importance_random(uint64_t seed, uint64_t index, double *scores, size_t n)
{
    sonde__stream stream = sonde__stream_open(seed, SONDE__RANDOM_IMPORTANCE, index);
    for (size_t i = 0; i < n; i++)
        scores[i] = sonde__random_uniform(&stream);
}

sonde_status sonde_importance_weights(sonde_context *context, sonde_criterion criterion,
                                      const float *weight, const float *other, size_t n,
                                      float *scores)
{
    if (!context)
        return SONDE_ERROR_ARGUMENT;
    if (sonde_criterion_of_channels(criterion) || (int)criterion < 0 ||
        (int)criterion >= SONDE_CRITERION_COUNT)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT,
                           "importance: criterion %s does not score single weights",
                           sonde_criterion_name(criterion));
    const bool alone = criterion == SONDE_CRITERION_MAGNITUDE;
    if (n > 0 && (!weight || !scores || (!other && !alone)))
        return sonde__fail(context, SONDE_ERROR_ARGUMENT, "importance by %s: %s is NULL",
                           sonde_criterion_name(criterion),
                           !weight   ? "weight"
                           : !scores ? "scores"
                                     : "other");
    if (alone)
        for (size_t i = 0; i < n; i++)
            scores[i] = fabsf(weight[i]);
    else if (criterion == SONDE_CRITERION_GRASP)
        for (size_t i = 0; i < n; i++)
            scores[i] = weight[i] * other[i];
    else
        for (size_t i = 0; i < n; i++)
            scores[i] = fabsf(weight[i] * other[i]);
    return SONDE_OK;
}
