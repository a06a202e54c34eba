/* What verbs that measure share: a subject from the arguments. */
#include "cli/subject.h"

#include <string.h>

sonde_status sonde__cli_subject_options(const sonde__call *call, const char *run,
                                        const sonde__subject_words *words,
                                        sonde__subject_options *options)
{
    int count = 0;
    sonde__subject_options_init(options);
    options->run = run;
    options->epoch = words->epoch;
    options->weights = words->weights;
    options->config = call->config;
    options->named = call->named;
    if (!words->mean != !words->std)
        return sonde__fail_at(call->context, SONDE_ERROR_ARGUMENT, NULL, "mean", -1,
                              "--mean and --std belong together: give both, or neither");
    if (!words->mean)
        return SONDE_OK;
    SONDE_TRY(sonde__subject_channels(call->context, "mean", words->mean, options->mean,
                                      &options->channels));
    SONDE_TRY(
        sonde__subject_channels(call->context, "std", words->std, options->deviation, &count));
    if (count == options->channels)
        return SONDE_OK;
    return sonde__fail_at(call->context, SONDE_ERROR_ARGUMENT, NULL, "std", -1,
                          "--mean has %d values and --std %d; both take one a channel",
                          options->channels, count);
}
