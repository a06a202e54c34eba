/*
 * Pruning channels in steps: measure, rank, remove, build the smaller network, again.
 *
 * Method: Jacobian-based rebalancing (JBR) and its baselines, as in the published code: scores of a
 * step are summed over mini-batches and over coupled layers, and ranked over the whole network; after
 * step k of K a share ratio * k / K of all units is gone. Every step slices the whole network's
 * parameters, so that no error adds up.
 */
#include "measure/prune.h"

#include <math.h>
#include <string.h>

#include "measure/prune_internal.h"
#include "net/prune_graph.h"

void sonde__prune_options_init(sonde__prune_options *options)
{
    *options = (sonde__prune_options){
        .criterion = SONDE_CRITERION_JBR,
        .ratio = 0.5,
        .least = 1,
        .multiple = 1,
        .steps = 18,
        .batches = 50,
        .batch = 128,
        .confidence = 0.9,
    };
}

void sonde__prune_result_free(sonde_context *context, sonde__prune_result *result)
{
    sonde__free(context, result->kept);
    sonde__net_free(result->part);
    *result = (sonde__prune_result){0};
}

/* The running state of sonde__prune_channels. */
typedef struct pruner {
    sonde_context *context;
    sonde__net *whole;
    const sonde__channels *channels;
    const sonde__prune_options *options;
    sonde__prune_sample sample;
    double *scores; /* by unit */
    bool *scored;
    sonde_cut_unit *units; /* those that may go and are left, and which they are */
    int *which;
    bool *stays;
    size_t prunable;
    sonde__prune_result *result;
} pruner;

static void tell(const pruner *p, int step, double share, const char *activity)
{
    const sonde__prune_progress progress = {step, p->options->steps, share, activity};
    if (p->options->progress)
        p->options->progress(p->options->user, &progress);
}

/* The network of what is kept, from the whole one's parameters. */
static sonde_status rebuild(const pruner *p, bool study)
{
    sonde__graph *graph = NULL;
    sonde__net *made = NULL;
    const int batch = (int)p->options->batch, most = p->options->max_batch;
    const sonde__net_options options = {.threads = p->options->threads,
                                        .max_batch = most > batch ? most : batch,
                                        .seed = p->options->seed,
                                        .study = study};
    SONDE_TRY(sonde__prune_graph(p->channels, p->result->kept, &graph));
    SONDE_TRY(sonde__net_create(p->context, graph, &options, &made));
    const sonde_status status =
        sonde__prune_parameters(p->channels, p->result->kept, p->whole, made);
    if (status != SONDE_OK) {
        sonde__net_free(made);
        return status;
    }
    sonde__net_free(p->result->part);
    p->result->part = made;
    return SONDE_OK;
}

/* --- scores of a step --------------------------------------------------------------------------- */

/* Taylor takes the gradients summed over the mini-batches, once. */
static sonde_status score_sum(const pruner *p, const sonde__prune_scorer *scorer, int step)
{
    sonde__net *part = p->result->part;
    size_t count;
    float *flat = sonde__net_gradients(part, &count);
    const size_t batches = sonde__prune_sample_batches(&p->sample);
    double *sum = sonde__alloc_zero(p->context, count, sizeof *sum);
    sonde_status status = sum ? SONDE_OK : SONDE_ERROR_MEMORY;
    for (size_t b = 0; b < batches && status == SONDE_OK; b++) {
        status = sonde__prune_sample_gradient(&p->sample, part, b);
        for (size_t i = 0; i < count && status == SONDE_OK; i++)
            sum[i] += (double)flat[i];
        tell(p, step, (double)(b + 1) / (double)batches, "measuring");
    }
    for (size_t i = 0; i < count && status == SONDE_OK; i++)
        flat[i] = (float)sum[i];
    if (status == SONDE_OK)
        status = sonde__prune_score(p->context, scorer, part, flat);
    sonde__free(p->context, sum);
    return status;
}

static sonde_status score_batches(const pruner *p, const sonde__prune_scorer *scorer, int step)
{
    sonde__net *part = p->result->part;
    const size_t batches = sonde__prune_sample_batches(&p->sample);
    for (size_t b = 0; b < batches; b++) {
        SONDE_TRY(sonde__prune_sample_gradient(&p->sample, part, b));
        SONDE_TRY(
            sonde__prune_score(p->context, scorer, part, sonde__net_gradients(part, &(size_t){0})));
        tell(p, step, (double)(b + 1) / (double)batches, "measuring");
        if (sonde__cancelled(p->context))
            return sonde__fail(p->context, SONDE_ERROR_CANCELLED, "pruning was cancelled");
    }
    return SONDE_OK;
}

static sonde_status score_step(const pruner *p, int step)
{
    const size_t units = (size_t)p->channels->unit_count;
    const sonde__prune_scorer scorer = {p->channels, p->result->kept, p->options->criterion,
                                        p->scores, p->scored};
    memset(p->scores, 0, units * sizeof *p->scores);
    memset(p->scored, 0, units * sizeof *p->scored);
    switch (sonde_criterion_reads(p->options->criterion)) {
    case SONDE_NEEDS_NOTHING:
        sonde_importance_random(p->options->seed, (uint64_t)step, p->scores, units);
        memset(p->scored, 1, units * sizeof *p->scored);
        return SONDE_OK;
    case SONDE_NEEDS_GRADIENT:
        if (p->options->criterion == SONDE_CRITERION_TAYLOR)
            return score_sum(p, &scorer, step);
        return score_batches(p, &scorer, step);
    default:
        return sonde__prune_score(p->context, &scorer, p->result->part, NULL);
    }
}

/* Each group's scores over their mean, so that wide and narrow layers can be compared. */
static sonde_status normalise(const pruner *p)
{
    const sonde__channels *channels = p->channels;
    const size_t groups = (size_t)channels->group_count;
    double *sum = sonde__alloc_zero(p->context, groups, 2 * sizeof *sum), *count = sum + groups;
    if (!sum)
        return SONDE_ERROR_MEMORY;
    for (int u = 0; u < channels->unit_count; u++) {
        if (p->result->kept[u] && !channels->frozen[u]) {
            sum[channels->group[u]] += p->scores[u];
            count[channels->group[u]]++;
        }
    }
    for (int u = 0; u < channels->unit_count; u++) {
        const double total = sum[channels->group[u]];
        if (total != 0)
            p->scores[u] *= count[channels->group[u]] / total;
    }
    sonde__free(p->context, sum);
    return SONDE_OK;
}

/* --- a step ------------------------------------------------------------------------------------- */

/* Units left that may go; returns how many. */
static size_t gather_units(const pruner *p)
{
    size_t count = 0;
    for (int u = 0; u < p->channels->unit_count; u++) {
        if (!p->result->kept[u] || p->channels->frozen[u])
            continue;
        p->units[count] = (sonde_cut_unit){p->scored[u] ? p->scores[u] : (double)NAN, 1,
                                           (size_t)p->channels->group[u]};
        p->which[count++] = u;
    }
    return count;
}

/* Units of a group that are left. */
static size_t group_left(const pruner *p, int group)
{
    size_t left = 0;
    for (int u = 0; u < p->channels->unit_count; u++)
        left += p->channels->group[u] == group && p->result->kept[u];
    return left;
}

/* The best-scored unit of the group that this step removed comes back; false: there is none. */
static bool bring_back(const pruner *p, size_t left, int group)
{
    size_t best = left;
    for (size_t i = 0; i < left; i++)
        if (!p->result->kept[p->which[i]] && p->channels->group[p->which[i]] == group &&
            (best == left || p->units[i].score > p->units[best].score))
            best = i;
    if (best < left)
        p->result->kept[p->which[best]] = true;
    return best < left;
}

/* Widths that vector kernels like: as many units come back as are wanting to the next multiple. */
static void round_widths(const pruner *p, size_t left)
{
    for (int g = 0; g < p->channels->group_count && p->options->multiple > 1; g++)
        while (group_left(p, g) % p->options->multiple != 0 && bring_back(p, left, g))
            continue;
}

static sonde_status cut_step(const pruner *p, int step)
{
    const sonde__prune_options *o = p->options;
    const size_t left = gather_units(p);
    const double gone = o->ratio * step / o->steps * (double)p->prunable;
    sonde_cut_options options;
    sonde_cut_options_init(&options);
    const double wanted = gone - (double)(p->prunable - left);
    options.ratio = left > 0 && wanted > 0 ? fmin(1, wanted / (double)left) : 0;
    options.scope = o->per_layer ? SONDE_CUT_LAYER : SONDE_CUT_GLOBAL;
    options.least = o->least;
    SONDE_TRY(sonde_cut(p->context, p->units, left, &options, p->stays, &p->result->report.cut));
    for (size_t i = 0; i < left; i++)
        p->result->kept[p->which[i]] = p->stays[i];
    round_widths(p, left);
    return SONDE_OK;
}

static size_t count_left(const pruner *p)
{
    size_t left = 0;
    for (int u = 0; u < p->channels->unit_count; u++)
        left += p->result->kept[u] && !p->channels->frozen[u];
    return left;
}

static sonde_status run_steps(const pruner *p)
{
    const sonde__prune_options *o = p->options;
    for (int step = 1; step <= p->options->steps; step++) {
        tell(p, step, 0, "measuring");
        SONDE_TRY(score_step(p, step));
        if (p->options->normalise)
            SONDE_TRY(normalise(p));
        SONDE_TRY(cut_step(p, step));
        SONDE_TRY(rebuild(p, true));
        p->result->report.steps = step;
        if (o->stepped)
            SONDE_TRY(o->stepped(o->step_user, step, count_left(p), p->result->part));
        if (sonde__cancelled(p->context))
            return sonde__fail(p->context, SONDE_ERROR_CANCELLED, "pruning was cancelled");
    }
    return SONDE_OK;
}

/* --- the whole ---------------------------------------------------------------------------------- */

static sonde_status check_finite(sonde_context *context, sonde__net *net)
{
    size_t largest = 1;
    for (int p = 0; p < sonde__net_parameter_count(net); p++)
        largest = sonde__net_parameter(net, p)->elements > largest
                      ? sonde__net_parameter(net, p)->elements
                      : largest;
    float *plain = sonde__alloc(context, largest, sizeof *plain);
    sonde_status status = plain ? SONDE_OK : SONDE_ERROR_MEMORY;
    for (int p = 0; p < sonde__net_parameter_count(net) && status == SONDE_OK; p++) {
        const sonde__parameter *parameter = sonde__net_parameter(net, p);
        sonde__net_export(net, sonde__net_weights(net, &(size_t){0}), p, plain);
        for (size_t i = 0; i < parameter->elements && status == SONDE_OK; i++)
            if (!isfinite(plain[i]))
                status = sonde__fail_at(context, SONDE_ERROR_NUMERIC, NULL, parameter->name, -1,
                                        "%s holds a value that is not finite (element %zu); such a "
                                        "network cannot be pruned",
                                        parameter->name, i);
    }
    sonde__free(context, plain);
    return status;
}

sonde_status sonde__prune_check(sonde_context *context, sonde__net *net,
                                const sonde__prune_options *options)
{
    if (!(options->ratio >= 0 && options->ratio <= 1))
        return sonde__fail_at(context, SONDE_ERROR_RANGE, NULL, "ratio", -1,
                              "a ratio of %g: must be from 0 to 1", options->ratio);
    if (options->steps < 1 || options->least < 1 || options->multiple < 1 || options->batches < 1 ||
        options->batch < 1)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT,
                           "pruning takes at least one step, one channel kept of a layer, one "
                           "mini-batch and one example in it");
    return check_finite(context, net);
}

static sonde_status prepare(pruner *p)
{
    const sonde__channels *channels = p->channels;
    const size_t units = (size_t)channels->unit_count;
    p->result->kept = sonde__alloc(p->context, units, sizeof *p->result->kept);
    p->scores = sonde__alloc(p->context, units, sizeof *p->scores);
    p->scored = sonde__alloc(p->context, units, sizeof *p->scored);
    p->units = sonde__alloc(p->context, units, sizeof *p->units);
    p->which = sonde__alloc(p->context, units, sizeof *p->which);
    p->stays = sonde__alloc(p->context, units, sizeof *p->stays);
    if (!p->result->kept || !p->scores || !p->scored || !p->units || !p->which || !p->stays)
        return SONDE_ERROR_MEMORY;
    for (size_t u = 0; u < units; u++) {
        p->result->kept[u] = true;
        p->prunable += !channels->frozen[u];
    }
    if (p->prunable == 0)
        return sonde__fail(p->context, SONDE_ERROR_ARGUMENT,
                           "no channel of this network can be removed: all of them reach its "
                           "output, its input or a norm over channels");
    return SONDE_OK;
}

static sonde_status prune(pruner *p, const sonde__prune_examples *examples)
{
    sonde__prune_report *report = &p->result->report;
    SONDE_TRY(sonde__prune_check(p->context, p->whole, p->options));
    SONDE_TRY(prepare(p));
    SONDE_TRY(
        sonde__prune_sample_choose(p->context, p->whole, examples, p->options, &p->sample, report));
    SONDE_TRY(rebuild(p, true));
    SONDE_TRY(run_steps(p));
    if (p->options->re_estimate > 0)
        SONDE_TRY(sonde__prune_re_estimate(p->context, p->result->part, examples, p->options));
    report->units = p->prunable;
    report->kept = count_left(p);
    return SONDE_OK;
}

sonde_status sonde__prune_channels(sonde__net *whole, const sonde__channels *channels,
                                   const sonde__prune_examples *examples,
                                   const sonde__prune_options *options, sonde__prune_result *result)
{
    sonde_context *context = channels->context;
    pruner p = {.context = context,
                .whole = whole,
                .channels = channels,
                .options = options,
                .result = result};
    *result = (sonde__prune_result){0};
    const sonde_status status = prune(&p, examples);
    sonde__prune_sample_free(&p.sample);
    sonde__free(context, p.scores);
    sonde__free(context, p.scored);
    sonde__free(context, p.units);
    sonde__free(context, p.which);
    sonde__free(context, p.stays);
    if (status != SONDE_OK)
        sonde__prune_result_free(context, result);
    return status;
}
