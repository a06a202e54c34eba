/*
 * Reading pruning plans (plan.h). Nothing in the file is trusted: lists are checked as they are
 * read (ascending, in range of an int), and against the network when they are applied.
 */
#include <limits.h>
#include <string.h>

#include "base/path.h"
#include "file/json_read.h"
#include "run/plan.h"

enum { FILE_MAX = 1 << 28 };

typedef struct reader {
    sonde__json json;
    sonde__plan *plan;
    size_t capacity; /* of the plan's entries */
    bool format, kind;
} reader;

static sonde_status fail_plan(const reader *r, const char *what)
{
    const size_t at = sonde__json_offset(&r->json);
    return sonde__fail_at(r->plan->context, SONDE_ERROR_FORMAT, r->plan->path, NULL, (int64_t)at,
                          "%s is no pruning plan: %s, at byte %zu", r->plan->path,
                          r->json.error ? r->json.error : what, at);
}

static sonde_status read_string(reader *r, const char **string)
{
    return sonde__json_string(&r->json, string) ? SONDE_OK : fail_plan(r, "a string is expected");
}

/* A whole number from 0 to what an int holds. */
static sonde_status read_whole(reader *r, int64_t *value)
{
    bool whole = false;
    if (sonde__json_number(&r->json, value, &whole) && whole && *value >= 0 && *value <= INT_MAX)
        return SONDE_OK;
    return fail_plan(r, "a whole number is expected");
}

static sonde_status reserve_index(const reader *r, int **list, size_t count, size_t *capacity)
{
    if (count < *capacity)
        return SONDE_OK;
    const size_t more = *capacity ? 2 * *capacity : 64;
    int *grown = sonde__resize(r->plan->context, *list, more, sizeof *grown);
    if (!grown)
        return SONDE_ERROR_MEMORY;
    *list = grown;
    *capacity = more;
    return SONDE_OK;
}

static sonde_status read_indexes(reader *r, int **list, size_t *count)
{
    bool first = true;
    size_t capacity = 0;
    int64_t value, before = -1;
    if (*list)
        return fail_plan(r, "a list comes twice");
    if (!sonde__json_enter(&r->json, '['))
        return fail_plan(r, "a list is expected");
    while (sonde__json_item(&r->json, &first)) {
        SONDE_TRY(read_whole(r, &value));
        if (value <= before)
            return fail_plan(r, "indexes must ascend");
        SONDE_TRY(reserve_index(r, list, *count, &capacity));
        (*list)[(*count)++] = (int)(before = value);
    }
    return r->json.error ? fail_plan(r, "") : SONDE_OK;
}

static sonde_status read_field(reader *r, sonde__plan_entry *entry, const char *key)
{
    if (strcmp(key, "name") == 0)
        return read_string(r, &entry->name);
    if (strcmp(key, "outputs") == 0)
        return read_whole(r, &entry->outputs);
    if (strcmp(key, "inputs") == 0)
        return read_whole(r, &entry->inputs);
    if (strcmp(key, "keep_outputs") == 0)
        return read_indexes(r, &entry->keep_outputs, &entry->output_count);
    if (strcmp(key, "keep_inputs") == 0)
        return read_indexes(r, &entry->keep_inputs, &entry->input_count);
    if (strcmp(key, "kept") == 0)
        return read_whole(r, &entry->kept);
    if (strcmp(key, "mask") == 0)
        return read_string(r, &entry->mask);
    return sonde__json_skip(&r->json) ? SONDE_OK : fail_plan(r, "");
}

static sonde_status add_entry(reader *r, sonde__plan_entry **entry)
{
    sonde__plan *plan = r->plan;
    if (plan->count == r->capacity) {
        const size_t more = r->capacity ? 2 * r->capacity : 64;
        sonde__plan_entry *grown = sonde__resize(plan->context, plan->entries, more, sizeof *grown);
        if (!grown)
            return SONDE_ERROR_MEMORY;
        plan->entries = grown;
        r->capacity = more;
    }
    *entry = &plan->entries[plan->count++];
    **entry = (sonde__plan_entry){.outputs = -1, .inputs = -1, .kept = -1};
    return SONDE_OK;
}

static sonde_status read_entry(reader *r)
{
    bool first = true;
    const char *key;
    sonde__plan_entry *entry;
    SONDE_TRY(add_entry(r, &entry));
    if (!sonde__json_enter(&r->json, '{'))
        return fail_plan(r, "an object is expected");
    while (sonde__json_key(&r->json, &first, &key))
        SONDE_TRY(read_field(r, entry, key));
    if (r->json.error)
        return fail_plan(r, "");
    return entry->name ? SONDE_OK : fail_plan(r, "a layer has no name");
}

static sonde_status read_entries(reader *r)
{
    bool first = true;
    if (!sonde__json_enter(&r->json, '['))
        return fail_plan(r, "a list is expected");
    while (sonde__json_item(&r->json, &first))
        SONDE_TRY(read_entry(r));
    return r->json.error ? fail_plan(r, "") : SONDE_OK;
}

static sonde_status read_kind(reader *r)
{
    const char *text;
    SONDE_TRY(read_string(r, &text));
    r->plan->weights = strcmp(text, "weights") == 0;
    r->kind = r->plan->weights || strcmp(text, "channels") == 0;
    return r->kind ? SONDE_OK : fail_plan(r, "its kind is neither channels nor weights");
}

static sonde_status read_format(reader *r)
{
    const char *text;
    SONDE_TRY(read_string(r, &text));
    r->format = strcmp(text, "sonde-prune-plan-1") == 0;
    return r->format ? SONDE_OK : fail_plan(r, "its format is not sonde-prune-plan-1");
}

static sonde_status read_member(reader *r, const char *key)
{
    if (strcmp(key, "format") == 0)
        return read_format(r);
    if (strcmp(key, "kind") == 0)
        return read_kind(r);
    if (strcmp(key, "model") == 0)
        return read_string(r, &r->plan->model);
    if (strcmp(key, "layers") == 0 || strcmp(key, "tensors") == 0)
        return read_entries(r);
    return sonde__json_skip(&r->json) ? SONDE_OK : fail_plan(r, "");
}

static sonde_status read_document(reader *r)
{
    bool first = true;
    const char *key;
    if (!sonde__json_enter(&r->json, '{'))
        return fail_plan(r, "an object is expected");
    while (sonde__json_key(&r->json, &first, &key))
        SONDE_TRY(read_member(r, key));
    if (!sonde__json_ends(&r->json))
        return fail_plan(r, "something stands behind its end");
    if (!r->format || !r->kind)
        return fail_plan(r, "it lacks its format or its kind");
    return SONDE_OK;
}

sonde_status sonde__plan_parse(sonde_context *context, const char *path, char *text, size_t size,
                               sonde__plan *plan)
{
    reader r = {.plan = plan};
    *plan = (sonde__plan){.context = context, .text = text};
    plan->path = sonde__copy_string(context, path);
    sonde__json_init(&r.json, plan->text, size);
    const sonde_status status = plan->path ? read_document(&r) : SONDE_ERROR_MEMORY;
    if (status != SONDE_OK)
        sonde__plan_release(plan);
    return status;
}

sonde_status sonde__plan_read(sonde_context *context, const char *path, sonde__plan *plan)
{
    void *bytes = NULL;
    size_t size;
    SONDE_TRY(sonde__read_file(context, path, FILE_MAX, &bytes, &size));
    return sonde__plan_parse(context, path, bytes, size, plan);
}

void sonde__plan_release(sonde__plan *plan)
{
    for (size_t i = 0; i < plan->count; i++) {
        sonde__free(plan->context, plan->entries[i].keep_outputs);
        sonde__free(plan->context, plan->entries[i].keep_inputs);
    }
    sonde__free(plan->context, plan->entries);
    sonde__free(plan->context, plan->path);
    sonde__free(plan->context, plan->text);
    *plan = (sonde__plan){0};
}
