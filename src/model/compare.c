/*
 * Two models, tensor by tensor: which are equal, which differ and by how much.
 *
 * Tensors are matched by name. Where all names of a model begin alike up to a dot ("module.",
 * "model.encoder."), that beginning is left out of one or both models if more names match then; and
 * where one model is as a whole a part of the other ("state_dict.", beside an optimizer's state), it
 * is compared with that part. The numbers are compared in slices, as exact values: also integers of
 * 64 bits, which are not all doubles, are the sum of a double and a small rest. Of formats that are
 * listed but not read the stored bytes are compared.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "file/model_internal.h"

enum { SLICE = 1 << 13, SLICE_LEAST = 256, NAME_ROOM = 2048, LEVELS = 8, LANES = 8 };

struct sonde_comparison {
    sonde_context *context;
    sonde_tensor_difference *tensors;
    size_t count;
    char *names; /* one behind the other */
};

/* --- names -------------------------------------------------------------------------------------- */

/* One model's part: its handle, and the beginning that all its names share. */
typedef struct side {
    sonde_model *model;
    size_t count;
    const char *shared;     /* the first name */
    size_t lengths[LEVELS]; /* of "", "a.", "a.b.", ...: beginnings of it that all names have */
    int levels;
} side;

typedef struct matching {
    const side *first, *second;
    size_t drop_first, drop_second; /* bytes left out of every name */
} matching;

static const char *name_at(const side *s, size_t index)
{
    sonde_tensor tensor;
    if (sonde_model_tensor(s->model, index, &tensor) != SONDE_OK)
        return "";
    return tensor.name;
}

static void find_shared(side *s)
{
    s->lengths[0] = 0;
    s->levels = 1;
    if (s->count == 0)
        return;
    s->shared = name_at(s, 0);
    size_t common = strlen(s->shared);
    for (size_t i = 1; i < s->count; i++) {
        const char *name = name_at(s, i);
        size_t same = 0;
        while (same < common && name[same] == s->shared[same])
            same++;
        common = same;
    }
    for (size_t i = 0; i < common && s->levels < LEVELS; i++)
        if (s->shared[i] == '.' && s->shared[i + 1] != '\0')
            s->lengths[s->levels++] = i + 1;
}

/* The tensor of the second model that belongs to a name of the first. */
static bool partner(const matching *m, const char *name, size_t *index)
{
    char other[NAME_ROOM];
    if (m->drop_first > 0 && strncmp(name, m->first->shared, m->drop_first) != 0)
        return false;
    const size_t rest = strlen(name) - m->drop_first;
    if (m->drop_second + rest >= sizeof other)
        return false;
    if (m->drop_second > 0)
        memcpy(other, m->second->shared, m->drop_second);
    memcpy(other + m->drop_second, name + m->drop_first, rest);
    other[m->drop_second + rest] = '\0';
    return sonde__model_lookup(m->second->model, other, m->drop_second + rest, index);
}

static size_t count_matches(const matching *m)
{
    size_t count = 0, index;
    for (size_t i = 0; i < m->first->count; i++)
        count += partner(m, name_at(m->first, i), &index);
    return count;
}

/* Bytes in front of the first name in `s` that ends with ".NAME"; 0: there is none. */
static size_t find_part(side *s, const char *name)
{
    const size_t length = strlen(name);
    for (size_t i = 0; i < s->count; i++) {
        const char *longer = name_at(s, i);
        const size_t all = strlen(longer);
        if (all <= length + 1 || longer[all - length - 1] != '.' ||
            strcmp(longer + all - length, name) != 0)
            continue;
        s->shared = longer;
        return all - length;
    }
    return 0;
}

/* One model as a whole in a part of the other. */
static bool match_part(side *first, side *second, matching *found)
{
    if (first->count == 0 || second->count == 0)
        return false;
    matching tried = {first, second, 0, 0};
    if (first->count < second->count)
        tried.drop_second = find_part(second, name_at(first, 0));
    else if (second->count < first->count)
        tried.drop_first = find_part(first, name_at(second, 0));
    const size_t whole = first->count < second->count ? first->count : second->count;
    if (tried.drop_first + tried.drop_second == 0 || count_matches(&tried) < whole)
        return false;
    *found = tried;
    return true;
}

/* Leaves out what makes most names match, and as little as possible. */
static matching best_matching(side *first, side *second)
{
    matching best = {first, second, 0, 0};
    size_t most = count_matches(&best);
    const size_t all = first->count < second->count ? first->count : second->count;
    for (int i = 0; i < first->levels; i++)
        for (int j = 0; j < second->levels; j++) {
            const bool whole = i == first->levels - 1 && j == second->levels - 1;
            if (most == all || (i > 0 && j > 0 && !whole))
                continue;
            const matching tried = {first, second, first->lengths[i], second->lengths[j]};
            const size_t matches = count_matches(&tried);
            if (matches > most) {
                most = matches;
                best = tried;
            }
        }
    if (most == 0)
        (void)match_part(first, second, &best);
    return best;
}

/* --- sums --------------------------------------------------------------------------------------- */

/* scale^2 * sum: squares that neither overflow nor vanish. */
typedef struct squares {
    double scale, sum;
} squares;

/* A power of two that brings the largest near 1; 1 for all usual numbers. */
static double scale_for(double largest)
{
    if (largest > 0x1p-400 && largest < 0x1p500)
        return 1;
    const int exponent = ilogb(fmin(largest, DBL_MAX));
    return ldexp(1, exponent > -1000 ? exponent : -1000);
}

/* Of finite numbers; magnitudes are ordered as their bits are, whose maximum is a vector's. */
SONDE_CLONES static double largest_of(const double *values, size_t n)
{
    uint64_t most = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        bits &= UINT64_MAX >> 1;
        most = bits > most ? bits : most;
    }
    double largest;
    memcpy(&largest, &most, sizeof largest);
    return largest;
}

SONDE_CLONES static double sum_of_squares(const double *values, size_t n, double factor)
{
    double sums[LANES] = {0};
    for (size_t i = 0; i + LANES <= n; i += LANES)
        for (size_t lane = 0; lane < LANES; lane++) {
            const double value = values[i + lane] * factor;
            sums[lane] += value * value;
        }
    for (size_t i = n - n % LANES; i < n; i++)
        sums[0] += values[i] * factor * (values[i] * factor);
    for (size_t lane = 1; lane < LANES; lane++)
        sums[0] += sums[lane];
    return sums[0];
}

/* The largest magnitude, whose square goes into the total with all others. */
static double add_squares(squares *total, const double *values, size_t n)
{
    const double largest = largest_of(values, n);
    if (largest == 0)
        return 0;
    const double scale = scale_for(largest), shrink = scale / total->scale;
    const double sum = sum_of_squares(values, n, 1 / scale);
    if (total->sum == 0) {
        *total = (squares){scale, sum};
    } else if (shrink > 1) {
        total->sum = total->sum / shrink / shrink + sum;
        total->scale = scale;
    } else {
        total->sum += sum * shrink * shrink;
    }
    return largest;
}

static double relative_norm(const squares *difference, const squares *of)
{
    if (difference->sum == 0)
        return 0;
    if (of->sum == 0)
        return HUGE_VAL;
    return sqrt(difference->sum / of->sum) * (difference->scale / of->scale);
}

/* --- numbers ------------------------------------------------------------------------------------ */

/* One side of a pair of tensors; a slice of it is values + rests. */
typedef struct operand {
    sonde_model *model;
    size_t index;
    sonde_tensor tensor;
    double *values, *rests;
} operand;

typedef struct pair {
    operand a, b;
    size_t room; /* elements of a slice */
    squares first, difference;
} pair;

static bool is_long_integer(sonde_number number)
{
    return number == SONDE_NUMBER_I64 || number == SONDE_NUMBER_U64;
}

/* Integers of 64 bits in `rest` (bits) become the nearest double and what is missing to the number:
 * at most 1024, so that unsigned arithmetic that wraps is exact. */
static void split_integers(bool is_signed, size_t n, double *values, double *rests)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t bits, back;
        memcpy(&bits, &rests[i], sizeof bits);
        int64_t as_signed;
        memcpy(&as_signed, &bits, sizeof as_signed);
        values[i] = is_signed ? (double)as_signed : (double)bits;
        if (values[i] >= 0x1p64)
            back = 0;
        else if (values[i] >= 0)
            back = (uint64_t)values[i];
        else
            back = (uint64_t)(int64_t)values[i];
        const uint64_t rest = bits - back;
        memcpy(&as_signed, &rest, sizeof as_signed);
        rests[i] = (double)as_signed;
    }
}

static sonde_status read_slice(const operand *it, uint64_t first, size_t n)
{
    if (!is_long_integer(it->tensor.number)) {
        memset(it->rests, 0, n * sizeof *it->rests);
        return sonde_model_read(it->model, it->index, first, n, SONDE_F64, it->values);
    }
    SONDE_TRY(sonde__model_read_stored(it->model, it->index, first, n, it->rests));
    split_integers(it->tensor.number == SONDE_NUMBER_I64, n, it->values, it->rests);
    return SONDE_OK;
}

/* What differs, and what is not finite: loops without branches, for the machine's vectors. */
SONDE_CLONES static void count_differences(const double *a, const double *b, const double *ra,
                                           const double *rb, size_t n, uint64_t *changed,
                                           uint64_t *nonfinite)
{
    uint64_t different = 0, odd = 0;
    for (size_t i = 0; i < n; i++) {
        const uint64_t equal = (uint64_t)(a[i] == b[i]) & (uint64_t)(ra[i] == rb[i]);
        const uint64_t both_nan = (uint64_t)(a[i] != a[i]) & (uint64_t)(b[i] != b[i]);
        different += 1 - (equal | both_nan);
        odd += (uint64_t) !(fabs(a[i]) <= DBL_MAX) + (uint64_t) !(fabs(b[i]) <= DBL_MAX);
    }
    *changed += different;
    *nonfinite += odd;
}

/* Leaves the differences in b, and in a the numbers of the first model; 0 where either is not finite. */
SONDE_CLONES static void subtract(double *restrict a, double *restrict b, const double *restrict ra,
                                  const double *restrict rb, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const double x = a[i], y = b[i], difference = (y - x) + (rb[i] - ra[i]);
        const bool finite = (fabs(x) <= DBL_MAX) & (fabs(y) <= DBL_MAX);
        b[i] = finite ? difference : 0;
        a[i] = finite ? x : 0;
    }
}

static void compare_slice(pair *p, size_t n, sonde_tensor_difference *found)
{
    double *a = p->a.values, *b = p->b.values;
    const double *ra = p->a.rests, *rb = p->b.rests;
    count_differences(a, b, ra, rb, n, &found->changed, &found->nonfinite);
    subtract(a, b, ra, rb, n);
    (void)add_squares(&p->first, a, n);
    found->largest = fmax(found->largest, add_squares(&p->difference, b, n));
}

static sonde_status compare_numbers(pair *p, sonde_tensor_difference *found)
{
    const uint64_t elements = p->a.tensor.elements;
    p->first = p->difference = (squares){1, 0};
    for (uint64_t done = 0; done < elements;) {
        const uint64_t left = elements - done;
        const size_t n = left < p->room ? (size_t)left : p->room;
        SONDE_TRY(read_slice(&p->a, done, n));
        SONDE_TRY(read_slice(&p->b, done, n));
        compare_slice(p, n, found);
        done += n;
    }
    found->relative = relative_norm(&p->difference, &p->first);
    found->difference = found->changed ? SONDE_CHANGED : SONDE_SAME;
    return SONDE_OK;
}

/* --- stored bytes ------------------------------------------------------------------------------- */

/* Of numbers that are not read, in a format that both have: elements, or blocks of them, whose bytes
 * differ. A slice of one operand is in its half of the pair's room, 16 bytes an element, which no
 * format exceeds; slices are whole blocks, as the largest has 256 elements. */
static sonde_status compare_stored(pair *p, sonde_tensor_difference *found)
{
    const sonde__number_info *info = sonde__number_find(p->a.tensor.number);
    const uint8_t *a = (const uint8_t *)p->a.values, *b = (const uint8_t *)p->a.rests;
    const uint64_t elements = p->a.tensor.elements;
    for (uint64_t done = 0; done < elements;) {
        const uint64_t left = elements - done;
        const size_t n = left < p->room ? (size_t)left : p->room;
        SONDE_TRY(sonde__model_read_stored(p->a.model, p->a.index, done, n, p->a.values));
        SONDE_TRY(sonde__model_read_stored(p->b.model, p->b.index, done, n, p->a.rests));
        for (size_t at = 0; at < n / info->elements * info->bytes; at += info->bytes)
            if (memcmp(a + at, b + at, info->bytes) != 0)
                found->changed += info->elements;
        done += n;
    }
    found->difference = found->changed ? SONDE_CHANGED : SONDE_SAME;
    return SONDE_OK;
}

static bool same_shape(const sonde_tensor *a, const sonde_tensor *b)
{
    bool same = a->dims == b->dims;
    for (int i = 0; i < a->dims && same; i++)
        same = a->shape[i] == b->shape[i];
    return same;
}

/* --- the comparison ----------------------------------------------------------------------------- */

/* Shorter slices where memory is scarce. */
static sonde_status make_room(sonde_context *context, pair *p)
{
    double *block = NULL;
    for (p->room = SLICE; p->room > SLICE_LEAST; p->room /= 2) {
        block = sonde__alloc_quiet(context, 4 * p->room, sizeof *block);
        if (block)
            break;
    }
    if (!block)
        block = sonde__alloc(context, 4 * p->room, sizeof *block);
    if (!block)
        return sonde_context_error(context)->status;
    p->a.values = block;
    p->b.values = block + p->room;
    p->a.rests = block + 2 * p->room;
    p->b.rests = block + 3 * p->room;
    return SONDE_OK;
}

static sonde_status compare_pair(pair *p, sonde_tensor_difference *found)
{
    p->a.index = (size_t)found->first;
    p->b.index = (size_t)found->second;
    SONDE_TRY(sonde_model_tensor(p->a.model, p->a.index, &p->a.tensor));
    SONDE_TRY(sonde_model_tensor(p->b.model, p->b.index, &p->b.tensor));
    found->number_differs = p->a.tensor.number != p->b.tensor.number;
    if (!same_shape(&p->a.tensor, &p->b.tensor)) {
        found->difference = SONDE_RESHAPED;
        return SONDE_OK;
    }
    if (!p->a.tensor.readable && !p->b.tensor.readable && !found->number_differs)
        return compare_stored(p, found);
    if (!p->a.tensor.readable || !p->b.tensor.readable) {
        found->difference = SONDE_UNREADABLE;
        return SONDE_OK;
    }
    return compare_numbers(p, found);
}

/* All pairs in order of the first model, then what only the second has. */
static sonde_status list_pairs(sonde_comparison *c, const matching *m)
{
    const size_t room = m->first->count + m->second->count;
    uint8_t *met = sonde__alloc_zero(c->context, m->second->count, 1);
    c->tensors = met ? sonde__alloc_zero(c->context, room, sizeof *c->tensors) : NULL;
    if (!c->tensors) {
        sonde__free(c->context, met);
        return sonde_context_error(c->context)->status;
    }
    for (size_t i = 0; i < m->first->count; i++) {
        sonde_tensor_difference *each = &c->tensors[c->count++];
        size_t index = 0;
        *each = (sonde_tensor_difference){.name = name_at(m->first, i),
                                          .difference = SONDE_ONLY_FIRST,
                                          .first = (int64_t)i,
                                          .second = -1};
        if (partner(m, each->name, &index)) {
            each->second = (int64_t)index;
            met[index] = 1;
        }
    }
    for (size_t i = 0; i < m->second->count; i++)
        if (!met[i])
            c->tensors[c->count++] = (sonde_tensor_difference){.name = name_at(m->second, i),
                                                               .difference = SONDE_ONLY_SECOND,
                                                               .first = -1,
                                                               .second = (int64_t)i};
    sonde__free(c->context, met);
    return SONDE_OK;
}

/* The comparison may outlive the models. */
static sonde_status own_names(sonde_comparison *c)
{
    size_t size = 1;
    for (size_t i = 0; i < c->count; i++)
        size += strlen(c->tensors[i].name) + 1;
    c->names = sonde__alloc(c->context, size, 1);
    if (!c->names)
        return sonde_context_error(c->context)->status;
    char *next = c->names;
    for (size_t i = 0; i < c->count; i++) {
        const size_t length = strlen(c->tensors[i].name) + 1;
        memcpy(next, c->tensors[i].name, length);
        c->tensors[i].name = next;
        next += length;
    }
    return SONDE_OK;
}

static sonde_status compare_pairs(sonde_comparison *c, sonde_model *first, sonde_model *second)
{
    pair p = {.a = {.model = first}, .b = {.model = second}};
    SONDE_TRY(make_room(c->context, &p));
    sonde_status status = SONDE_OK;
    for (size_t i = 0; i < c->count && status == SONDE_OK; i++)
        if (c->tensors[i].first >= 0 && c->tensors[i].second >= 0)
            status = compare_pair(&p, &c->tensors[i]);
    sonde__free(c->context, p.a.values);
    return status;
}

static sonde_status compare_all(sonde_comparison *c, sonde_model *first, sonde_model *second)
{
    side a = {.model = first, .count = sonde_model_count(first)};
    side b = {.model = second, .count = sonde_model_count(second)};
    find_shared(&a);
    find_shared(&b);
    const matching m = best_matching(&a, &b);
    SONDE_TRY(list_pairs(c, &m));
    SONDE_TRY(own_names(c));
    return compare_pairs(c, first, second);
}

/* A model may have been opened with another context, whose error then tells what went wrong. */
static void hand_over(sonde_context *context, const sonde_model *model, sonde_status status)
{
    const sonde_context *other = sonde__model_context(model);
    const sonde_error *error = sonde_context_error(other);
    if (other != context && error->status == status &&
        sonde_context_error(context)->status != status)
        (void)sonde__fail_at(context, status, error->file, error->item, error->offset, "%s",
                             error->message);
}

sonde_status sonde_compare(sonde_context *context, sonde_model *first, sonde_model *second,
                           sonde_comparison **comparison)
{
    if (!context)
        return SONDE_ERROR_ARGUMENT;
    if (!first || !second || !comparison)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT, "sonde_compare: two models are needed");
    sonde_comparison *made = sonde__alloc_zero(context, 1, sizeof *made);
    if (!made)
        return sonde_context_error(context)->status;
    made->context = context;
    const sonde_status status = compare_all(made, first, second);
    if (status != SONDE_OK) {
        hand_over(context, first, status);
        hand_over(context, second, status);
        sonde_comparison_free(made);
        return status;
    }
    *comparison = made;
    return SONDE_OK;
}

void sonde_comparison_free(sonde_comparison *comparison)
{
    if (!comparison)
        return;
    sonde__free(comparison->context, comparison->tensors);
    sonde__free(comparison->context, comparison->names);
    sonde__free(comparison->context, comparison);
}

size_t sonde_comparison_count(const sonde_comparison *comparison)
{
    return comparison->count;
}

sonde_status sonde_comparison_tensor(const sonde_comparison *comparison, size_t index,
                                     sonde_tensor_difference *difference)
{
    if (index >= comparison->count)
        return sonde__fail(comparison->context, SONDE_ERROR_RANGE,
                           "there is no tensor %zu of %zu in the comparison", index,
                           comparison->count);
    *difference = comparison->tensors[index];
    return SONDE_OK;
}
