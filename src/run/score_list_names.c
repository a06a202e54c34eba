/*
 * Lists of architectures: from the command line, from a file, or a whole space.
 *
 * Invariant: no architecture stands in a list twice, since results are found again by its name.
 */
#include "run/score_list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/path.h"
#include "base/random.h"
#include "base/text.h"
#include "net/arch.h"
#include "net/nb201.h"

/* A list of a million names is a mistake, not a list. */
enum { LIST_BYTES_MAX = 64 << 20, NAMES_MAX = 1 << 20, SPEC_MAX = SONDE__CONFIG_TEXT_MAX };

void sonde__arch_names_init(sonde__arch_names *names, sonde_context *context)
{
    *names = (sonde__arch_names){.context = context};
}

void sonde__arch_names_free(sonde__arch_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        sonde__free(names->context, names->items[i].spec);
    sonde__free(names->context, names->items);
    sonde__free(names->context, names->path);
    *names = (sonde__arch_names){.context = names->context};
}

static sonde_status grow(sonde__arch_names *names)
{
    if (names->count < names->capacity)
        return SONDE_OK;
    const size_t capacity = names->capacity ? 2 * names->capacity : 16;
    sonde__arch_name *items =
        sonde__resize(names->context, names->items, capacity, sizeof *names->items);
    if (!items)
        return SONDE_ERROR_MEMORY;
    names->items = items;
    names->capacity = capacity;
    return SONDE_OK;
}

static sonde_status add(sonde__arch_names *names, const char *spec, size_t length, size_t line)
{
    if (length >= SPEC_MAX || names->count >= NAMES_MAX)
        return sonde__fail_at(names->context, SONDE_ERROR_RANGE, names->path, "list", -1,
                              length >= SPEC_MAX
                                  ? "an architecture's name is over %d bytes long"
                                  : "the list has more than %d architectures; split it",
                              length >= SPEC_MAX ? (int)SPEC_MAX : (int)NAMES_MAX);
    SONDE_TRY(grow(names));
    char *copy = sonde__alloc(names->context, length + 1, 1);
    if (!copy)
        return SONDE_ERROR_MEMORY;
    memcpy(copy, spec, length);
    copy[length] = 0;
    names->items[names->count++] = (sonde__arch_name){.spec = copy, .line = line};
    return SONDE_OK;
}

/* ---- each once ------------------------------------------------------------------------------- */

static int by_spec(const void *a, const void *b)
{
    const sonde__arch_name *const *x = a, *const *y = b;
    const int order = strcmp((*x)->spec, (*y)->spec);
    return order ? order : (*x > *y) - (*x < *y);
}

/* Keeps the first of equal names. */
static sonde_status drop_repeated(sonde__arch_names *names)
{
    sonde__arch_name **sorted = sonde__alloc(names->context, names->count, sizeof *sorted);
    if (!sorted)
        return SONDE_ERROR_MEMORY;
    for (size_t i = 0; i < names->count; i++)
        sorted[i] = &names->items[i];
    qsort(sorted, names->count, sizeof *sorted, by_spec);
    for (size_t i = 1, first = 0; i < names->count; i++) {
        if (strcmp(sorted[first]->spec, sorted[i]->spec) != 0) {
            first = i;
            continue;
        }
        sonde__free(names->context, sorted[i]->spec);
        sorted[i]->spec = NULL;
        sorted[i] = sorted[first];
    }
    sonde__free(names->context, sorted);
    size_t kept = 0;
    for (size_t i = 0; i < names->count; i++)
        if (names->items[i].spec)
            names->items[kept++] = names->items[i];
    names->count = kept;
    return SONDE_OK;
}

sonde_status sonde__arch_names_add(sonde__arch_names *names, const char *spec)
{
    SONDE_TRY(add(names, spec, strlen(spec), 0));
    return drop_repeated(names);
}

/* ---- whole spaces ---------------------------------------------------------------------------- */

static sonde_status add_nb201(sonde__arch_names *names)
{
    sonde__nb201_cell *cells = sonde__alloc(names->context, SONDE__NB201_CELLS, sizeof *cells);
    if (!cells)
        return SONDE_ERROR_MEMORY;
    sonde_status status = sonde__nb201_list(names->context, cells, SONDE__NB201_CELLS);
    for (int i = 0; i < SONDE__NB201_CELLS && status == SONDE_OK; i++) {
        char spec[SONDE__NB201_TEXT + 8] = "nb201:";
        sonde__nb201_write(&cells[i], spec + strlen(spec));
        status = add(names, spec, strlen(spec), 0);
    }
    sonde__free(names->context, cells);
    return status;
}

/* DisWOT's 64 networks: 1, 3, 5 or 7 blocks in each of three stages. */
static sonde_status add_s1(sonde__arch_names *names)
{
    for (int i = 0; i < 64; i++) {
        char spec[16];
        const int length = snprintf(spec, sizeof spec, "s1:%d%d%d", 2 * (i / 16) + 1,
                                    2 * (i / 4 % 4) + 1, 2 * (i % 4) + 1);
        SONDE_TRY(add(names, spec, (size_t)length, 0));
    }
    return SONDE_OK;
}

/* ---- files ----------------------------------------------------------------------------------- */

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static sonde_status add_lines(sonde__arch_names *names, const char *text, size_t size)
{
    size_t line = 0;
    if (memchr(text, 0, size))
        return sonde__fail_at(names->context, SONDE_ERROR_ARGUMENT, names->path, NULL, -1,
                              "%s is no list of architectures: it holds NUL bytes", names->path);
    for (const char *at = text; *at; line++) {
        const char *const end = at + strcspn(at, "\n");
        const char *first = at, *last = at + strcspn(at, "#\n");
        while (first < last && is_space(*first))
            first++;
        while (last > first && is_space(last[-1]))
            last--;
        if (last > first)
            SONDE_TRY(add(names, first, (size_t)(last - first), line + 1));
        at = *end ? end + 1 : end;
    }
    return SONDE_OK;
}

static sonde_status add_file(sonde__arch_names *names, const char *path)
{
    void *text = NULL;
    size_t size = 0;
    names->path = sonde__copy_string(names->context, path);
    if (!names->path)
        return SONDE_ERROR_MEMORY;
    SONDE_TRY(sonde__read_file(names->context, path, LIST_BYTES_MAX, &text, &size));
    const size_t before = names->count;
    sonde_status status = add_lines(names, text, size);
    sonde__free(names->context, text);
    if (status == SONDE_OK && names->count == before)
        status = sonde__fail_at(names->context, SONDE_ERROR_ARGUMENT, path, NULL, -1,
                                "%s names no architecture; write one a line", path);
    return status;
}

sonde_status sonde__arch_names_read(sonde__arch_names *names, const char *list)
{
    sonde_status status;
    if (strcmp(list, "all-nb201") == 0)
        status = add_nb201(names);
    else if (strcmp(list, "all-s1") == 0)
        status = add_s1(names);
    else
        status = add_file(names, list);
    return status == SONDE_OK ? drop_repeated(names) : status;
}

/* ---- use ------------------------------------------------------------------------------------- */

void sonde__arch_names_sample(sonde__arch_names *names, size_t count, uint64_t seed)
{
    if (count >= names->count)
        return;
    sonde__stream stream = sonde__stream_open(seed, SONDE__RANDOM_SHUFFLE, 0);
    size_t kept = 0;
    /* Selection sampling (Knuth, algorithm S): each with the chance that is left for it. */
    for (size_t i = 0; i < names->count; i++) {
        if (sonde__random_below(&stream, names->count - i) < count - kept)
            names->items[kept++] = names->items[i];
        else
            sonde__free(names->context, names->items[i].spec);
    }
    names->count = kept;
}

sonde_status sonde__arch_names_check(const sonde__arch_names *names, sonde__shape input,
                                     int classes)
{
    char detail[1024];
    for (size_t i = 0; i < names->count; i++) {
        const sonde__arch_name *name = &names->items[i];
        sonde__graph *graph = NULL;
        const sonde_status status =
            sonde__arch_build(names->context, name->spec, input, classes, -1, &graph);
        sonde__graph_free(graph);
        if (status == SONDE_OK)
            continue;
        snprintf(detail, sizeof detail, "%s", sonde_context_error(names->context)->message);
        /* A name that nothing can be built from is wrong use, however it is wrong. */
        const sonde_status kind = status == SONDE_ERROR_MEMORY ? status : SONDE_ERROR_ARGUMENT;
        if (name->line)
            return sonde__fail_at(names->context, kind, names->path, NULL, -1, "%s, line %zu: %s",
                                  names->path, name->line, detail);
        return sonde__fail_at(names->context, kind, NULL, name->spec, -1, "%s", detail);
    }
    return SONDE_OK;
}
