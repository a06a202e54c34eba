/*
 * The spectra of a model file, through sonde.h alone: a line a layer.
 *
 * Opens a model of any format, looks at every matrix in it within a memory budget, and tells how many
 * spikes stand out of its bulk, how far the bulk is from the Marchenko-Pastur law (`ratio`: above 1 it
 * has left it), and the exponent of the tail's power law. Where a number would mean nothing there is a
 * dash, and a layer without a spectrum says why. Ctrl-C ends it with the layers that were done.
 *
 *     cc -std=c11 model_spectra.c -o model_spectra $(pkg-config --cflags --libs sonde)
 *     ./model_spectra model.safetensors [MiB]
 *
 * Ends with 0; 1 when something failed, 2 when it was called wrongly, 3 when it was interrupted.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include <sonde.h>

static volatile sig_atomic_t interrupted = 0;

static void interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

/* Called a few times a second; the survey ends where it returns false. */
static bool show_progress(void *user, const sonde_survey_progress *progress)
{
    (void)user;
    fprintf(stderr, "\r%3.0f %%  %zu of %zu layers, %.0f s left ", 100 * progress->work_done,
            progress->layers_done, progress->layers, progress->seconds_left);
    return !interrupted;
}

/* The detail of what failed last: which file, which tensor, which value, what to do. */
static int complain(const sonde_context *context)
{
    fprintf(stderr, "model_spectra: %s\n", sonde_context_error(context)->message);
    return 1;
}

static void print_shape(const sonde_layer_spectrum *layer)
{
    for (int i = 0; i < layer->dims; i++)
        printf("%s%" PRId64, i > 0 ? "x" : "", layer->dim[i]);
}

static void print_layer(const sonde_layer_spectrum *layer)
{
    const sonde_spectrum_report *const report = &layer->report;
    printf("%s  ", layer->name);
    print_shape(layer);
    printf(" %s %s", sonde_number_name(layer->number), sonde_layer_kind_name(layer->kind));
    if (layer->skipped) {
        printf("  no spectrum: %s\n", layer->skipped);
        return;
    }
    printf("  %s", sonde_spectrum_type_name(report->type));
    if (report->sigma2 > 0) /* the law's scale is known, and with it the spikes' edge */
        printf("  spikes %d", report->spikes);
    else
        printf("  spikes -");
    if (report->validity == SONDE_VALID && report->threshold_calibrated > 0)
        printf("  ratio %.2f", report->statistic / report->threshold_calibrated);
    else
        printf("  ratio -");
    if (layer->shape.power_law == SONDE_VALID)
        printf("  alpha %.2f +- %.2f", layer->shape.alpha, layer->shape.alpha_error);
    else
        printf("  alpha -");
    if (report->validity != SONDE_VALID)
        printf("  (%s)", sonde_validity_sentence(report->validity));
    printf("\n");
}

static int print_survey(const sonde_context *context, const sonde_survey *survey)
{
    for (size_t i = 0; i < sonde_survey_count(survey); i++) {
        sonde_layer_spectrum layer;
        if (sonde_survey_layer(survey, i, &layer) != SONDE_OK)
            return complain(context);
        print_layer(&layer);
    }
    return 0;
}

/* Also an interrupted survey is one: its layers are printed, those that were not done as such. */
static int survey_model(sonde_context *context, sonde_model *model)
{
    sonde_survey_options options;
    sonde_survey_options_init(&options);
    options.progress = show_progress;
    sonde_survey *survey = NULL;
    const sonde_status status = sonde_survey_run(context, model, &options, &survey);
    fprintf(stderr, "\n");
    int result = status == SONDE_OK ? 0 : complain(context);
    if (survey && print_survey(context, survey) != 0)
        result = 1;
    else if (status == SONDE_ERROR_CANCELLED)
        result = 3;
    sonde_survey_free(survey);
    return result;
}

static void print_model(const sonde_model *model, const char *path)
{
    sonde_model_info info;
    sonde_model_describe(model, &info);
    printf("%s: %s, %zu tensors, %" PRIu64 " numbers\n", path, sonde_model_kind_name(info.kind),
           info.tensors, info.elements);
    for (size_t i = 0; i < info.warnings; i++)
        printf("note: %s\n", sonde_model_warning(model, i));
}

int main(int count, char **arguments)
{
    if (count < 2 || count > 3) {
        fprintf(stderr, "usage: model_spectra MODEL [MiB of memory]\n");
        return 2;
    }
    sonde_context_options options;
    sonde_context_options_init(&options);
    const size_t mebibytes = count == 3 ? (size_t)strtoul(arguments[2], NULL, 10) : 4096;
    options.memory_limit = mebibytes << 20; /* 0: no limit */
    sonde_context *context = NULL;
    const sonde_status status = sonde_context_create(&options, &context);
    if (status != SONDE_OK) { /* the one failure without a context to tell more */
        fprintf(stderr, "model_spectra: %s\n", sonde_status_sentence(status));
        return 1;
    }
    signal(SIGINT, interrupt);
    sonde_model *model = NULL;
    int result = 1;
    if (sonde_model_open(context, arguments[1], NULL, &model) == SONDE_OK) {
        print_model(model, arguments[1]);
        result = survey_model(context, model);
    } else {
        complain(context);
    }
    sonde_model_close(model);
    sonde_context_free(context);
    return result;
}
