/*
 * Which output channels of a model file may go, by their weights alone, through sonde.h.
 *
 * Reads every matrix and convolution of a model file, scores its output channels by WHC (large, and
 * unlike the other channels of the layer), and cuts the given ratio of each layer's. Prints the
 * channels that stay, a line a layer. Which channels are coupled to each other (additions, norms), and
 * which are classes, no file tells: `sonde prune` knows that of the architectures that it knows.
 *
 *     cc -std=c11 cut_channels.c -o cut_channels $(pkg-config --cflags --libs sonde)
 *     ./cut_channels model.safetensors 0.5
 *
 * Ends with 0; 1 when something failed, 2 when it was called wrongly.
 */
#include <stdio.h>
#include <stdlib.h>

#include <sonde.h>

enum { MOST_CHANNELS = 1 << 20 };

/* One entry a channel, over all layers; `layer` of a unit is the tensor's index. */
static sonde_cut_unit units[MOST_CHANNELS];
static bool keep[MOST_CHANNELS];
static double scores[MOST_CHANNELS];

/* Adds the channels of one tensor behind the `count` there are; false where something failed. */
static bool add_layer(sonde_context *context, sonde_model *model, size_t index,
                      const sonde_tensor *tensor, size_t *count)
{
    const size_t out = (size_t)tensor->shape[0], in = (size_t)tensor->shape[1];
    if (tensor->elements == 0 || out > MOST_CHANNELS - *count)
        return true;
    sonde_importance_layer layer = {0};
    float *const weight = malloc(tensor->elements * sizeof *weight);
    layer.weight = weight;
    layer.out = out, layer.in = in, layer.kernel = (size_t)tensor->elements / out / in;
    double *const own = scores + *count;
    const bool done =
        weight &&
        sonde_model_read(model, index, 0, tensor->elements, SONDE_F32, weight) == SONDE_OK &&
        sonde_importance_add(context, SONDE_CRITERION_WHC, SONDE_SIDE_OUTPUTS, &layer, own) ==
            SONDE_OK;
    free(weight);
    for (size_t i = 0; done && i < out; i++)
        units[(*count)++] = (sonde_cut_unit){own[i], (double)(in * layer.kernel), index};
    return done;
}

static void print_layers(const sonde_model *model, size_t count)
{
    for (size_t first = 0, end; first < count; first = end) {
        sonde_tensor tensor;
        size_t kept = 0;
        for (end = first; end < count && units[end].layer == units[first].layer; end++)
            kept += keep[end];
        if (sonde_model_tensor(model, units[first].layer, &tensor) != SONDE_OK)
            return;
        printf("%s  %zu of %zu stay:", tensor.name, kept, end - first);
        for (size_t i = first; i < end; i++)
            if (keep[i])
                printf(" %zu", i - first);
        printf("\n");
    }
}

static bool cut_model(sonde_context *context, sonde_model *model, double ratio)
{
    size_t count = 0;
    for (size_t i = 0; i < sonde_model_count(model); i++) {
        sonde_tensor tensor;
        if (sonde_model_tensor(model, i, &tensor) != SONDE_OK)
            return false;
        if (tensor.dims >= 2 && tensor.readable && !tensor.tied_to &&
            !add_layer(context, model, i, &tensor, &count))
            return false;
    }
    sonde_cut_options options;
    sonde_cut_options_init(&options);
    options.ratio = ratio;
    options.scope = SONDE_CUT_LAYER;
    sonde_cut_report report;
    if (sonde_cut(context, units, count, &options, keep, &report) != SONDE_OK)
        return false;
    print_layers(model, count);
    printf("%s\n", report.reason);
    return true;
}

int main(int count, char **arguments)
{
    if (count != 3) {
        fprintf(stderr, "usage: cut_channels MODEL RATIO\n");
        return 2;
    }
    sonde_context *context = NULL;
    sonde_model *model = NULL;
    if (sonde_context_create(NULL, &context) != SONDE_OK)
        return 1;
    const bool done = sonde_model_open(context, arguments[1], NULL, &model) == SONDE_OK &&
                      cut_model(context, model, strtod(arguments[2], NULL));
    if (!done)
        fprintf(stderr, "cut_channels: %s\n", sonde_context_error(context)->message);
    sonde_model_close(model);
    sonde_context_free(context);
    return done ? 0 : 1;
}
