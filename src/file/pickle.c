/*
 * The pickle machine (Python's pickletools.py describes every opcode): the loop, the memo, and the
 * opcodes that move what is on the stack into containers.
 *
 * It never recurses, never reads past its bytes, and each step takes time and memory in proportion
 * to the bytes that were read. The memo is an array that no claimed index can make larger than the
 * stream.
 */
#include "file/pickle.h"

#include <stdarg.h>
#include <string.h>

#include "base/text.h"
#include "file/pickle_internal.h"

enum { MESSAGE = 1024, SIZE_MAX_BYTES = 1 << 30, PROTOCOL_MAX = 5, CANCEL_EVERY = 1 << 16 };

/* --- errors and bytes --------------------------------------------------------------------------- */

static sonde_status fail_list(const sonde__pickle *pickle, size_t at, sonde_status status,
                              const char *format, va_list arguments)
{
    char message[MESSAGE];
    const sonde__pickle_source *source = &pickle->source;
    const bool placed = source->offset < INT64_MAX - source->size;
    sonde__vformat(message, sizeof message, format, arguments);
    return sonde__fail_at(pickle->context, status, source->path, source->item,
                          placed ? (int64_t)(source->offset + at) : -1,
                          "%s: %s: %s, at byte %zu of the pickle", source->path,
                          source->item ? source->item : "pickle", message, at);
}

sonde_status sonde__pickle_fail(const sonde__pickle *pickle, const sonde__pickle_value *value,
                                sonde_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    status = fail_list(pickle, value ? value->at : 0, status, format, arguments);
    va_end(arguments);
    return status;
}

sonde_status sonde__unpickle_fail(sonde__unpickler *u, sonde_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    status = fail_list(u->pickle, u->opcode, status, format, arguments);
    va_end(arguments);
    return status;
}

static sonde_status run_out(sonde__unpickler *u)
{
    u->ran_out = u->pickle->source.more;
    if (u->ran_out)
        return SONDE_ERROR_TRUNCATED;
    return sonde__unpickle_fail(u, SONDE_ERROR_TRUNCATED,
                                "it ends before its STOP opcode; fetch the file again");
}

sonde_status sonde__pickle_take(sonde__unpickler *u, size_t size, const uint8_t **bytes)
{
    if (size > u->size - u->at)
        return run_out(u);
    *bytes = u->bytes + u->at;
    u->at += size;
    return SONDE_OK;
}

sonde_status sonde__pickle_take_number(sonde__unpickler *u, size_t size, uint64_t *number)
{
    const uint8_t *bytes = NULL;
    SONDE_TRY(sonde__pickle_take(u, size, &bytes));
    *number = 0;
    for (size_t i = 0; i < size; i++)
        *number |= (uint64_t)bytes[i] << (8 * i);
    return SONDE_OK;
}

sonde_status sonde__pickle_take_line(sonde__unpickler *u, const char **line, size_t *size)
{
    const uint8_t *start = u->bytes + u->at;
    const uint8_t *end = u->at < u->size ? memchr(start, '\n', u->size - u->at) : NULL;
    if (!end)
        return run_out(u);
    *line = (const char *)start;
    *size = (size_t)(end - start);
    u->at += *size + 1;
    return SONDE_OK;
}

/* --- the memo ----------------------------------------------------------------------------------- */

/* Python numbers its entries in order, from 0 or 1: an index as large as the stream is a lie. */
static sonde_status memo_put(sonde__unpickler *u, uint64_t index)
{
    sonde__pickle_value *value = NULL;
    SONDE_TRY(sonde__pickle_top(u, &value));
    if (index >= u->size)
        return sonde__unpickle_fail(u, SONDE_ERROR_FORMAT,
                                    "it numbers a memo entry %llu, more than it has bytes",
                                    (unsigned long long)index);
    size_t before = u->memo_room;
    void *block = u->memo;
    SONDE_TRY(sonde__pickle_room(u, &block, (size_t)index + 1, &u->memo_room, sizeof *u->memo));
    u->memo = block;
    for (size_t i = before; i < u->memo_room; i++)
        u->memo[i] = NULL;
    u->memo_count += u->memo[index] == NULL;
    u->memo[index] = value;
    return SONDE_OK;
}

static sonde_status memo_get(sonde__unpickler *u, uint64_t index)
{
    if (index >= u->memo_room || !u->memo[index])
        return sonde__unpickle_fail(u, SONDE_ERROR_FORMAT,
                                    "it asks for memo entry %llu, which was never stored",
                                    (unsigned long long)index);
    return sonde__pickle_push(u, u->memo[index]);
}

static sonde_status line_index(sonde__unpickler *u, uint64_t *index)
{
    const char *line = NULL;
    size_t size = 0;
    SONDE_TRY(sonde__pickle_take_line(u, &line, &size));
    *index = 0;
    for (size_t i = 0; i < size; i++) {
        if (line[i] < '0' || line[i] > '9' || size > 18)
            return sonde__unpickle_fail(u, SONDE_ERROR_FORMAT,
                                        "the number of a memo entry is not one");
        *index = 10 * *index + (uint64_t)(line[i] - '0');
    }
    return SONDE_OK;
}

static sonde_status op_put(sonde__unpickler *u)
{
    uint64_t index = 0;
    const uint8_t opcode = u->bytes[u->opcode];
    SONDE_TRY(opcode == 'p' ? line_index(u, &index)
                            : sonde__pickle_take_number(u, opcode == 'q' ? 1 : 4, &index));
    return memo_put(u, index);
}

static sonde_status op_memoize(sonde__unpickler *u)
{
    return memo_put(u, u->memo_count);
}

static sonde_status op_get(sonde__unpickler *u)
{
    uint64_t index = 0;
    const uint8_t opcode = u->bytes[u->opcode];
    SONDE_TRY(opcode == 'g' ? line_index(u, &index)
                            : sonde__pickle_take_number(u, opcode == 'h' ? 1 : 4, &index));
    return memo_get(u, index);
}

/* --- the stack ---------------------------------------------------------------------------------- */

static sonde_status op_pop(sonde__unpickler *u)
{
    sonde__pickle_value *value = NULL;
    sonde__pickle_value **items = NULL;
    size_t count = 0;
    /* On an empty part of the stack it takes the mark, as Python does. */
    if (u->mark_count && u->marks[u->mark_count - 1] == u->depth)
        return sonde__pickle_pop_mark(u, &items, &count);
    return sonde__pickle_pop(u, &value);
}

static sonde_status op_pop_mark(sonde__unpickler *u)
{
    sonde__pickle_value **items = NULL;
    size_t count = 0;
    return sonde__pickle_pop_mark(u, &items, &count);
}

static sonde_status op_dup(sonde__unpickler *u)
{
    sonde__pickle_value *value = NULL;
    SONDE_TRY(sonde__pickle_top(u, &value));
    return sonde__pickle_push(u, value);
}

static sonde_status op_stop(sonde__unpickler *u)
{
    SONDE_TRY(sonde__pickle_pop(u, &u->pickle->root));
    if (u->depth != 0 || u->mark_count != 0)
        return sonde__unpickle_fail(u, SONDE_ERROR_FORMAT,
                                    "it stops with more than one value on the stack");
    u->stopped = true;
    return SONDE_OK;
}

static sonde_status op_protocol(sonde__unpickler *u)
{
    uint64_t protocol = 0;
    SONDE_TRY(sonde__pickle_take_number(u, 1, &protocol));
    if (protocol > PROTOCOL_MAX)
        return sonde__unpickle_fail(u, SONDE_ERROR_UNSUPPORTED,
                                    "its protocol is %u; 0 to 5 are known", (unsigned)protocol);
    return SONDE_OK;
}

/* A frame only tells how much a reader may fetch at once. */
static sonde_status op_frame(sonde__unpickler *u)
{
    uint64_t size = 0;
    SONDE_TRY(sonde__pickle_take_number(u, 8, &size));
    return size > u->size - u->at ? run_out(u) : SONDE_OK;
}

/* --- containers --------------------------------------------------------------------------------- */

/* A container of the items, in order. */
static sonde_status collect(sonde__unpickler *u, sonde__pickle_kind kind,
                            sonde__pickle_value *const *items, size_t count)
{
    sonde__pickle_value *value = sonde__pickle_new(u, kind);
    if (!value)
        return sonde_context_error(u->context)->status;
    if (count) {
        value->as.list.items = sonde__pickle_alloc(u->pickle, count, sizeof *items);
        if (!value->as.list.items)
            return sonde_context_error(u->context)->status;
        memcpy(value->as.list.items, items, count * sizeof *items);
    }
    value->as.list.count = value->as.list.room = count;
    return sonde__pickle_push(u, value);
}

static sonde_status collect_marked(sonde__unpickler *u, sonde__pickle_kind kind)
{
    sonde__pickle_value **items = NULL;
    size_t count = 0;
    SONDE_TRY(sonde__pickle_pop_mark(u, &items, &count));
    if (kind == SONDE__PICKLE_DICT && count % 2 != 0)
        return sonde__unpickle_fail(u, SONDE_ERROR_FORMAT, "a dictionary has a key without value");
    return collect(u, kind, items, count);
}

static sonde_status collect_top(sonde__unpickler *u, size_t count)
{
    sonde__pickle_value *items[3] = {NULL, NULL, NULL};
    for (size_t i = count; i-- > 0;)
        SONDE_TRY(sonde__pickle_pop(u, &items[i]));
    return collect(u, SONDE__PICKLE_TUPLE, items, count);
}

static sonde_status op_tuple(sonde__unpickler *u)
{
    return collect_marked(u, SONDE__PICKLE_TUPLE);
}

static sonde_status op_list(sonde__unpickler *u)
{
    return collect_marked(u, SONDE__PICKLE_LIST);
}

static sonde_status op_dict(sonde__unpickler *u)
{
    return collect_marked(u, SONDE__PICKLE_DICT);
}

static sonde_status op_frozen_set(sonde__unpickler *u)
{
    return collect_marked(u, SONDE__PICKLE_SET);
}

static sonde_status op_short_tuple(sonde__unpickler *u)
{
    return collect_top(u, (size_t)(u->bytes[u->opcode] - 0x84));
}

static sonde_status op_empty(sonde__unpickler *u)
{
    switch (u->bytes[u->opcode]) {
    case ')':
        return collect(u, SONDE__PICKLE_TUPLE, NULL, 0);
    case ']':
        return collect(u, SONDE__PICKLE_LIST, NULL, 0);
    case '}':
        return collect(u, SONDE__PICKLE_DICT, NULL, 0);
    default:
        return collect(u, SONDE__PICKLE_SET, NULL, 0);
    }
}

/* Adds to the container on top of the stack, which must be of the kind. */
static sonde_status add_items(sonde__unpickler *u, sonde__pickle_kind kind,
                              sonde__pickle_value *const *items, size_t count)
{
    sonde__pickle_value *container = NULL;
    SONDE_TRY(sonde__pickle_top(u, &container));
    if (container->kind != kind)
        return sonde__unpickle_fail(u, SONDE_ERROR_UNSUPPORTED,
                                    "it adds items to something that is no list, dictionary or "
                                    "set");
    for (size_t i = 0; i < count; i++)
        SONDE_TRY(sonde__pickle_append(u->pickle, &container->as.list, items[i]));
    return SONDE_OK;
}

static sonde_status add_marked(sonde__unpickler *u, sonde__pickle_kind kind)
{
    sonde__pickle_value **items = NULL;
    size_t count = 0;
    SONDE_TRY(sonde__pickle_pop_mark(u, &items, &count));
    if (kind == SONDE__PICKLE_DICT && count % 2 != 0)
        return sonde__unpickle_fail(u, SONDE_ERROR_FORMAT, "a dictionary has a key without value");
    return add_items(u, kind, items, count);
}

static sonde_status op_append(sonde__unpickler *u)
{
    sonde__pickle_value *item = NULL;
    SONDE_TRY(sonde__pickle_pop(u, &item));
    return add_items(u, SONDE__PICKLE_LIST, &item, 1);
}

static sonde_status op_appends(sonde__unpickler *u)
{
    return add_marked(u, SONDE__PICKLE_LIST);
}

static sonde_status op_set_item(sonde__unpickler *u)
{
    sonde__pickle_value *pair[2] = {NULL, NULL};
    SONDE_TRY(sonde__pickle_pop(u, &pair[1]));
    SONDE_TRY(sonde__pickle_pop(u, &pair[0]));
    return add_items(u, SONDE__PICKLE_DICT, pair, 2);
}

static sonde_status op_set_items(sonde__unpickler *u)
{
    return add_marked(u, SONDE__PICKLE_DICT);
}

static sonde_status op_add_items(sonde__unpickler *u)
{
    return add_marked(u, SONDE__PICKLE_SET);
}

/* --- the loop ----------------------------------------------------------------------------------- */

static const sonde__pickle_operation OPERATIONS[256] = {
    ['('] = sonde__pickle_mark,
    ['.'] = op_stop,
    ['0'] = op_pop,
    ['1'] = op_pop_mark,
    ['2'] = op_dup,
    ['p'] = op_put,
    ['q'] = op_put,
    ['r'] = op_put,
    [0x94] = op_memoize,
    ['g'] = op_get,
    ['h'] = op_get,
    ['j'] = op_get,
    [0x80] = op_protocol,
    [0x95] = op_frame,
    ['t'] = op_tuple,
    ['l'] = op_list,
    ['d'] = op_dict,
    [0x91] = op_frozen_set,
    [0x85] = op_short_tuple,
    [0x86] = op_short_tuple,
    [0x87] = op_short_tuple,
    [')'] = op_empty,
    [']'] = op_empty,
    ['}'] = op_empty,
    [0x8f] = op_empty,
    ['a'] = op_append,
    ['e'] = op_appends,
    ['s'] = op_set_item,
    ['u'] = op_set_items,
    [0x90] = op_add_items,
};

static sonde_status step(sonde__unpickler *u)
{
    u->opcode = u->at;
    if (u->at == u->size)
        return run_out(u);
    const uint8_t opcode = u->bytes[u->at++];
    sonde__pickle_operation operation = OPERATIONS[opcode];
    if (!operation)
        operation = sonde__pickle_scalar(opcode);
    if (!operation)
        operation = sonde__pickle_object(opcode);
    if (!operation)
        return sonde__unpickle_fail(u, SONDE_ERROR_FORMAT, "byte 0x%02x is no opcode", opcode);
    return operation(u);
}

static sonde_status run(sonde__unpickler *u)
{
    for (size_t i = 1; !u->stopped; i++) {
        if (i % CANCEL_EVERY == 0 && sonde__cancelled(u->context))
            return sonde__fail(u->context, SONDE_ERROR_CANCELLED, "reading was cancelled");
        SONDE_TRY(step(u));
    }
    return SONDE_OK;
}

sonde_status sonde__pickle_read(sonde_context *context, const sonde__pickle_source *source,
                                sonde__pickle **out, size_t *end)
{
    sonde__pickle *pickle = sonde__alloc_zero(context, 1, sizeof *pickle);
    if (!pickle)
        return sonde_context_error(context)->status;
    pickle->context = context;
    pickle->source = *source;
    sonde__unpickler u = {
        .pickle = pickle, .context = context, .bytes = source->bytes, .size = source->size};
    sonde_status status =
        source->size > SIZE_MAX_BYTES
            ? sonde__unpickle_fail(&u, SONDE_ERROR_UNSUPPORTED, "it is larger than 1 GiB")
            : run(&u);
    sonde__free(context, u.stack);
    sonde__free(context, u.marks);
    sonde__free(context, u.memo);
    if (status != SONDE_OK) {
        sonde__pickle_free(pickle);
        return status;
    }
    if (end)
        *end = u.at;
    *out = pickle;
    return SONDE_OK;
}
