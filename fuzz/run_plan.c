/* A pruning plan, upon networks that it may or may not be of: a residual one and a perceptron. */
#include "fuzz.h"

#include "net/arch.h"
#include "net/prune_graph.h"
#include "run/plan.h"

static void apply_channels(sonde_context *context, const sonde__plan *plan, const char *model)
{
    sonde__graph *graph = NULL, *pruned = NULL;
    sonde__channels channels;
    fuzz_require(sonde__arch_build(context, model, (sonde__shape){1, 8, 8}, 3, 0, &graph) ==
                 SONDE_OK);
    fuzz_require(sonde__channels_find(context, graph, &channels) == SONDE_OK);
    bool *kept = sonde__alloc(context, (size_t)channels.unit_count, sizeof *kept);
    fuzz_require(kept != NULL);
    if (sonde__plan_kept(plan, &channels, kept) == SONDE_OK &&
        sonde__prune_graph(&channels, kept, &pruned) == SONDE_OK)
        sonde__graph_free(pruned);
    sonde__free(context, kept);
    sonde__channels_free(&channels);
    sonde__graph_free(graph);
}

static void apply_mask(sonde_context *context, const sonde__plan *plan)
{
    const sonde__net_options options = {.threads = 1, .max_batch = 1};
    sonde__graph *graph = NULL;
    sonde__net *net = NULL;
    float *mask = NULL;
    fuzz_require(sonde__arch_build(context, "mlp:widths=4", (sonde__shape){3, 1, 1}, 2, 0,
                                   &graph) == SONDE_OK);
    fuzz_require(sonde__net_create(context, graph, &options, &net) == SONDE_OK);
    if (sonde__plan_mask(plan, net, &mask) == SONDE_OK)
        sonde__free(context, mask);
    sonde__net_free(net);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sonde_context *context = fuzz_context();
    sonde__plan plan;
    char *text = sonde__alloc(context, size + 1, 1);
    fuzz_require(text != NULL);
    if (size > 0)
        memcpy(text, data, size);
    if (sonde__plan_parse(context, "plan", text, size, &plan) == SONDE_OK) {
        if (plan.weights) {
            apply_mask(context, &plan);
        } else {
            apply_channels(context, &plan, "resnet8");
            apply_channels(context, &plan, "mlp:widths=5x3");
        }
        sonde__plan_release(&plan);
    }
    fuzz_finish(context);
    return 0;
}
