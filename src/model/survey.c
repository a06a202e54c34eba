/*
 * Spectra of a whole model: options, the list of results, and how a survey begins and ends.
 * The work is in matrices.c (what there is), survey_layer.c (one layer) and survey_schedule.c (all).
 *
 * Invariant: every layer either has eigenvalues and a report, or says in `skipped` why not.
 */
#include <math.h>
#include <string.h>

#include "file/model_internal.h"
#include "model/survey_internal.h"
#include "signal/spectrum.h"

const char *sonde_layer_kind_name(sonde_layer_kind kind)
{
    switch (kind) {
    case SONDE_LAYER_DENSE:
        return "dense";
    case SONDE_LAYER_CONVOLUTION:
        return "conv";
    case SONDE_LAYER_EMBEDDING:
        return "embedding";
    case SONDE_LAYER_EXPERT:
        return "expert";
    case SONDE_LAYER_LORA:
        return "lora";
    }
    return "?";
}

void sonde_survey_options_init(sonde_survey_options *options)
{
    *options = (sonde_survey_options){
        .size = sizeof *options, .convolution = SONDE_CONVOLUTION_POOLED, .least = 10};
    sonde_spectrum_options_init(&options->spectrum);
}

/* What is wrong with the options, as a sentence, or NULL. */
static const char *options_problem(sonde_context *context, const sonde_survey_options *options)
{
    if (options->size != sizeof *options)
        return "they were not set by sonde_survey_options_init";
    if (options->convolution != SONDE_CONVOLUTION_POOLED &&
        options->convolution != SONDE_CONVOLUTION_FLAT &&
        options->convolution != SONDE_CONVOLUTION_SLICES)
        return "convolution is none of POOLED, FLAT and SLICES";
    if (options->least < 1)
        return "least must be at least 1";
    if (!isfinite(options->adapter_scale))
        return "adapter_scale is not finite";
    if (options->base && sonde__model_context(options->base) != context)
        return "the base model was opened with another context";
    return sonde__spectrum_options_problem(&options->spectrum);
}

/* --- the results -------------------------------------------------------------------------------- */

static void describe(const sonde__matrix *matrix, sonde__survey_layer *layer)
{
    layer->matrix = matrix;
    layer->result = (sonde_layer_spectrum){.name = matrix->name,
                                           .kind = matrix->kind,
                                           .number = matrix->number,
                                           .dims = matrix->dims,
                                           .slices = matrix->slices,
                                           .skipped = matrix->skipped,
                                           .note = matrix->note};
    memcpy(layer->result.dim, matrix->dim, sizeof layer->result.dim);
    layer->result.report.validity = SONDE_NOT_MEASURED;
    layer->result.shape.power_law = SONDE_NOT_MEASURED;
}

static sonde_status make_survey(sonde__survey_run *run)
{
    sonde_context *const context = run->context;
    sonde_survey *const survey = sonde__alloc_zero(context, 1, sizeof *survey);
    if (!survey)
        return sonde_context_error(context)->status;
    survey->context = context;
    run->survey = survey;
    SONDE_TRY(sonde__matrices_find(context, run->model, run->options, &survey->matrices));
    survey->matrices.options = NULL; /* of the call alone */
    survey->layers = sonde__alloc_zero(context, survey->matrices.count, sizeof *survey->layers);
    if (!survey->layers)
        return sonde_context_error(context)->status;
    for (size_t i = 0; i < survey->matrices.count; i++)
        describe(&survey->matrices.items[i], &survey->layers[i]);
    return SONDE_OK;
}

void sonde_survey_free(sonde_survey *survey)
{
    if (!survey)
        return;
    for (size_t i = 0; survey->layers && i < survey->matrices.count; i++) {
        sonde__free(survey->context, survey->layers[i].eigenvalues);
        sonde__free(survey->context, survey->layers[i].skipped);
    }
    sonde__free(survey->context, survey->layers);
    if (survey->matrices.context)
        sonde__matrices_free(&survey->matrices);
    sonde__free(survey->context, survey);
}

size_t sonde_survey_count(const sonde_survey *survey)
{
    return survey ? survey->matrices.count : 0;
}

sonde_status sonde_survey_layer(const sonde_survey *survey, size_t index,
                                sonde_layer_spectrum *layer)
{
    if (!survey || !layer)
        return SONDE_ERROR_ARGUMENT;
    if (index >= survey->matrices.count)
        return sonde__fail(survey->context, SONDE_ERROR_RANGE, "there is no layer %zu of %zu",
                           index, survey->matrices.count);
    *layer = survey->layers[index].result;
    return SONDE_OK;
}

/* --- a run -------------------------------------------------------------------------------------- */

/* Layers that were begun and not ended show nothing half. */
static size_t mark_unfinished(sonde_survey *survey)
{
    size_t finished = 0;
    for (size_t i = 0; i < survey->matrices.count; i++) {
        sonde__survey_layer *const layer = &survey->layers[i];
        if (layer->finished || layer->result.skipped) {
            finished += layer->finished;
            continue;
        }
        sonde__free(survey->context, layer->eigenvalues);
        layer->eigenvalues = NULL;
        describe(layer->matrix, layer);
        layer->result.skipped = "not finished";
    }
    return finished;
}

static sonde_status measure(sonde__survey_run *run)
{
    SONDE_TRY(make_survey(run));
    const sonde_status status = sonde__survey_schedule(run);
    if (status != SONDE_ERROR_CANCELLED)
        return status;
    size_t wanted = 0;
    for (size_t i = 0; i < run->survey->matrices.count; i++)
        wanted += !run->survey->matrices.items[i].skipped;
    const size_t finished = mark_unfinished(run->survey);
    return sonde__fail(run->context, status, "cancelled when %zu of %zu layers were finished",
                       finished, wanted);
}

sonde_status sonde_survey_run(sonde_context *context, sonde_model *model,
                              const sonde_survey_options *options, sonde_survey **survey)
{
    sonde_survey_options own;
    sonde_survey_options_init(&own);
    if (!context)
        return SONDE_ERROR_ARGUMENT;
    if (!model || !survey)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT, "the %s pointer is NULL",
                           model ? "survey" : "model");
    if (sonde__model_context(model) != context)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT,
                           "the model was opened with another context");
    const char *const problem = options ? options_problem(context, options) : NULL;
    if (problem)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT, "the survey's options: %s", problem);
    if (options)
        own = *options;
    sonde__survey_run run = {.context = context, .options = &own, .model = model};
    pthread_mutex_init(&run.reading, NULL);
    const sonde_status status = measure(&run);
    pthread_mutex_destroy(&run.reading);
    if (status == SONDE_OK || (status == SONDE_ERROR_CANCELLED && run.survey))
        *survey = run.survey;
    else
        sonde_survey_free(run.survey);
    return status;
}
