/*
 * The index of a sharded model (Hugging Face transformers): "weight_map" from tensor names to file
 * names, "metadata" with "total_size"; other keys are passed over.
 *
 * Names are looked at before the file system is: no absolute path, no "..", nothing that another
 * system reads as a drive or a share. Invariant: every shard in a parsed index has such a name.
 */
#include <stdlib.h>
#include <string.h>

#include "file/json_read.h"
#include "file/shards_internal.h"

typedef struct reading {
    sonde_context *context;
    const char *path;
    sonde__json json;
    sonde__index *index;
    bool has_map;
} reading;

/* --- names of shards ---------------------------------------------------------------------------- */

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* One of the parts between '/' is empty, "." or "..". */
static bool has_odd_part(const char *name)
{
    for (const char *part = name;; part++) {
        size_t length = strcspn(part, "/");
        if (length == 0 || strncmp(part, ".", length) == 0 || strncmp(part, "..", length) == 0)
            return true;
        part += length;
        if (*part == '\0')
            return false;
    }
}

static bool ends_with(const char *name, const char *end)
{
    size_t length = strlen(name), tail = strlen(end);
    return length >= tail && strcmp(name + length - tail, end) == 0;
}

const char *sonde__shard_name_fault(const char *name)
{
    if (name[0] == '\0')
        return "is empty";
    if (strlen(name) > SONDE__SHARD_NAME_MAX)
        return "is longer than 1024 bytes";
    for (const char *c = name; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return "holds control characters";
    if (strchr(name, '\\'))
        return "holds a backslash, which is a path on some systems";
    if (name[0] == '/')
        return "is an absolute path; shards lie beside their index";
    if (is_letter(name[0]) && name[1] == ':')
        return "begins with a drive letter; shards lie beside their index";
    if (has_odd_part(name))
        return "has '..', '.' or nothing between its slashes; shards lie beside their index";
    if (ends_with(name, ".json"))
        return "is an index itself; only model files can be shards";
    return NULL;
}

/* --- reading ------------------------------------------------------------------------------------ */

static sonde_status bad_index(const reading *r, const char *item, const char *what)
{
    return sonde__fail_at(r->context, SONDE_ERROR_FORMAT, r->path, item,
                          (int64_t)sonde__json_offset(&r->json), "%s: %s%.200s%s%s", r->path,
                          item ? "'" : "", item ? item : "", item ? "' " : "", what);
}

static sonde_status bad_json(const reading *r)
{
    return sonde__fail_at(r->context, SONDE_ERROR_FORMAT, r->path, NULL,
                          (int64_t)sonde__json_offset(&r->json),
                          "%s: the index is not valid JSON at byte %zu: %s", r->path,
                          sonde__json_offset(&r->json), r->json.error);
}

/* A value of another kind than it must be, unless the text ends there. */
static sonde_status bad_kind(const reading *r, const char *item, const char *what)
{
    return r->json.error ? bad_json(r) : bad_index(r, item, what);
}

static sonde_status add_mapping(reading *r, const char *tensor, const char *shard)
{
    if (r->index->count == r->index->room) {
        size_t room = r->index->room ? 2 * r->index->room : 64;
        sonde__mapping *map = sonde__resize(r->context, r->index->map, room, sizeof *map);
        if (!map)
            return sonde_context_error(r->context)->status;
        r->index->map = map;
        r->index->room = room;
    }
    r->index->map[r->index->count++] = (sonde__mapping){.tensor = tensor, .shard = shard};
    return SONDE_OK;
}

static sonde_status read_map(reading *r)
{
    const char *tensor, *shard;
    bool first = true;
    if (r->has_map)
        return bad_index(r, "weight_map", "is there twice");
    r->has_map = true;
    if (sonde__json_peek(&r->json) != '{')
        return bad_kind(r, "weight_map", "is not an object");
    sonde__json_enter(&r->json, '{');
    while (sonde__json_key(&r->json, &first, &tensor)) {
        if (sonde__json_peek(&r->json) != '"')
            return bad_kind(r, tensor, "is not given the name of a file");
        if (!sonde__json_string(&r->json, &shard))
            return bad_json(r);
        const char *fault = sonde__shard_name_fault(shard);
        if (fault)
            return sonde__fail_at(r->context, SONDE_ERROR_FORMAT, r->path, tensor,
                                  (int64_t)sonde__json_offset(&r->json),
                                  "%s: the shard name '%.200s' %s", r->path, shard, fault);
        SONDE_TRY(add_mapping(r, tensor, shard));
    }
    return r->json.error ? bad_json(r) : SONDE_OK;
}

static sonde_status read_metadata(reading *r)
{
    const char *key;
    bool first = true, whole = false;
    int64_t value = 0;
    if (sonde__json_peek(&r->json) != '{')
        return sonde__json_skip(&r->json) ? SONDE_OK : bad_json(r);
    sonde__json_enter(&r->json, '{');
    while (sonde__json_key(&r->json, &first, &key)) {
        bool total = strcmp(key, "total_size") == 0 && sonde__json_peek(&r->json) == '-';
        if (!(total ? sonde__json_number(&r->json, &value, &whole) : sonde__json_skip(&r->json)))
            return bad_json(r);
        if (total && whole && value >= 0)
            r->index->total_size = value;
    }
    return r->json.error ? bad_json(r) : SONDE_OK;
}

static sonde_status read_index(reading *r)
{
    const char *key;
    bool first = true;
    if (!sonde__json_enter(&r->json, '{'))
        return bad_json(r);
    while (sonde__json_key(&r->json, &first, &key)) {
        if (strcmp(key, "weight_map") == 0)
            SONDE_TRY(read_map(r));
        else if (strcmp(key, "metadata") == 0)
            SONDE_TRY(read_metadata(r));
        else if (!sonde__json_skip(&r->json))
            return bad_json(r);
    }
    if (r->json.error)
        return bad_json(r);
    if (!sonde__json_ends(&r->json))
        return bad_index(r, NULL, "something stands behind the end of the index");
    if (!r->has_map)
        return bad_index(r, NULL, "has no weight_map; is it the index of a sharded model?");
    if (r->index->count == 0)
        return bad_index(r, "weight_map", "names no tensor");
    if (r->index->count > UINT32_MAX)
        return bad_index(r, "weight_map", "names too many tensors");
    return SONDE_OK;
}

/* --- numbering the shards ----------------------------------------------------------------------- */

static int by_shard(const void *a, const void *b)
{
    const sonde__mapping *const *x = a, *const *y = b;
    int order = strcmp((*x)->shard, (*y)->shard);
    return order ? order : (*x > *y) - (*x < *y);
}

/* After this `first` of a pair is the index of the first one with the same shard. */
static sonde_status find_first_mentions(reading *r)
{
    sonde__mapping **order = sonde__alloc(r->context, r->index->count, sizeof *order);
    if (!order)
        return sonde_context_error(r->context)->status;
    for (size_t i = 0; i < r->index->count; i++)
        order[i] = &r->index->map[i];
    qsort((void *)order, r->index->count, sizeof *order, by_shard);
    const sonde__mapping *head = order[0];
    for (size_t i = 0; i < r->index->count; i++) {
        if (strcmp(head->shard, order[i]->shard) != 0)
            head = order[i];
        order[i]->first = (uint32_t)(head - r->index->map);
    }
    sonde__free(r->context, (void *)order);
    return SONDE_OK;
}

sonde_status sonde__index_parse(sonde_context *context, const char *path, char *text, size_t size,
                                sonde__index *index)
{
    reading r = {.context = context, .path = path, .index = index};
    *index = (sonde__index){.total_size = -1};
    sonde__json_init(&r.json, text, size);
    SONDE_TRY(read_index(&r));
    return find_first_mentions(&r);
}

void sonde__index_free(sonde_context *context, sonde__index *index)
{
    sonde__free(context, index->map);
    *index = (sonde__index){0};
}
