/*
 * Mastery of examples with arbitrary 64-bit ids: they are numbered in order of first sight through a
 * hash table (open addressing, linear probing, at most three quarters full), and from there on are
 * dense.
 *
 * Invariant: a slot holds number + 1, or 0 where it is empty; ids[number] is the id. The hash is keyed
 * by time and address: no caller can choose ids that collide, and no result depends on it.
 */
#include <string.h>

#include "base/checked.h"
#include "base/thread.h"
#include "signal/mastery_internal.h"

static const uint64_t SPARSE_MOST = UINT32_MAX - 1;

/* The finaliser of splitmix64, keyed: every bit of the id moves every bit of the slot. */
static uint64_t mix(uint64_t id, uint64_t key)
{
    uint64_t x = id ^ key;
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x + key) ^ (x >> 27);
    x *= UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* The slot that holds `id`, or the empty one where it belongs. */
static size_t find_slot(const sonde_mastery *mastery, uint64_t id)
{
    size_t mask = mastery->table_size - 1;
    size_t slot = (size_t)mix(id, mastery->table_key) & mask;
    while (mastery->table[slot] != 0 && mastery->ids[mastery->table[slot] - 1] != id)
        slot = (slot + 1) & mask;
    return slot;
}

static sonde_status grow_table(sonde_mastery *mastery, size_t size)
{
    uint32_t *table = sonde__alloc_zero(mastery->context, size, sizeof *table);
    if (!table)
        return SONDE_ERROR_MEMORY;
    sonde__free(mastery->context, mastery->table);
    mastery->table = table;
    mastery->table_size = size;
    for (size_t i = 0; i < mastery->known; i++)
        table[find_slot(mastery, mastery->ids[i])] = (uint32_t)(i + 1);
    return SONDE_OK;
}

/* Room for `examples` in all: planes by doubling, the table at most three quarters full. */
static sonde_status reserve(sonde_mastery *mastery, size_t examples)
{
    if (examples > SPARSE_MOST)
        return sonde__fail(mastery->context, SONDE_ERROR_OVERFLOW,
                           "mastery: more than %llu arbitrary ids; number the examples from 0",
                           (unsigned long long)SPARSE_MOST);
    if (examples > mastery->capacity) {
        size_t capacity = mastery->capacity + mastery->capacity / 2;
        SONDE_TRY(sonde__mastery_grow(mastery, capacity > examples ? capacity : examples));
    }
    size_t size = mastery->table_size;
    while (size - size / 4 < examples)
        size *= 2;
    return size > mastery->table_size ? grow_table(mastery, size) : SONDE_OK;
}

static size_t count_unknown(const sonde_mastery *mastery, const uint64_t *ids, size_t n)
{
    size_t unknown = 0;
    for (size_t i = 0; i < n; i++)
        unknown += mastery->table[find_slot(mastery, ids[i])] == 0;
    return unknown;
}

/* Room must be there. */
static size_t number_of(sonde_mastery *mastery, uint64_t id)
{
    size_t slot = find_slot(mastery, id);
    if (mastery->table[slot] == 0) {
        size_t number = mastery->known++;
        mastery->ids[number] = id;
        mastery->table[slot] = (uint32_t)(number + 1);
        sonde__mastery_clear(mastery, number, number + 1);
    }
    return mastery->table[slot] - 1;
}

sonde_status sonde__mastery_create_table(sonde_mastery *mastery)
{
    double now = sonde__seconds();
    memcpy(&mastery->table_key, &now, sizeof now);
    mastery->table_key ^= (uint64_t)(uintptr_t)mastery * UINT64_C(0x9e3779b97f4a7c15);
    mastery->table_size = 64;
    mastery->table = sonde__alloc_zero(mastery->context, mastery->table_size, sizeof(uint32_t));
    return mastery->table ? sonde__mastery_grow(mastery, 48) : SONDE_ERROR_MEMORY;
}

sonde_status sonde__mastery_record_sparse(sonde_mastery *mastery, const uint64_t *ids,
                                          const float *losses, size_t n)
{
    size_t most;
    if (!sonde__add(mastery->known, n, &most))
        most = SIZE_MAX;
    size_t table_room = mastery->table_size - mastery->table_size / 4;
    if (most > mastery->capacity || most > table_room)
        SONDE_TRY(reserve(mastery, mastery->known + count_unknown(mastery, ids, n)));
    for (size_t i = 0; i < n; i++) {
        size_t number = number_of(mastery, ids[i]);
        sonde__mastery_loss_plane(mastery, 0)[number] = sonde__mastery_pending(losses[i]);
    }
    return SONDE_OK;
}

bool sonde__mastery_find(const sonde_mastery *mastery, uint64_t id, size_t *number)
{
    uint32_t found = mastery->table[find_slot(mastery, id)];
    if (found != 0)
        *number = found - 1;
    return found != 0;
}

sonde_status sonde__mastery_restore_ids(sonde_mastery *mastery, sonde__byte_reader *reader,
                                        size_t known)
{
    mastery->known = 0;
    memset(mastery->table, 0, mastery->table_size * sizeof *mastery->table);
    SONDE_TRY(reserve(mastery, known));
    for (size_t i = 0; i < known; i++) {
        uint64_t id = sonde__take_u64(reader);
        if (mastery->table[find_slot(mastery, id)] != 0)
            return sonde__fail(mastery->context, SONDE_ERROR_CORRUPT,
                               "mastery state: id %llu stands in it twice", (unsigned long long)id);
        number_of(mastery, id);
    }
    return SONDE_OK;
}
