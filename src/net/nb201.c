/*
 * Strings and order of the cells of NAS-Bench-201; see nb201.h.
 *
 * The benchmark lists all 5^6 cells, counting up with the last edge fastest, and shuffles them by
 * Python's random.seed(88); random.shuffle(). That is the Mersenne Twister MT19937 (Matsumoto and
 * Nishimura 1998), seeded by its array routine, and a Fisher-Yates shuffle from the end whose draws
 * take the highest bits and are repeated while too large.
 */
#include "net/nb201.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"

static const char *const operator_names[SONDE__NB201_OPERATORS] = {
    "none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"};

#define OPERATORS_TEXT "none, skip_connect, nor_conv_1x1, nor_conv_3x3, avg_pool_3x3"
#define EXAMPLE_TEXT \
    "|nor_conv_3x3~0|+|skip_connect~0|none~1|+|avg_pool_3x3~0|nor_conv_1x1~1|none~2|"

/* --- strings ---------------------------------------------------------------------------------- */

static sonde_status fail_form(sonde_context *context, const char *text)
{
    return sonde__fail_at(context, SONDE_ERROR_ARGUMENT, NULL, "nb201", -1,
                          "'%.120s' is no cell: an index from 0 to %d or a string as " EXAMPLE_TEXT,
                          text, SONDE__NB201_CELLS - 1);
}

static sonde_status read_operator(sonde_context *context, const char *name, size_t length,
                                  sonde__nb201_operator *found)
{
    for (int k = 0; k < SONDE__NB201_OPERATORS; k++) {
        if (strlen(operator_names[k]) == length && memcmp(operator_names[k], name, length) == 0) {
            *found = (sonde__nb201_operator)k;
            return SONDE_OK;
        }
    }
    return sonde__fail_at(context, SONDE_ERROR_ARGUMENT, NULL, "nb201", -1,
                          "'%.*s' is no operator of a cell; there are " OPERATORS_TEXT,
                          length < 40 ? (int)length : 40, name);
}

/* "OPERATOR~SOURCE|"; `*at` moves behind it. */
static sonde_status read_edge(sonde_context *context, const char *text, const char **at,
                              sonde__nb201_cell *cell, int node, int source)
{
    const size_t length = strcspn(*at, "~|+");
    const char *behind = *at + length;
    if (behind[0] != '~')
        return fail_form(context, text);
    SONDE_TRY(
        read_operator(context, *at, length, &cell->operators[node * (node - 1) / 2 + source]));
    const size_t digits = strspn(behind + 1, "0123456789");
    if (digits == 0 || behind[1 + digits] != '|')
        return fail_form(context, text);
    if (digits > 1 || behind[1] != '0' + source)
        return sonde__fail_at(context, SONDE_ERROR_ARGUMENT, NULL, "nb201", -1,
                              "the edges into node %d come from nodes 0 to %d, in order, once "
                              "each: ~%.*s stands where ~%d belongs",
                              node, node - 1, digits < 12 ? (int)digits : 12, behind + 1, source);
    *at = behind + 2 + digits;
    return SONDE_OK;
}

static sonde_status read_string(sonde_context *context, const char *text, sonde__nb201_cell *cell)
{
    const char *at = text;
    for (int node = 1; node <= 3; node++) {
        if (node > 1 && *at++ != '+')
            return fail_form(context, text);
        if (*at++ != '|')
            return fail_form(context, text);
        for (int source = 0; source < node; source++)
            SONDE_TRY(read_edge(context, text, &at, cell, node, source));
    }
    return *at == '\0' ? SONDE_OK : fail_form(context, text);
}

void sonde__nb201_write(const sonde__nb201_cell *cell, char text[SONDE__NB201_TEXT])
{
    size_t length = 0;
    for (int node = 1, edge = 0; node <= 3; node++) {
        length +=
            (size_t)snprintf(text + length, SONDE__NB201_TEXT - length, "%s|", node > 1 ? "+" : "");
        for (int source = 0; source < node; source++, edge++)
            length += (size_t)snprintf(text + length, SONDE__NB201_TEXT - length, "%s~%d|",
                                       operator_names[cell->operators[edge]], source);
    }
}

/* --- the official order ----------------------------------------------------------------------- */

enum { WORDS = 624, MIDDLE = 397, SEED = 88 };

typedef struct twister {
    uint32_t words[WORDS];
    int used;
} twister;

static uint32_t mixed(uint32_t word)
{
    return word ^ (word >> 30);
}

/* init_by_array with the one key SEED. */
static void twister_open(twister *t)
{
    uint32_t *w = t->words;
    w[0] = 19650218U;
    for (uint32_t i = 1; i < WORDS; i++)
        w[i] = 1812433253U * mixed(w[i - 1]) + i;
    int i = 1;
    for (int k = 0; k < WORDS; k++) {
        w[i] = (w[i] ^ (mixed(w[i - 1]) * 1664525U)) + SEED;
        if (++i == WORDS) {
            w[0] = w[WORDS - 1];
            i = 1;
        }
    }
    for (int k = 0; k < WORDS - 1; k++) {
        w[i] = (w[i] ^ (mixed(w[i - 1]) * 1566083941U)) - (uint32_t)i;
        if (++i == WORDS) {
            w[0] = w[WORDS - 1];
            i = 1;
        }
    }
    w[0] = 0x80000000U;
    t->used = WORDS;
}

static void twister_turn(twister *t)
{
    uint32_t *w = t->words;
    for (int i = 0; i < WORDS; i++) {
        uint32_t y = (w[i] & 0x80000000U) | (w[(i + 1) % WORDS] & 0x7FFFFFFFU);
        w[i] = w[(i + MIDDLE) % WORDS] ^ (y >> 1) ^ (y & 1 ? 0x9908B0DFU : 0);
    }
    t->used = 0;
}

static uint32_t twister_next(twister *t)
{
    if (t->used == WORDS)
        twister_turn(t);
    uint32_t y = t->words[t->used++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9D2C5680U;
    y ^= (y << 15) & 0xEFC60000U;
    return y ^ (y >> 18);
}

/* A number below `count`, as Python's _randbelow. */
static uint32_t twister_below(twister *t, uint32_t count)
{
    int bits = 0;
    while (count >> bits)
        bits++;
    uint32_t drawn = twister_next(t) >> (32 - bits);
    while (drawn >= count)
        drawn = twister_next(t) >> (32 - bits);
    return drawn;
}

static void shuffle(uint16_t *order)
{
    twister t;
    twister_open(&t);
    for (uint32_t i = SONDE__NB201_CELLS - 1; i > 0; i--) {
        const uint32_t j = twister_below(&t, i + 1);
        const uint16_t swap = order[i];
        order[i] = order[j];
        order[j] = swap;
    }
}

/* The cell that counting up reaches after `number` steps. */
static sonde__nb201_cell numbered(int number)
{
    sonde__nb201_cell cell;
    for (int edge = SONDE__NB201_EDGES - 1; edge >= 0; edge--) {
        cell.operators[edge] = (sonde__nb201_operator)(number % SONDE__NB201_OPERATORS);
        number /= SONDE__NB201_OPERATORS;
    }
    return cell;
}

/* Cells `first` to `first` + `count` of the order. */
static sonde_status list_from(sonde_context *context, int first, int count,
                              sonde__nb201_cell *cells)
{
    uint16_t *order = sonde__alloc(context, SONDE__NB201_CELLS, sizeof *order);
    if (!order)
        return SONDE_ERROR_MEMORY;
    for (int i = 0; i < SONDE__NB201_CELLS; i++)
        order[i] = (uint16_t)i;
    shuffle(order);
    for (int i = 0; i < count; i++)
        cells[i] = numbered(order[first + i]);
    sonde__free(context, order);
    return SONDE_OK;
}

sonde_status sonde__nb201_list(sonde_context *context, sonde__nb201_cell *cells, int count)
{
    return list_from(context, 0, count, cells);
}

sonde_status sonde__nb201_read(sonde_context *context, const char *text, sonde__nb201_cell *cell)
{
    int64_t index = 0;
    if (text[0] == '|')
        return read_string(context, text, cell);
    if (!sonde__parse_int64(text, &index))
        return fail_form(context, text);
    if (index < 0 || index >= SONDE__NB201_CELLS)
        return sonde__fail_at(context, SONDE_ERROR_RANGE, NULL, "nb201", -1,
                              "there is no cell %s: they are numbered from 0 to %d", text,
                              SONDE__NB201_CELLS - 1);
    return list_from(context, (int)index, 1, cell);
}
