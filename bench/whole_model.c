/*
 * A survey of a whole model file: time a layer, how well threads are used, peak memory of the
 * process, and what a model of 32 such blocks would take; as JSON lines.
 *
 *     bench_whole_model FILE [THREADS [fast [PATTERNS]]]   made by bench_make_model; default: 2, exact
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sonde.h>

#include "base/thread.h"
#include "num/blas_core.h"

enum { BLOCKS = 32 };

/* Kilobytes that the process held at most, as the kernel counts them. */
static long peak_kilobytes(void)
{
    char line[256];
    long kilobytes = -1;
    FILE *const status = fopen("/proc/self/status", "r");
    if (!status)
        return -1;
    while (fgets(line, sizeof line, status))
        if (sscanf(line, "VmHWM: %ld", &kilobytes) == 1)
            break;
    fclose(status);
    return kilobytes;
}

static int fail(const sonde_context *context)
{
    fprintf(stderr, "%s\n", sonde_context_error(context)->message);
    return 1;
}

typedef struct sums {
    size_t layers, blocks;
    double seconds, block_seconds;
} sums;

static void print_layer(const sonde_layer_spectrum *layer)
{
    printf("{\"bench\": \"layer\", \"name\": \"%s\", \"rows\": %zu, \"cols\": %zu, \"seconds\": "
           "%.2f, \"type\": \"%s\", \"spikes\": %d, \"statistic\": %.3f, \"threshold\": %.3f, "
           "\"alpha\": %.2f, \"error_bound\": %.1e, \"skipped\": \"%s\"}\n",
           layer->name, layer->report.rows, layer->report.cols, layer->seconds,
           sonde_spectrum_type_name(layer->report.type), layer->report.spikes,
           layer->report.statistic, layer->report.threshold_calibrated, layer->shape.alpha,
           layer->error_bound, layer->skipped ? layer->skipped : "");
}

/* Layers of blocks are named "model.layers.N.". */
static sums add_up(const sonde_survey *survey)
{
    sums sum = {0};
    long last = -1;
    for (size_t i = 0; i < sonde_survey_count(survey); i++) {
        sonde_layer_spectrum layer;
        long block;
        if (sonde_survey_layer(survey, i, &layer) != SONDE_OK)
            continue;
        print_layer(&layer);
        sum.layers++;
        sum.seconds += layer.seconds;
        if (sscanf(layer.name, "model.layers.%ld.", &block) != 1)
            continue;
        sum.block_seconds += layer.seconds;
        sum.blocks += block != last;
        last = block;
    }
    return sum;
}

static void print_sum(const sums *sum, double wall, int threads, bool fast)
{
    const double efficiency = sum->seconds / (wall * threads);
    const double ends = sum->seconds - sum->block_seconds;
    const double all =
        sum->blocks ? (sum->block_seconds * BLOCKS / (double)sum->blocks + ends) / threads : 0;
    printf("{\"bench\": \"whole_model\", \"fast\": %s, \"layers\": %zu, \"threads\": %d, "
           "\"seconds\": %.1f, \"cpu_seconds\": %.1f, \"thread_use\": %.3f, \"peak_mib\": %.0f, "
           "\"blocks\": %zu, "
           "\"minutes_for_32_blocks\": %.2f}\n",
           fast ? "true" : "false", sum->layers, threads, wall, (double)clock() / CLOCKS_PER_SEC,
           efficiency, (double)peak_kilobytes() / 1024, sum->blocks, all / efficiency / 60);
}

int main(int count, char **arguments)
{
    /* As the command does; OpenBLAS reads the setting when it is loaded. */
    const char *const core = sonde__blas_better_core();
    if (core && !getenv("OPENBLAS_CORETYPE") && setenv("OPENBLAS_CORETYPE", core, 1) == 0)
        execv("/proc/self/exe", arguments);
    sonde_context *context = NULL;
    sonde_model *model = NULL;
    sonde_survey *survey = NULL;
    sonde_survey_options options;
    sonde_context_options about;
    if (count < 2) {
        fprintf(stderr, "usage: bench_whole_model FILE [THREADS [fast|exact [PATTERNS]]]\n");
        return 2;
    }
    sonde_context_options_init(&about);
    about.threads = count > 2 ? atoi(arguments[2]) : 2;
    if (sonde_context_create(&about, &context) != SONDE_OK)
        return 1;
    sonde_survey_options_init(&options);
    options.fast = count > 3 && strcmp(arguments[3], "fast") == 0;
    options.layers = count > 4 ? arguments[4] : NULL;
    if (sonde_model_open(context, arguments[1], NULL, &model) != SONDE_OK)
        return fail(context);
    const double begin = sonde__seconds();
    if (sonde_survey_run(context, model, &options, &survey) != SONDE_OK)
        return fail(context);
    const double wall = sonde__seconds() - begin;
    const sums sum = add_up(survey);
    print_sum(&sum, wall, about.threads, options.fast);
    sonde_survey_free(survey);
    sonde_model_close(model);
    sonde_context_free(context);
    return 0;
}
