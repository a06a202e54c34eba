/*
 * The network object: parameters in flat arrays, plans made on demand, a step forward and back.
 *
 * Invariant: `arena` and `scratch` are large enough for every cached plan; a plan whose `bound` is
 * not the present `generation` is bound again before it runs. Lanes of padding in the flat arrays
 * are zero from creation on, and no command writes anything else there.
 */
#include "net/net_internal.h"

#include <math.h>
#include <omp.h>
#include <string.h>

#include "base/checked.h"
#include "base/random.h"
#include "base/thread.h"

/* Parameters start at multiples of this many floats: a cache line, and the widest block. */
enum { ALIGNMENT_FLOATS = 16 };

/* Steps of fewer multiply-adds (a quarter of a millisecond) stay on one thread: a second one saves
 * little when the machine is free, and waiting for it costs many times that when it is not. */
static const double ONE_THREAD_WORK = 2e7;

static size_t round_up(size_t count)
{
    return (count + ALIGNMENT_FLOATS - 1) / ALIGNMENT_FLOATS * ALIGNMENT_FLOATS;
}

/* Threads are a setting of the calling thread in OpenMP: set for a call, then put back. */
static int enter(const sonde__net *net)
{
    int before = omp_get_max_threads();
    if (before != net->threads)
        omp_set_num_threads(net->threads);
    return before;
}

static void leave(const sonde__net *net, int before)
{
    if (before != net->threads)
        omp_set_num_threads(before);
}

/* --- parameters ------------------------------------------------------------------------------- */

static const sonde__packing *packing_of(const sonde__net *net, int parameter)
{
    if (net->graph->parameters[parameter].role != SONDE__ROLE_WEIGHT)
        return NULL;
    return net->nodes[net->graph->parameter_layers[parameter]].packing;
}

static sonde_status lay_out_parameters(sonde__net *net)
{
    const sonde__graph *graph = net->graph;
    net->running_offsets = sonde__alloc_zero(net->context, (size_t)graph->parameter_count,
                                             sizeof *net->running_offsets);
    if (!net->running_offsets)
        return SONDE_ERROR_MEMORY;
    for (int i = 0; i < graph->parameter_count; i++) {
        sonde__parameter *parameter = &graph->parameters[i];
        const sonde__packing *packing = packing_of(net, i);
        size_t floats = packing ? sonde__packing_floats(packing) : parameter->elements;
        if (sonde__is_buffer(parameter)) {
            net->running_offsets[i] = net->running_count;
            net->running_count += round_up(floats);
            continue;
        }
        parameter->offset = net->count;
        parameter->length = round_up(floats);
        net->count += parameter->length;
    }
    net->weights = sonde__alloc_zero(net->context, net->count, sizeof *net->weights);
    net->gradients = sonde__alloc_zero(net->context, net->count, sizeof *net->gradients);
    net->running = sonde__alloc_zero(net->context, net->running_count, sizeof *net->running);
    if (!net->weights || !net->gradients || !net->running)
        return SONDE_ERROR_MEMORY;
    return SONDE_OK;
}

static double fan_in(const sonde__graph *graph, int parameter)
{
    const sonde__layer *layer = &graph->layers[graph->parameter_layers[parameter]];
    const sonde__parameter *weight = &graph->parameters[layer->first_parameter];
    return (double)weight->elements / (double)weight->shape[0];
}

/* Drawn in the plain layout, so that the values do not depend on the device's. */
static void draw_parameter(const sonde__net *net, int index, float *plain)
{
    const sonde__graph *graph = net->graph;
    const sonde__parameter *parameter = &graph->parameters[index];
    const sonde__layer *layer = &graph->layers[graph->parameter_layers[index]];
    sonde__stream stream =
        sonde__stream_open(net->options.seed, SONDE__RANDOM_INIT, (uint64_t)index);
    bool he = layer->init == SONDE__INIT_HE, table = parameter->role == SONDE__ROLE_TABLE;
    bool normal = table || layer->init == SONDE__INIT_NORMAL;
    double one =
        parameter->role == SONDE__ROLE_SCALE || parameter->role == SONDE__ROLE_RUNNING_VARIANCE;
    bool drawn = parameter->role == SONDE__ROLE_WEIGHT || table ||
                 (parameter->role == SONDE__ROLE_BIAS && layer->init == SONDE__INIT_PYTORCH);
    double scale = drawn ? 1.0 / sqrt(fan_in(graph, index)) : 0;
    double deviation = layer->init == SONDE__INIT_NORMAL ? layer->deviation : 1;
    for (size_t i = 0; i < parameter->elements; i++) {
        if (!drawn)
            plain[i] = (float)one;
        else if (normal)
            plain[i] = (float)(deviation * sonde__random_normal(&stream));
        else if (he)
            plain[i] = (float)(sqrt(2.0) * scale * sonde__random_normal(&stream));
        else
            plain[i] = (float)(scale * (2 * sonde__random_uniform(&stream) - 1));
    }
}

static sonde_status initialise(sonde__net *net)
{
    size_t largest = 0;
    for (int i = 0; i < net->graph->parameter_count; i++) {
        size_t elements = net->graph->parameters[i].elements;
        largest = elements > largest ? elements : largest;
    }
    float *plain = sonde__alloc(net->context, largest, sizeof *plain);
    if (!plain)
        return SONDE_ERROR_MEMORY;
    for (int i = 0; i < net->graph->parameter_count; i++) {
        draw_parameter(net, i, plain);
        sonde__net_import(net, net->weights, i, plain);
    }
    sonde__free(net->context, plain);
    return SONDE_OK;
}

/* --- creation --------------------------------------------------------------------------------- */

static void choose_threads(sonde__net *net)
{
    double work = 3 * sonde__graph_flops(net->graph) * net->options.max_batch;
    net->threads = net->options.threads;
    if (net->threads <= 0)
        net->threads = work < ONE_THREAD_WORK ? 1 : sonde__threads(net->context);
}

static sonde_status build(sonde__net *net)
{
    SONDE_TRY(sonde__kernels_create(net->context, &net->kernels));
    SONDE_TRY(sonde__net_make_stages(net));
    SONDE_TRY(lay_out_parameters(net));
    if (net->options.tangent) {
        net->tangents = sonde__alloc_zero(net->context, 2 * net->count + 1, sizeof *net->tangents);
        net->scales = sonde__alloc_zero(net->context, (size_t)net->graph->parameter_count + 1,
                                        sizeof *net->scales);
        if (!net->tangents || !net->scales)
            return SONDE_ERROR_MEMORY;
    }
    return initialise(net);
}

sonde_status sonde__net_create(sonde_context *context, sonde__graph *graph,
                               const sonde__net_options *options, sonde__net **net)
{
    sonde__net *made = sonde__alloc_zero(context, 1, sizeof *made);
    if (!made) {
        sonde__graph_free(graph);
        return SONDE_ERROR_MEMORY;
    }
    made->context = context;
    made->graph = graph;
    made->options = *options;
    made->generation = 1;
    sonde_status status = SONDE_OK;
    if (!graph->finished || graph->status != SONDE_OK)
        status = sonde__fail(context, SONDE_ERROR_STATE, "the graph is not finished");
    else if (options->max_batch < 1 || options->threads < 0)
        status = sonde__fail(context, SONDE_ERROR_ARGUMENT,
                             "a network needs max_batch of at least 1 and no negative threads");
    if (status == SONDE_OK) {
        choose_threads(made);
        int before = enter(made);
        status = build(made);
        leave(made, before);
    }
    if (status != SONDE_OK) {
        sonde__net_free(made);
        return status;
    }
    *net = made;
    return SONDE_OK;
}

static void free_nodes(sonde__net *net)
{
    for (int i = 0; net->nodes && i < net->graph->layer_count; i++) {
        sonde__packing_free(net->nodes[i].packing);
        sonde__free_example_kernels(net, &net->nodes[i]);
    }
    sonde__free(net->context, net->nodes);
}

void sonde__net_free(sonde__net *net)
{
    if (!net)
        return;
    sonde_context *context = net->context;
    for (int i = 0; i < SONDE__PLANS; i++)
        sonde__plan_free(context, net->plans[i]);
    free_nodes(net);
    sonde__free(context, net->stages);
    sonde__free(context, net->weights);
    sonde__free(context, net->gradients);
    sonde__free(context, net->running);
    sonde__free(context, net->running_offsets);
    sonde__free(context, net->arena);
    sonde__free(context, net->scratch);
    sonde__free(context, net->example_memory);
    sonde__free(context, net->tangents);
    sonde__free(context, net->scales);
    sonde__free(context, net->head_weight);
    sonde__free(context, net->head_features);
    sonde__kernels_free(net->kernels);
    sonde__graph_free(net->graph);
    sonde__free(context, net);
}

/* --- plans ------------------------------------------------------------------------------------ */

/* The memory of all plans moves: nothing of an earlier forward pass is left. */
static sonde_status grow(sonde__net *net, const sonde__plan *plan)
{
    if (plan->floats > net->arena_floats) {
        net->generation++;
        net->current = NULL;
        sonde__free(net->context, net->arena);
        net->arena_floats = 0;
        net->arena = sonde__alloc(net->context, plan->floats, sizeof *net->arena);
        if (!net->arena)
            return SONDE_ERROR_MEMORY;
        net->arena_floats = plan->floats;
    }
    if (plan->scratch > net->scratch_bytes) {
        net->generation++;
        sonde__free(net->context, net->scratch);
        net->scratch_bytes = 0;
        net->scratch = sonde__alloc(net->context, plan->scratch, 1);
        if (!net->scratch)
            return SONDE_ERROR_MEMORY;
        net->scratch_bytes = plan->scratch;
    }
    return SONDE_OK;
}

/* A free place, or that of the plan that has waited longest. */
static int place_for_plan(const sonde__net *net)
{
    int oldest = 0;
    for (int i = 0; i < SONDE__PLANS; i++) {
        if (!net->plans[i])
            return i;
        if (net->plans[i]->used < net->plans[oldest]->used)
            oldest = i;
    }
    return oldest;
}

static sonde__plan *cached_plan(const sonde__net *net, sonde__mode mode, int batch)
{
    bool gradient = sonde__wants_input_gradient(net, mode);
    for (int i = 0; i < SONDE__PLANS; i++) {
        sonde__plan *plan = net->plans[i];
        if (plan && plan->mode == mode && plan->batch == batch && plan->input_gradient == gradient)
            return plan;
    }
    return NULL;
}

static sonde_status find_plan(sonde__net *net, sonde__mode mode, int batch, sonde__plan **found)
{
    sonde__plan *plan = cached_plan(net, mode, batch);
    if (!plan) {
        SONDE_TRY(sonde__plan_create(net, mode, batch, &plan));
        int place = place_for_plan(net);
        if (net->current == net->plans[place])
            net->current = NULL;
        sonde__plan_free(net->context, net->plans[place]);
        net->plans[place] = plan;
    }
    SONDE_TRY(grow(net, plan));
    if (plan->bound != net->generation)
        SONDE_TRY(sonde__plan_bind(net, plan));
    plan->used = ++net->clock;
    *found = plan;
    return SONDE_OK;
}

/* --- a step ----------------------------------------------------------------------------------- */

static sonde_status run_commands(sonde__net *net, const sonde__plan *plan, int begin, int end)
{
    double before = sonde__seconds();
    for (int i = begin; i < end; i++) {
        const sonde__command *command = &plan->commands[i];
        if (!(command->serves & net->wants))
            continue;
        SONDE_TRY(command->run(net, command));
        double after = sonde__seconds();
        net->seconds[command->kind] += after - before;
        before = after;
    }
    return SONDE_OK;
}

sonde_status sonde__net_run_commands(sonde__net *net, int begin, int end)
{
    int before = enter(net);
    sonde_status status = run_commands(net, net->current, begin, end);
    leave(net, before);
    return status;
}

static sonde_status forward(sonde__net *net, sonde__mode mode, int n, const float **logits)
{
    sonde__plan *plan = NULL;
    net->can_backward = net->has_backward = net->has_tangent = false;
    SONDE_TRY(find_plan(net, mode, n, &plan));
    net->current = plan;
    net->wants = SONDE__SERVES_WATCH;
    SONDE_TRY(run_commands(net, plan, 0, plan->forward_count));
    net->can_backward = mode != SONDE__EVAL;
    *logits = net->arena + plan->buffers[plan->logits].offset;
    return SONDE_OK;
}

sonde_status sonde__net_forward(sonde__net *net, sonde__mode mode, const float *x, int n,
                                uint64_t step, const float **logits)
{
    if (n < 1 || n > net->options.max_batch)
        return sonde__fail(net->context, SONDE_ERROR_ARGUMENT,
                           "a batch of %d examples: must be 1 to %d", n, net->options.max_batch);
    if (sonde__mode_studies(mode) && !net->options.study)
        return sonde__fail(net->context, SONDE_ERROR_STATE,
                           "the network was not created for study");
    int before = enter(net);
    net->x = x;
    net->step = step;
    net->batch = n;
    sonde_status status = forward(net, mode, n, logits);
    leave(net, before);
    return status;
}

/* A training plan has reused the memory of its values after this; under study they stay. */
sonde_status sonde__net_run_backward(sonde__net *net, const float *dlogits, unsigned wants)
{
    const sonde__plan *plan = net->current;
    net->dlogits = dlogits;
    net->flat = net->gradients;
    net->wants = wants | SONDE__SERVES_WATCH;
    net->can_backward = sonde__mode_studies(plan->mode);
    net->has_backward = true;
    net->has_tangent = false;
    return sonde__net_run_commands(net, plan->forward_count, plan->backward_count);
}

sonde_status sonde__net_backward(sonde__net *net, const float *dlogits)
{
    if (!net->can_backward || !net->current)
        return sonde__fail(net->context, SONDE_ERROR_STATE,
                           "backward must follow a forward pass in a training or study mode");
    bool skips = net->watch.skip_parameters && sonde__mode_studies(net->current->mode);
    return sonde__net_run_backward(net, dlogits,
                                   (skips ? 0 : SONDE__SERVES_GRADIENTS) |
                                       (net->input_gradient ? SONDE__SERVES_INPUT : 0));
}

void sonde__net_want_input_gradient(sonde__net *net, float *gradient)
{
    net->input_gradient = gradient;
}

/* --- the head --------------------------------------------------------------------------------- */

/* The output is a row of logits for each token: the transpose of a linear layer over tokens. */
static bool ends_in_tokens(const sonde__graph *graph)
{
    const sonde__layer *output = &graph->layers[graph->output];
    return graph->head >= 0 && graph->layers[graph->head].tokens &&
           output->op == SONDE__OP_TRANSPOSE && output->inputs[0] == graph->head;
}

/* A convolution that sees its whole input at once is a linear layer. */
static bool acts_as_linear(const sonde__graph *graph, int head)
{
    const sonde__layer *layer = &graph->layers[head];
    const sonde__shape in = graph->layers[layer->inputs[0]].shape;
    return layer->op == SONDE__OP_LINEAR ||
           (layer->conv.kernel_height == in.height && layer->conv.kernel_width == in.width &&
            layer->conv.padding == 0 && layer->conv.groups == 1);
}

static sonde_status reserve_head(sonde__net *net, size_t features)
{
    const sonde__graph *graph = net->graph;
    size_t weights = graph->parameters[graph->layers[graph->head].first_parameter].elements;
    if (!net->head_weight) {
        net->head_weight = sonde__alloc(net->context, weights, sizeof *net->head_weight);
        if (!net->head_weight)
            return SONDE_ERROR_MEMORY;
    }
    if (features > net->head_floats) {
        sonde__free(net->context, net->head_features);
        net->head_floats = 0;
        net->head_features = sonde__alloc(net->context, features, sizeof *net->head_features);
        if (!net->head_features)
            return SONDE_ERROR_MEMORY;
        net->head_floats = features;
    }
    return SONDE_OK;
}

/* How the head's input is shown: plain, or a row of features a token. */
static sonde__form head_form(const sonde__net *net)
{
    sonde__form form = net->current->features_form;
    form.block = ends_in_tokens(net->graph) ? form.shape.channels : 1;
    return form;
}

static void fill_head(sonde__net *net, sonde__net_head_view *view)
{
    const sonde__graph *graph = net->graph;
    const sonde__layer *layer = &graph->layers[graph->head];
    const sonde__form *form = &net->current->features_form;
    const float *features = net->arena + net->current->buffers[net->current->features].offset;
    sonde__form wanted = head_form(net);
    if (!sonde__form_same(form, &wanted)) {
        sonde__reorder(form, features, &wanted, net->head_features);
        features = net->head_features;
    }
    if (!net->head_current)
        sonde__net_export(net, net->weights, layer->first_parameter, net->head_weight);
    net->head_current = true;
    *view = (sonde__net_head_view){.name = layer->name,
                                   .features = features,
                                   .features_count =
                                       (int)sonde__features(form->shape) / sonde__net_rows(net),
                                   .weight = net->head_weight,
                                   .outputs = layer->conv.out};
}

sonde_status sonde__net_head(sonde__net *net, sonde__net_head_view *view)
{
    if (!net->current)
        return sonde__fail(net->context, SONDE_ERROR_STATE,
                           "the head can be read only after a forward pass");
    const sonde__graph *graph = net->graph;
    if (!ends_in_tokens(graph) &&
        (graph->head < 0 || graph->head != graph->output || !acts_as_linear(graph, graph->head)))
        return sonde__fail(net->context, SONDE_ERROR_UNSUPPORTED,
                           "the network does not end in a linear layer");
    const sonde__form *form = &net->current->features_form, wanted = head_form(net);
    size_t floats = sonde__form_same(form, &wanted) ? 0 : sonde__form_floats(form);
    SONDE_TRY(reserve_head(net, floats));
    int before = enter(net);
    fill_head(net, view);
    leave(net, before);
    return SONDE_OK;
}

/* --- access ----------------------------------------------------------------------------------- */

const sonde__graph *sonde__net_graph(const sonde__net *net)
{
    return net->graph;
}

sonde__shape sonde__net_input_shape(const sonde__net *net)
{
    return net->graph->layers[0].shape;
}

int sonde__net_outputs(const sonde__net *net)
{
    return (int)sonde__features(net->graph->layers[net->graph->output].shape);
}

int sonde__net_rows(const sonde__net *net)
{
    const sonde__graph *graph = net->graph;
    if (!ends_in_tokens(graph))
        return 1;
    const sonde__shape shape = graph->layers[graph->head].shape;
    return shape.height * shape.width;
}

bool sonde__net_has_batch_norm(const sonde__net *net)
{
    for (int i = 0; i < net->graph->layer_count; i++) {
        if (net->graph->layers[i].used && net->graph->layers[i].op == SONDE__OP_BATCH_NORM)
            return true;
    }
    return false;
}

int sonde__net_parameter_count(const sonde__net *net)
{
    return net->graph->parameter_count;
}

const sonde__parameter *sonde__net_parameter(const sonde__net *net, int index)
{
    return &net->graph->parameters[index];
}

float *sonde__net_weights(sonde__net *net, size_t *count)
{
    *count = net->count;
    return net->weights;
}

float *sonde__net_gradients(sonde__net *net, size_t *count)
{
    *count = net->count;
    return net->gradients;
}

void sonde__net_export(const sonde__net *net, const float *flat, int index, float *plain)
{
    const sonde__parameter *parameter = &net->graph->parameters[index];
    const sonde__packing *packing = packing_of(net, index);
    if (packing)
        sonde__packing_unpack(packing, flat + parameter->offset, plain);
    else if (sonde__is_buffer(parameter))
        memcpy(plain, net->running + net->running_offsets[index],
               parameter->elements * sizeof *plain);
    else
        memcpy(plain, flat + parameter->offset, parameter->elements * sizeof *plain);
}

void sonde__net_import(sonde__net *net, float *flat, int index, const float *plain)
{
    const sonde__parameter *parameter = &net->graph->parameters[index];
    const sonde__packing *packing = packing_of(net, index);
    if (packing)
        sonde__packing_pack(packing, plain, flat + parameter->offset);
    else if (sonde__is_buffer(parameter))
        memcpy(net->running + net->running_offsets[index], plain,
               parameter->elements * sizeof *plain);
    else
        memcpy(flat + parameter->offset, plain, parameter->elements * sizeof *plain);
}

void sonde__net_weights_changed(sonde__net *net)
{
    net->head_current = false;
}

size_t sonde__net_memory(const sonde__net *net)
{
    return (net->arena_floats + (net->tangents ? 4 : 2) * net->count + net->running_count +
            net->head_floats + net->example_floats) *
               sizeof(float) +
           net->scratch_bytes;
}

int sonde__net_profile(const sonde__net *net, const char **names, double *seconds, int capacity)
{
    static const char *const kinds[SONDE__KIND_COUNT] = {"convolution forward",
                                                         "convolution backward, data",
                                                         "convolution backward, weights",
                                                         "linear",
                                                         "normalisation",
                                                         "elementwise",
                                                         "pooling",
                                                         "attention",
                                                         "layout and copies"};
    int count = capacity < SONDE__KIND_COUNT ? capacity : SONDE__KIND_COUNT;
    for (int i = 0; i < count; i++) {
        names[i] = kinds[i];
        seconds[i] = net->seconds[i];
    }
    return count;
}
