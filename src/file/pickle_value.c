/*
 * Memory, values and stack of the pickle interpreter.
 *
 * Values live in chunks that are freed together. What they take is bounded three times: by the
 * opcodes (each makes at most one value), by ARENA_MAX for the few that copy what others made, and
 * by the context's budget.
 */
#include "file/pickle_internal.h"

#include <string.h>

#include "base/checked.h"

enum { CHUNK_FIRST = 4 << 10, CHUNK_MAX = 256 << 10 };
#define ARENA_MAX ((size_t)1 << 30)

static sonde__pickle_chunk *add_chunk(sonde__pickle *pickle, size_t least)
{
    size_t room = pickle->held < CHUNK_FIRST ? CHUNK_FIRST : pickle->held;
    room = room > CHUNK_MAX ? CHUNK_MAX : room;
    room = room < least ? least : room;
    if (room > ARENA_MAX - pickle->held) {
        (void)sonde__pickle_fail(pickle, NULL, SONDE_ERROR_MEMORY,
                                 "what it builds takes more than 1 GiB; it holds far more than "
                                 "the names and shapes of tensors");
        return NULL;
    }
    sonde__pickle_chunk *chunk = sonde__alloc(pickle->context, sizeof *chunk + room, 1);
    if (!chunk)
        return NULL;
    *chunk = (sonde__pickle_chunk){pickle->chunks, 0, room};
    pickle->chunks = chunk;
    pickle->held += room;
    return chunk;
}

void *sonde__pickle_alloc(sonde__pickle *pickle, size_t count, size_t size)
{
    size_t bytes = 0;
    if (!sonde__multiply(count, size, &bytes) || bytes > ARENA_MAX)
        bytes = ARENA_MAX; /* is refused in add_chunk */
    bytes = (bytes + 7) / 8 * 8;
    sonde__pickle_chunk *chunk = pickle->chunks;
    if (!chunk || chunk->room - chunk->used < bytes)
        chunk = add_chunk(pickle, bytes);
    if (!chunk)
        return NULL;
    void *block = (uint8_t *)(chunk + 1) + chunk->used;
    chunk->used += bytes;
    return block;
}

void sonde__pickle_free(sonde__pickle *pickle)
{
    if (!pickle)
        return;
    while (pickle->chunks) {
        sonde__pickle_chunk *chunk = pickle->chunks;
        pickle->chunks = chunk->next;
        sonde__free(pickle->context, chunk);
    }
    sonde__free(pickle->context, pickle->storages);
    sonde__free(pickle->context, pickle);
}

sonde__pickle_value *sonde__pickle_new(sonde__unpickler *u, sonde__pickle_kind kind)
{
    sonde__pickle_value *value = sonde__pickle_alloc(u->pickle, 1, sizeof *value);
    if (!value)
        return NULL;
    *value = (sonde__pickle_value){.kind = (uint8_t)kind, .at = (uint32_t)u->opcode};
    u->pickle->values++;
    return value;
}

static sonde_status failed(const sonde__unpickler *u)
{
    return sonde_context_error(u->context)->status;
}

/* Into a larger array; the old one stays in its chunk, so that others may still point to it. */
sonde_status sonde__pickle_append(sonde__pickle *pickle, sonde__pickle_list *list,
                                  sonde__pickle_value *item)
{
    if (list->count == list->room) {
        size_t room = list->room ? 2 * list->room : 4;
        sonde__pickle_value **items = sonde__pickle_alloc(pickle, room, sizeof *items);
        if (!items)
            return sonde_context_error(pickle->context)->status;
        if (list->count)
            memcpy(items, list->items, list->count * sizeof *items);
        list->items = items;
        list->room = room;
    }
    list->items[list->count++] = item;
    return SONDE_OK;
}

/* --- the stack ---------------------------------------------------------------------------------- */

sonde_status sonde__pickle_room(sonde__unpickler *u, void **block, size_t needed, size_t *room,
                                size_t size)
{
    if (needed <= *room)
        return SONDE_OK;
    size_t larger = 2 * *room < needed ? needed : 2 * *room;
    larger = larger < 64 ? 64 : larger;
    void *grown = sonde__resize(u->context, *block, larger, size);
    if (!grown)
        return failed(u);
    *block = grown;
    *room = larger;
    return SONDE_OK;
}

sonde_status sonde__pickle_push(sonde__unpickler *u, sonde__pickle_value *value)
{
    void *block = u->stack;
    SONDE_TRY(
        sonde__pickle_room(u, &block, u->depth + 1, &u->stack_room, sizeof(sonde__pickle_value *)));
    u->stack = block;
    u->stack[u->depth++] = value;
    return SONDE_OK;
}

sonde_status sonde__pickle_push_new(sonde__unpickler *u, sonde__pickle_kind kind,
                                    sonde__pickle_value **value)
{
    *value = sonde__pickle_new(u, kind);
    return *value ? sonde__pickle_push(u, *value) : failed(u);
}

sonde_status sonde__pickle_push_text(sonde__unpickler *u, sonde__pickle_kind kind,
                                     const void *bytes, size_t size)
{
    sonde__pickle_value *value = NULL;
    SONDE_TRY(sonde__pickle_push_new(u, kind, &value));
    value->as.text = (sonde__pickle_text){bytes, size};
    return SONDE_OK;
}

static size_t stack_floor(const sonde__unpickler *u)
{
    return u->mark_count ? u->marks[u->mark_count - 1] : 0;
}

sonde_status sonde__pickle_top(sonde__unpickler *u, sonde__pickle_value **value)
{
    if (u->depth <= stack_floor(u))
        return sonde__unpickle_fail(u, SONDE_ERROR_FORMAT,
                                    "an opcode takes more from the stack than is on it");
    *value = u->stack[u->depth - 1];
    return SONDE_OK;
}

sonde_status sonde__pickle_pop(sonde__unpickler *u, sonde__pickle_value **value)
{
    SONDE_TRY(sonde__pickle_top(u, value));
    u->depth--;
    return SONDE_OK;
}

sonde_status sonde__pickle_mark(sonde__unpickler *u)
{
    void *block = u->marks;
    SONDE_TRY(sonde__pickle_room(u, &block, u->mark_count + 1, &u->mark_room, sizeof *u->marks));
    u->marks = block;
    u->marks[u->mark_count++] = u->depth;
    return SONDE_OK;
}

sonde_status sonde__pickle_pop_mark(sonde__unpickler *u, sonde__pickle_value ***items,
                                    size_t *count)
{
    if (u->mark_count == 0)
        return sonde__unpickle_fail(u, SONDE_ERROR_FORMAT,
                                    "an opcode needs a mark on the stack and there is none");
    size_t mark = u->marks[--u->mark_count];
    *items = u->stack ? u->stack + mark : NULL;
    *count = u->depth - mark;
    u->depth = mark;
    return SONDE_OK;
}

/* --- what others ask of a pickle ---------------------------------------------------------------- */

sonde__pickle_value *sonde__pickle_root(const sonde__pickle *pickle)
{
    return pickle->root;
}

size_t sonde__pickle_values(const sonde__pickle *pickle)
{
    return pickle->values;
}

size_t sonde__pickle_bytes(const sonde__pickle *pickle)
{
    return pickle->source.size;
}

const sonde__pickle_storage *const *sonde__pickle_storages(const sonde__pickle *pickle,
                                                           size_t *count)
{
    *count = pickle->storage_count;
    return pickle->storages;
}

bool sonde__pickle_is_array(const sonde__pickle_value *value)
{
    const char *name = "numpy.ndarray";
    return value->kind == SONDE__PICKLE_OTHER && value->as.text.size == strlen(name) &&
           memcmp(value->as.text.bytes, name, strlen(name)) == 0;
}

bool sonde__pickle_is_text(const sonde__pickle_value *value, const char *text)
{
    return (value->kind == SONDE__PICKLE_STRING || value->kind == SONDE__PICKLE_BYTES) &&
           value->as.text.size == strlen(text) &&
           memcmp(value->as.text.bytes, text, value->as.text.size) == 0;
}

sonde__pickle_value *sonde__pickle_get(const sonde__pickle_value *dict, const char *key)
{
    sonde__pickle_value *found = NULL;
    for (size_t i = 0; dict->kind == SONDE__PICKLE_DICT && i + 1 < dict->as.list.count; i += 2)
        if (sonde__pickle_is_text(dict->as.list.items[i], key))
            found = dict->as.list.items[i + 1];
    return found;
}
