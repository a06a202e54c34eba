/* What a configuration names, made: see parts.h. */
#include "run/parts.h"

#include "net/arch.h"
#include "run/plan.h"

static const char *text_or_null(const char *text)
{
    return text[0] ? text : NULL;
}

sonde_status sonde__parts_data(sonde_context *context, const sonde__config *config,
                               sonde__dataset **train, sonde__dataset **test)
{
    sonde__data_request request;
    sonde__data_request_init(&request);
    request.name = config->data;
    request.folder = text_or_null(config->data_dir);
    request.train_features = text_or_null(config->train_features);
    request.train_labels = text_or_null(config->train_labels);
    request.test_features = text_or_null(config->test_features);
    request.test_labels = text_or_null(config->test_labels);
    request.train_size = (size_t)config->train_size;
    request.test_size = (size_t)config->test_size;
    if (config->difficulty > 0)
        request.difficulty = config->difficulty;
    request.tokens = (size_t)config->context;
    request.label_noise = config->label_noise;
    request.seed = (uint64_t)config->seed;
    return sonde__data_load(context, &request, train, test);
}

sonde_status sonde__parts_one_label(sonde_context *context, const sonde__dataset *dataset)
{
    if (dataset->rows == 1)
        return SONDE_OK;
    return sonde__fail_at(context, SONDE_ERROR_UNSUPPORTED, NULL, dataset->name, -1,
                          "%s has %d labels an example; this is only for data with one label an "
                          "example",
                          dataset->name, dataset->rows);
}

sonde_status sonde__parts_check_rows(sonde_context *context, const char *model,
                                     const sonde__net *net, int rows)
{
    if (sonde__net_rows(net) == rows)
        return SONDE_OK;
    return sonde__fail_at(context, SONDE_ERROR_SHAPE, NULL, "model", -1,
                          "%s gives %d rows of logits for an example, but the data have %d labels: "
                          "texts need a language model such as gpt-tiny",
                          model, sonde__net_rows(net), rows);
}

sonde_status sonde__parts_graph(sonde_context *context, const sonde__config *config,
                                const sonde__dataset *dataset, sonde__graph **graph)
{
    sonde__shape input = {dataset->channels, dataset->height, dataset->width};
    sonde__graph *made = NULL;
    SONDE_TRY(
        sonde__arch_build(context, config->model, input, dataset->classes, config->dropout, &made));
    if (config->pruned[0]) {
        const sonde_status status = sonde__plan_graph(context, config->pruned, &made);
        if (status != SONDE_OK) {
            sonde__graph_free(made);
            return status;
        }
    }
    *graph = made;
    return SONDE_OK;
}

sonde_status sonde__parts_probes(sonde_context *context, const sonde__config *config,
                                 const sonde__choices *choices, size_t examples, uint32_t **indexes,
                                 size_t *positions, sonde__probe *probes)
{
    sonde__probe_plan plan = {
        .kinds = choices->probes,
        .kind_count = choices->probe_count,
        .held = (size_t)choices->held,
        .size = (size_t)config->probe_size,
        .seed = (uint64_t)config->seed,
    };
    *indexes = sonde__alloc(context, examples, sizeof(uint32_t));
    if (!*indexes)
        return SONDE_ERROR_MEMORY;
    return sonde__probes_draw(context, &plan, examples, *indexes, positions, probes);
}
