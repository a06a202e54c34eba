/*
 * The pruning job (prune.h): opens the subject, prunes, measures before and after, writes.
 *
 * Invariant: the plan is one of the named architecture. Where the subject was pruned before, its own
 * plan and the new one are made into one.
 */
#include "run/prune.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/path.h"
#include "base/random.h"
#include "net/arch.h"
#include "net/prune_graph.h"
#include "net/study.h"
#include "run/plan.h"
#include "run/session.h"
#include "run/tensors.h"

static const int speed_batches[SONDE__PRUNE_SPEEDS] = {1, 128};

/* A running job. */
typedef struct work {
    sonde_context *context;
    const sonde__prune_job *job;
    sonde__prune_outcome *outcome;
    sonde__subject subject;
    uint32_t *order, *picked; /* training examples, shuffled; those of a mini-batch */
    sonde__channels channels; /* of the subject's network */
    sonde__prune_result result;
    bool **keep; /* of single weights, by parameter */
    int parameters;
} work;

/* --- files -------------------------------------------------------------------------------------- */

static sonde_status name_plan(work *w)
{
    static const char ending[] = ".safetensors";
    const sonde__prune_job *job = w->job;
    const size_t length = strlen(job->out), tail = sizeof ending - 1;
    if (length <= tail || strcmp(job->out + length - tail, ending) != 0)
        return sonde__fail_at(w->context, SONDE_ERROR_ARGUMENT, job->out, NULL, -1,
                              "%s: what is written is a safetensors file; name it "
                              "NAME.safetensors",
                              job->out);
    if (job->plan && strcmp(job->plan, job->out) == 0)
        return sonde__fail_at(w->context, SONDE_ERROR_ARGUMENT, job->plan, NULL, -1,
                              "%s is both --out and --plan; name two files", job->plan);
    const size_t room = length + sizeof ".plan.json";
    char *plan =
        job->plan ? sonde__copy_string(w->context, job->plan) : sonde__alloc(w->context, room, 1);
    if (plan && !job->plan)
        snprintf(plan, room, "%.*s.plan.json", (int)(length - tail), job->out);
    w->outcome->plan = plan;
    return plan ? SONDE_OK : SONDE_ERROR_MEMORY;
}

static sonde_status refuse_existing(const work *w, const char *path)
{
    if (w->job->force || !sonde__path_exists(path))
        return SONDE_OK;
    return sonde__fail_at(w->context, SONDE_ERROR_ARGUMENT, path, NULL, -1,
                          "%s exists; name another file, or replace it with --force", path);
}

/* Found out before hours of pruning, not after. */
static sonde_status require_folder(const work *w, const char *path)
{
    char *folder = sonde__copy_string(w->context, path);
    if (!folder)
        return SONDE_ERROR_MEMORY;
    char *const end = strrchr(folder, '/');
    sonde_status status = SONDE_OK;
    if (end && end > folder) {
        *end = '\0';
        if (!sonde__path_exists(folder))
            status = sonde__fail_at(w->context, SONDE_ERROR_NOT_FOUND, path, NULL, -1,
                                    "%s: the folder %s is not there; make it first", path, folder);
    }
    sonde__free(w->context, folder);
    return status;
}

static sonde_status write_model(const work *w, sonde__net *net)
{
    sonde__tensor_list list;
    char epoch[24];
    const sonde__metadata metadata[] = {{"format", "pt"},
                                        {"sonde.version", sonde_version()},
                                        {"model", w->outcome->model},
                                        {"epoch", epoch}};
    snprintf(epoch, sizeof epoch, "%" PRId64, w->outcome->epoch);
    SONDE_TRY(sonde__tensor_list_init(&list, w->context, (size_t)sonde__net_parameter_count(net)));
    sonde_status status =
        sonde__tensor_list_add_net(&list, net, sonde__net_weights(net, &(size_t){0}), "", true);
    if (status == SONDE_OK)
        status =
            sonde__tensor_list_write(&list, w->job->out, metadata, w->outcome->epoch >= 0 ? 4 : 3);
    sonde__tensor_list_free(&list);
    return status;
}

/* Which units of the architecture stay: those that an earlier plan left and this one keeps. */
static sonde_status compose_kept(const work *w, const sonde__channels *whole, bool *kept)
{
    sonde__plan plan;
    SONDE_TRY(sonde__plan_read(w->context, w->subject.config.pruned, &plan));
    for (int u = 0; u < whole->unit_count; u++)
        kept[u] = true; /* a plan of single weights leaves every channel */
    sonde_status status = plan.weights ? SONDE_OK : sonde__plan_kept(&plan, whole, kept);
    sonde__plan_release(&plan);
    const int layers = sonde__graph_layer_count(whole->graph);
    int *list = sonde__alloc(w->context, whole->first[layers], sizeof *list);
    bool *both = sonde__alloc(w->context, (size_t)whole->unit_count, sizeof *both);
    if (status == SONDE_OK && (!list || !both))
        status = SONDE_ERROR_MEMORY;
    if (status == SONDE_OK)
        memcpy(both, kept, (size_t)whole->unit_count * sizeof *both);
    for (int i = 0; i < layers && status == SONDE_OK; i++) {
        const int *outer = sonde__channels_of(whole, i);
        const int *inner = sonde__channels_of(&w->channels, i);
        const int count = sonde__channels_kept(whole, kept, i, list);
        for (int j = 0; j < count; j++)
            both[outer[list[j]]] = w->result.kept[inner[j]];
    }
    if (status == SONDE_OK)
        memcpy(kept, both, (size_t)whole->unit_count * sizeof *both);
    sonde__free(w->context, list);
    sonde__free(w->context, both);
    return status;
}

/* The plan of a network that was pruned before, in terms of the architecture. */
static sonde_status write_composed(const work *w, const sonde__plan_facts *facts)
{
    const sonde__config *config = &w->subject.config;
    sonde__graph *graph = NULL;
    sonde__channels whole;
    SONDE_TRY(sonde__arch_build(w->context, config->model, facts->input, facts->classes,
                                config->dropout, &graph));
    sonde_status status = sonde__channels_find(w->context, graph, &whole);
    if (status == SONDE_OK) {
        bool *kept = sonde__alloc(w->context, (size_t)whole.unit_count, sizeof *kept);
        status = kept ? compose_kept(w, &whole, kept) : SONDE_ERROR_MEMORY;
        if (status == SONDE_OK)
            status = sonde__plan_write_channels(w->outcome->plan, facts, &whole, kept);
        sonde__free(w->context, kept);
        sonde__channels_free(&whole);
    }
    sonde__graph_free(graph);
    return status;
}

static sonde_status write_plan(const work *w)
{
    const sonde__plan_facts facts = {
        .model = w->subject.config.model,
        .criterion = sonde_criterion_name(w->job->options.criterion),
        .input = sonde__net_input_shape(w->subject.net),
        .classes = w->subject.classes,
        .ratio = w->job->options.ratio,
    };
    if (w->outcome->weights)
        return sonde__plan_write_weights(w->context, w->outcome->plan, &facts, w->result.part,
                                         w->keep);
    if (w->subject.config.pruned[0])
        return write_composed(w, &facts);
    return sonde__plan_write_channels(w->outcome->plan, &facts, &w->channels, w->result.kept);
}

/* --- examples ----------------------------------------------------------------------------------- */

static void fill(void *user, const uint32_t *order, size_t n, float *x, int32_t *labels)
{
    const work *w = user;
    for (size_t i = 0; i < n; i++)
        w->picked[i] = w->order[order[i]];
    sonde__batcher_fill(&w->subject.train_batcher, w->picked, n, -1, x, labels);
}

static sonde_status draw_order(work *w)
{
    const size_t count = w->subject.positions;
    sonde__stream stream = /* epochs count from 1 */
        sonde__stream_open((uint64_t)w->subject.config.seed, SONDE__RANDOM_SHUFFLE, 0);
    w->order = sonde__alloc(w->context, count, sizeof *w->order);
    w->picked = sonde__alloc(w->context, w->job->options.batch, sizeof *w->picked);
    if (!w->order || !w->picked)
        return SONDE_ERROR_MEMORY;
    memcpy(w->order, w->subject.indexes, count * sizeof *w->order);
    sonde__random_shuffle(&stream, w->order, count);
    return SONDE_OK;
}

static sonde_status copy_net(const work *w, const sonde__net *net, bool study, sonde__net **copy)
{
    const sonde__net_options options = {.threads = (int)w->subject.config.threads,
                                        .max_batch = w->subject.max_batch,
                                        .study = study};
    return sonde__net_copy(w->context, net, &options, copy);
}

/* --- figures ------------------------------------------------------------------------------------ */

/* Parameters that are trained and not set to zero as single weights. */
static sonde_status count_parameters(const work *w, sonde__net *net, double *parameters,
                                     double *bytes)
{
    *parameters = *bytes = 0;
    for (int p = 0; p < sonde__net_parameter_count(net); p++) {
        const sonde__parameter *parameter = sonde__net_parameter(net, p);
        *bytes += (double)(parameter->elements * sizeof(float));
        *parameters += parameter->length > 0 ? (double)parameter->elements : 0;
        const bool *keep = net == w->result.part && w->keep ? w->keep[p] : NULL;
        for (size_t i = 0; i < parameter->elements && keep; i++)
            *parameters -= !keep[i];
    }
    return SONDE_OK;
}

static sonde_status measure_accuracy(const work *w, sonde__net *net, double *accuracy)
{
    const sonde__dataset *test = w->subject.test;
    const size_t batch = (size_t)w->subject.max_batch;
    *accuracy = (double)NAN;
    if (!test || test->count == 0 || sonde__net_rows(net) > 1)
        return SONDE_OK;
    float *x = sonde__alloc(w->context, batch, w->subject.test_batcher.features * sizeof *x);
    int32_t *labels = sonde__alloc(w->context, batch, sizeof *labels);
    uint32_t *indexes = sonde__alloc(w->context, batch, sizeof *indexes);
    sonde_status status = x && labels && indexes ? SONDE_OK : SONDE_ERROR_MEMORY;
    size_t right = 0;
    for (size_t begin = 0; begin < test->count && status == SONDE_OK; begin += batch) {
        const size_t left = test->count - begin, n = left < batch ? left : batch;
        const float *logits = NULL;
        for (size_t i = 0; i < n; i++)
            indexes[i] = (uint32_t)(begin + i);
        sonde__batcher_fill(&w->subject.test_batcher, indexes, n, -1, x, labels);
        status = sonde__net_forward(net, SONDE__EVAL, x, (int)n, 0, &logits);
        if (status == SONDE_OK)
            right += sonde__session_right(logits, labels, n, (size_t)w->subject.classes);
    }
    *accuracy = (double)right / (double)test->count;
    sonde__free(w->context, x);
    sonde__free(w->context, labels);
    sonde__free(w->context, indexes);
    return status;
}

/* Networks as they would be shipped: nothing of the study modes is left in them. */
static sonde_status time_copies(const work *w, sonde__net *const nets[2], const float *x)
{
    sonde__net *copies[2] = {NULL, NULL};
    sonde_status status = copy_net(w, nets[0], false, &copies[0]);
    if (status == SONDE_OK)
        status = copy_net(w, nets[1], false, &copies[1]);
    for (int i = 0; i < SONDE__PRUNE_SPEEDS && status == SONDE_OK; i++) {
        w->outcome->speed_batch[i] = speed_batches[i];
        status =
            sonde__prune_speed(w->context, copies, x, speed_batches[i], w->outcome->seconds[i]);
    }
    sonde__net_free(copies[0]);
    sonde__net_free(copies[1]);
    return status;
}

static sonde_status measure_speed(const work *w, sonde__net *const nets[2])
{
    const size_t most = (size_t)speed_batches[SONDE__PRUNE_SPEEDS - 1];
    sonde__prune_outcome *outcome = w->outcome;
    for (int i = 0; i < SONDE__PRUNE_SPEEDS; i++)
        outcome->seconds[i][0] = outcome->seconds[i][1] = (double)NAN;
    if (!w->job->speed || outcome->weights)
        return SONDE_OK;
    float *x = sonde__alloc(w->context, most, w->subject.train_batcher.features * sizeof *x);
    uint32_t *indexes = sonde__alloc_zero(w->context, most, sizeof *indexes);
    sonde_status status = x && indexes ? SONDE_OK : SONDE_ERROR_MEMORY;
    if (status == SONDE_OK) {
        sonde__batcher_fill(&w->subject.train_batcher, indexes, most, -1, x, NULL);
        status = time_copies(w, nets, x);
    }
    sonde__free(w->context, x);
    sonde__free(w->context, indexes);
    return status;
}

static sonde_status add_width(sonde__prune_outcome *outcome, const char *name, int before,
                              int after)
{
    sonde__prune_width *width = &outcome->widths[outcome->width_count];
    *width = (sonde__prune_width){sonde__copy_string(outcome->context, name), before, after};
    if (!width->name)
        return SONDE_ERROR_MEMORY;
    outcome->width_count++;
    return SONDE_OK;
}

/* Output channels of a layer, or weights that are left of it. */
static sonde_status list_widths(const work *w)
{
    const sonde__graph *before = sonde__net_graph(w->subject.net);
    const sonde__graph *after = sonde__net_graph(w->result.part);
    const int layers = sonde__graph_layer_count(before);
    w->outcome->widths = sonde__alloc_zero(w->context, (size_t)layers, sizeof *w->outcome->widths);
    if (!w->outcome->widths)
        return SONDE_ERROR_MEMORY;
    for (int i = 0; i < layers; i++) {
        const sonde__layer_view view = sonde__graph_layer(before, i);
        if (view.op != SONDE__OP_CONV && view.op != SONDE__OP_LINEAR)
            continue;
        int had = view.shape.channels, has = sonde__graph_layer(after, i).shape.channels;
        if (w->keep) {
            const bool *keep = w->keep[view.first_parameter];
            had = (int)sonde__net_parameter(w->subject.net, view.first_parameter)->elements;
            has = 0;
            for (int k = 0; k < had; k++)
                has += keep[k];
        }
        SONDE_TRY(add_width(w->outcome, view.name, had, has));
    }
    return SONDE_OK;
}

/* --- the curve ---------------------------------------------------------------------------------- */

static sonde_status accuracy_re_estimated(const work *w, const sonde__net *part, double *accuracy)
{
    sonde__net *copy = NULL;
    const sonde__prune_examples examples = {(void *)(uintptr_t)w, fill, w->subject.positions};
    SONDE_TRY(copy_net(w, part, true, &copy));
    sonde_status status = sonde__prune_re_estimate(w->context, copy, &examples, &w->job->options);
    if (status == SONDE_OK)
        status = measure_accuracy(w, copy, accuracy);
    sonde__net_free(copy);
    return status;
}

static sonde_status add_point(void *user, int step, size_t kept, sonde__net *part)
{
    const work *w = user;
    double bytes;
    sonde__prune_point *point = &w->outcome->curve[step - 1];
    *point = (sonde__prune_point){.kept = kept, .re_estimated = (double)NAN};
    point->flops = sonde__graph_flops(sonde__net_graph(part));
    SONDE_TRY(count_parameters(w, part, &point->parameters, &bytes));
    SONDE_TRY(measure_accuracy(w, part, &point->accuracy));
    if (w->job->options.re_estimate > 0)
        SONDE_TRY(accuracy_re_estimated(w, part, &point->re_estimated));
    w->outcome->curve_count = step;
    return SONDE_OK;
}

static sonde_status want_curve(work *w, sonde__prune_options *options)
{
    if (!w->job->curve || w->outcome->weights)
        return SONDE_OK;
    w->outcome->curve =
        sonde__alloc_zero(w->context, (size_t)options->steps, sizeof *w->outcome->curve);
    if (!w->outcome->curve)
        return SONDE_ERROR_MEMORY;
    options->step_user = w;
    options->stepped = add_point;
    return SONDE_OK;
}

/* --- pruning ------------------------------------------------------------------------------------ */

static sonde_status prune_channels(work *w, const sonde__prune_examples *examples,
                                   const sonde__prune_options *options)
{
    SONDE_TRY(sonde__channels_find(w->context, sonde__net_graph(w->subject.net), &w->channels));
    return sonde__prune_channels(w->subject.net, &w->channels, examples, options, &w->result);
}

static sonde_status prune_weights(work *w, const sonde__prune_examples *examples,
                                  const sonde__prune_options *options)
{
    SONDE_TRY(copy_net(w, w->subject.net, true, &w->result.part));
    w->parameters = sonde__net_parameter_count(w->result.part);
    w->keep = sonde__alloc_zero(w->context, (size_t)w->parameters, sizeof *w->keep);
    if (!w->keep)
        return SONDE_ERROR_MEMORY;
    for (int p = 0; p < w->parameters; p++) {
        const sonde__parameter *parameter = sonde__net_parameter(w->result.part, p);
        if (!sonde__prune_is_weight(parameter))
            continue;
        w->keep[p] = sonde__alloc(w->context, parameter->elements, sizeof(bool));
        if (!w->keep[p])
            return SONDE_ERROR_MEMORY;
    }
    return sonde__prune_weights(w->context, w->result.part, examples, options, w->keep,
                                &w->result.report);
}

static sonde_status open_subject(work *w)
{
    const int batch = (int)w->job->options.batch;
    sonde__subject_options options = w->job->subject;
    sonde__prune_outcome *outcome = w->outcome;
    options.study = options.texts = true; /* what needs one label an example says so itself */
    options.max_batch = batch > speed_batches[1] ? batch : speed_batches[1];
    SONDE_TRY(sonde__subject_open(w->context, &options, &w->subject));
    outcome->config = w->subject.config;
    outcome->epoch = w->subject.epoch;
    outcome->model = sonde__copy_string(w->context, w->subject.config.model);
    if (w->subject.run)
        outcome->folder = sonde__copy_string(w->context, w->subject.run);
    return outcome->model && (outcome->folder || !w->subject.run) ? SONDE_OK : SONDE_ERROR_MEMORY;
}

static sonde_status measure(const work *w)
{
    sonde__prune_outcome *outcome = w->outcome;
    sonde__net *const nets[2] = {w->subject.net, w->result.part};
    outcome->test_examples = w->subject.test ? w->subject.test->count : 0;
    for (int i = 0; i < 2; i++) {
        SONDE_TRY(count_parameters(w, nets[i], &outcome->parameters[i], &outcome->bytes[i]));
        outcome->flops[i] = sonde__graph_flops(sonde__net_graph(nets[i]));
        SONDE_TRY(measure_accuracy(w, nets[i], &outcome->accuracy[i]));
    }
    SONDE_TRY(measure_speed(w, nets));
    return list_widths(w);
}

static sonde_status run(work *w)
{
    sonde__prune_options options = w->job->options;
    SONDE_TRY(name_plan(w));
    const char *const paths[] = {w->job->out, w->outcome->plan};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        SONDE_TRY(refuse_existing(w, paths[i]));
        SONDE_TRY(require_folder(w, paths[i]));
    }
    SONDE_TRY(open_subject(w));
    SONDE_TRY(draw_order(w));
    options.seed = (uint64_t)w->subject.config.seed;
    options.threads = (int)w->subject.config.threads;
    options.max_batch = w->subject.max_batch;
    const sonde__prune_examples examples = {w, fill, w->subject.positions};
    w->outcome->weights = !sonde_criterion_of_channels(options.criterion);
    SONDE_TRY(want_curve(w, &options));
    SONDE_TRY(w->outcome->weights ? prune_weights(w, &examples, &options)
                                  : prune_channels(w, &examples, &options));
    w->outcome->report = w->result.report;
    SONDE_TRY(measure(w));
    SONDE_TRY(write_plan(w));
    const sonde_status status = write_model(w, w->result.part);
    if (status != SONDE_OK)
        remove(w->outcome->plan);
    return status;
}

sonde_status sonde__prune_run(sonde_context *context, const sonde__prune_job *job,
                              sonde__prune_outcome *outcome)
{
    work w = {.context = context, .job = job, .outcome = outcome};
    *outcome = (sonde__prune_outcome){.context = context, .epoch = -1};
    const sonde_status status = run(&w);
    for (int p = 0; p < w.parameters && w.keep; p++)
        sonde__free(context, w.keep[p]);
    sonde__free(context, w.keep);
    sonde__free(context, w.order);
    sonde__free(context, w.picked);
    sonde__channels_free(&w.channels);
    sonde__prune_result_free(context, &w.result);
    sonde__subject_close(&w.subject);
    if (status != SONDE_OK)
        sonde__prune_outcome_free(outcome);
    return status;
}

void sonde__prune_outcome_free(sonde__prune_outcome *outcome)
{
    for (size_t i = 0; i < outcome->width_count; i++)
        sonde__free(outcome->context, outcome->widths[i].name);
    sonde__free(outcome->context, outcome->widths);
    sonde__free(outcome->context, outcome->curve);
    sonde__free(outcome->context, outcome->model);
    sonde__free(outcome->context, outcome->plan);
    sonde__free(outcome->context, outcome->folder);
    *outcome = (sonde__prune_outcome){0};
}
