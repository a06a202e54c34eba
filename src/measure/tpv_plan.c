/*
 * What to measure, as it is written: "sgd,quant:8,label:0.1:runs=5,isotropic:0.01". Defaults are those
 * of the published example (docs/tpv.md), with fewer draws of quantization.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "measure/tpv.h"

void sonde__tpv_plan_init(sonde__tpv_plan *plan, sonde__tpv_noise_kind kind)
{
    static const char *const names[] = {"sgd", "quant", "label", "isotropic"};
    memset(plan, 0, sizeof *plan);
    plan->kind = kind;
    snprintf(plan->name, sizeof plan->name, "%s", names[kind]);
    plan->rate = kind == SONDE__TPV_LABEL ? 1e-4 : 1e-3;
    plan->momentum = 0.9;
    plan->proximity = kind == SONDE__TPV_SGD ? 1e-3 : 0;
    plan->deviation = kind == SONDE__TPV_LABEL ? 0.1 : 0.01;
    plan->residual = 1;
    plan->bits = 8;
    plan->batch = kind == SONDE__TPV_LABEL ? 256 : 128;
    plan->steps = 200;
    plan->burn_in = 50;
    plan->every = 10;
    plan->runs = kind == SONDE__TPV_LABEL ? 5 : 20;
    plan->epochs = 5;
}

int sonde__tpv_largest_batch(const sonde__tpv_plan *plans, int count, int batch)
{
    int largest = batch;
    for (int i = 0; i < count; i++) {
        const bool trains = plans[i].kind == SONDE__TPV_SGD || plans[i].kind == SONDE__TPV_LABEL;
        if (trains && plans[i].batch > largest)
            largest = (int)plans[i].batch;
    }
    return largest;
}

/* ---- reading --------------------------------------------------------------------------------- */

enum { SGD = 1 << SONDE__TPV_SGD, LABEL = 1 << SONDE__TPV_LABEL, TRAINS = SGD | LABEL };
enum { QUANT = 1 << SONDE__TPV_QUANTIZATION, ISOTROPIC = 1 << SONDE__TPV_ISOTROPIC };

typedef struct key {
    const char *name;
    int kinds; /* that have it */
    int first; /* kinds whose first number it is */
    double low, high;
    size_t offset;
    enum { REAL, WHOLE, INT } type;
} key;

#define AT(field) offsetof(sonde__tpv_plan, field)

static const key keys[] = {
    {"rate", TRAINS, SGD, 1e-12, 1e3, AT(rate), REAL},
    {"bits", QUANT, QUANT, 1, 32, AT(bits), INT},
    {"deviation", LABEL | ISOTROPIC, LABEL | ISOTROPIC, 1e-12, 1e6, AT(deviation), REAL},
    {"batch", TRAINS, 0, 1, 65536, AT(batch), WHOLE},
    {"momentum", TRAINS, 0, 0, 0.9999, AT(momentum), REAL},
    {"proximity", TRAINS, 0, 0, 1e6, AT(proximity), REAL},
    {"residual", SGD, 0, 1e-12, 1e12, AT(residual), REAL},
    {"steps", SGD, 0, 1, 1e8, AT(steps), WHOLE},
    {"burn-in", SGD, 0, 0, 1e8, AT(burn_in), WHOLE},
    {"every", SGD, 0, 1, 1e8, AT(every), WHOLE},
    {"runs", QUANT | LABEL | ISOTROPIC, 0, 1, 100000, AT(runs), WHOLE},
    {"epochs", LABEL, 0, 1, 1e6, AT(epochs), WHOLE},
};

enum { KEYS = sizeof keys / sizeof keys[0], ITEM_MAX = 160 };

static const key *find_key(const char *name, int kind)
{
    for (int i = 0; i < KEYS; i++)
        if (name ? (keys[i].kinds & kind) && strcmp(keys[i].name, name) == 0 : keys[i].first & kind)
            return &keys[i];
    return NULL;
}

static sonde_status fail_key(sonde_context *context, const sonde__tpv_plan *plan, const char *part)
{
    sonde__text names;
    sonde__text_init(&names, context);
    for (int i = 0; i < KEYS; i++)
        if (keys[i].kinds & (1 << plan->kind))
            sonde__text_format(&names, "%s%s=", names.length ? ", " : "", keys[i].name);
    sonde_status status = sonde__text_status(&names);
    if (status == SONDE_OK)
        status = sonde__fail_at(context, SONDE_ERROR_ARGUMENT, NULL, "noise", -1,
                                "--noise: \"%.60s\" says nothing about %s; it takes %s", part,
                                plan->name, names.bytes);
    sonde__text_free(&names);
    return status;
}

static sonde_status set_key(sonde_context *context, sonde__tpv_plan *plan, const key *k,
                            const char *text)
{
    double value;
    char *target = (char *)plan + k->offset;
    if (!sonde__parse_double(text, &value) || !(value >= k->low && value <= k->high) ||
        (k->type != REAL && value != floor(value)))
        return sonde__fail_at(context, SONDE_ERROR_RANGE, NULL, "noise", -1,
                              "--noise: %s of %s is \"%.40s\"; it is a %s from %g to %g", k->name,
                              plan->name, text, k->type == REAL ? "number" : "whole number", k->low,
                              k->high);
    if (k->type == REAL)
        memcpy(target, &value, sizeof value);
    else if (k->type == WHOLE)
        *(int64_t *)(void *)target = (int64_t)value;
    else
        *(int *)(void *)target = (int)value;
    return SONDE_OK;
}

/* "0.1" or "runs=5". */
static sonde_status read_part(sonde_context *context, sonde__tpv_plan *plan, char *part)
{
    char *equals = strchr(part, '=');
    if (equals)
        *equals = '\0';
    const key *k = find_key(equals ? part : NULL, 1 << plan->kind);
    if (!k || !part[0])
        return fail_key(context, plan, part);
    return set_key(context, plan, k, equals ? equals + 1 : part);
}

static sonde_status check_steps(sonde_context *context, const sonde__tpv_plan *plan)
{
    if (plan->kind != SONDE__TPV_SGD || plan->burn_in <= plan->steps)
        return SONDE_OK;
    return sonde__fail_at(context, SONDE_ERROR_RANGE, NULL, "noise", -1,
                          "--noise: the burn-in of sgd is %lld steps, but there are only %lld",
                          (long long)plan->burn_in, (long long)plan->steps);
}

static sonde_status read_item(sonde_context *context, char *item, sonde__tpv_plan *plan)
{
    static const char *const names[] = {"sgd", "quant", "label", "isotropic"};
    char whole[ITEM_MAX];
    snprintf(whole, sizeof whole, "%s", item);
    char *rest = strchr(item, ':');
    if (rest)
        *rest++ = '\0';
    int kind = 0;
    while (kind < 4 && strcmp(names[kind], item) != 0)
        kind++;
    if (kind == 4)
        return sonde__fail_at(context, SONDE_ERROR_ARGUMENT, NULL, "noise", -1,
                              "--noise: there is no noise \"%.40s\"; write sgd, quant:8, label:0.1 "
                              "or isotropic:0.01, with commas between",
                              item);
    sonde__tpv_plan_init(plan, (sonde__tpv_noise_kind)kind);
    while (rest) {
        char *next = strchr(rest, ':');
        if (next)
            *next++ = '\0';
        SONDE_TRY(read_part(context, plan, rest));
        rest = next;
    }
    snprintf(plan->name, sizeof plan->name, "%.*s", SONDE__TPV_NAME_MAX - 1, whole);
    return check_steps(context, plan);
}

sonde_status sonde__tpv_plans_read(sonde_context *context, const char *list,
                                   sonde__tpv_plan plans[SONDE__TPV_PLANS_MAX], int *count)
{
    *count = 0;
    for (const char *at = list;; at++) {
        char item[ITEM_MAX];
        const size_t length = strcspn(at, ",");
        if (*count == SONDE__TPV_PLANS_MAX || length >= sizeof item)
            return sonde__fail_at(context, SONDE_ERROR_RANGE, NULL, "noise", -1,
                                  "--noise names more than %d noises, or one of over %d letters",
                                  SONDE__TPV_PLANS_MAX, ITEM_MAX - 1);
        snprintf(item, sizeof item, "%.*s", (int)length, at);
        SONDE_TRY(read_item(context, item, &plans[*count]));
        (*count)++;
        at += length;
        if (!*at)
            return SONDE_OK;
    }
}
