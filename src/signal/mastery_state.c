/*
 * The saved state of mastery: a header that names the options it was made with, counts, ids where they
 * are arbitrary, marks, and the planes in the order of their roles, so that the bytes do not show
 * which turn they were in.
 *
 * Invariant: no count in the bytes decides about an allocation before it is compared with what is left
 * of them.
 */
#include "signal/mastery_internal.h"

enum { SAVE_VERSION = 1 };

static void save_counts(const sonde_mastery *mastery, sonde__byte_writer *writer)
{
    sonde__put_i64(writer, mastery->last_epoch);
    const uint64_t counts[] = {
        mastery->epochs,          mastery->checks,         mastery->skipped,
        mastery->possible,        mastery->mastered_now,   mastery->readmitted_now,
        mastery->readmitted_ever, mastery->not_finite_now,
    };
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        sonde__put_u64(writer, counts[i]);
}

static void save_plane(const sonde_mastery *mastery, const float *plane, sonde__byte_writer *writer)
{
    for (size_t i = 0; i < mastery->known; i++)
        sonde__put_f32(writer, plane[i]);
}

sonde_status sonde__mastery_save(const sonde_mastery *mastery, sonde__byte_writer *writer)
{
    sonde__put_u32(writer, SAVE_VERSION);
    sonde__put_u32(writer, (uint32_t)mastery->options.mode);
    sonde__put_u32(writer, (uint32_t)mastery->options.window);
    sonde__put_u32(writer, (uint32_t)mastery->options.check_every);
    sonde__put_u64(writer, mastery->options.examples);
    sonde__put_u64(writer, mastery->known);
    save_counts(mastery, writer);
    if (mastery->table)
        for (size_t i = 0; i < mastery->known; i++)
            sonde__put_u64(writer, mastery->ids[i]);
    sonde__put_bytes(writer, mastery->chain, mastery->known);
    sonde__put_bytes(writer, mastery->state, mastery->known);
    for (int p = 0; p < LOSS_PLANES; p++)
        save_plane(mastery, sonde__mastery_loss_plane(mastery, p), writer);
    for (int p = 0; p < mastery->options.window; p++)
        save_plane(mastery, sonde__mastery_d2_plane(mastery, p), writer);
    return sonde__byte_writer_status(writer);
}

static sonde_status restore_header(sonde_mastery *mastery, sonde__byte_reader *reader,
                                   uint64_t *known)
{
    const sonde_mastery_options *options = &mastery->options;
    uint32_t version = sonde__take_u32(reader);
    if (!reader->failed && version != SAVE_VERSION)
        return sonde__fail(mastery->context, SONDE_ERROR_VERSION,
                           "mastery state: version %u, this library reads %d", version,
                           (int)SAVE_VERSION);
    uint32_t mode = sonde__take_u32(reader), window = sonde__take_u32(reader);
    uint32_t every = sonde__take_u32(reader);
    uint64_t examples = sonde__take_u64(reader);
    *known = sonde__take_u64(reader);
    if (reader->failed)
        return sonde__fail(mastery->context, SONDE_ERROR_TRUNCATED,
                           "mastery state: ends too early");
    if (mode != (uint32_t)options->mode || window != (uint32_t)options->window ||
        every != (uint32_t)options->check_every || examples != options->examples)
        return sonde__fail(mastery->context, SONDE_ERROR_STATE,
                           "mastery state: saved with mode %u, window %u, check_every %u, %llu "
                           "examples; create the object with the same options",
                           mode, window, every, (unsigned long long)examples);
    /* Each example takes its floats, two marks, and an id: a count that claims more is refused
     * before anything is allocated for it. */
    size_t item =
        sonde__mastery_plane_count(mastery) * sizeof(float) + 2 + (mastery->table ? 8 : 0);
    if (*known > sonde__bytes_left(reader) / item || (!mastery->table && *known != mastery->known))
        return sonde__fail(mastery->context, SONDE_ERROR_CORRUPT,
                           "mastery state: %llu examples do not fit in what is left of it",
                           (unsigned long long)*known);
    return SONDE_OK;
}

static void restore_counts(sonde_mastery *mastery, sonde__byte_reader *reader)
{
    mastery->last_epoch = sonde__take_i64(reader);
    uint64_t *const counts[] = {
        &mastery->epochs,          &mastery->checks,         &mastery->skipped,
        &mastery->possible,        &mastery->mastered_now,   &mastery->readmitted_now,
        &mastery->readmitted_ever, &mastery->not_finite_now,
    };
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        *counts[i] = sonde__take_u64(reader);
}

static bool counts_are_legal(const sonde_mastery *mastery)
{
    const uint64_t known = mastery->known;
    const uint64_t checks = mastery->checks > 0 ? mastery->checks : 1;
    return mastery->last_epoch >= -1 && mastery->skipped <= mastery->possible &&
           mastery->checks <= mastery->epochs && mastery->mastered_now <= known &&
           mastery->readmitted_now <= known && mastery->not_finite_now <= known &&
           mastery->readmitted_ever / checks <= known;
}

static bool marks_are_legal(const sonde_mastery *mastery)
{
    for (size_t i = 0; i < mastery->known; i++)
        if (mastery->chain[i] > mastery->needed || mastery->state[i] > 3)
            return false;
    return true;
}

sonde_status sonde__mastery_restore(sonde_mastery *mastery, sonde__byte_reader *reader)
{
    uint64_t known = 0;
    SONDE_TRY(restore_header(mastery, reader, &known));
    restore_counts(mastery, reader);
    if (mastery->table)
        SONDE_TRY(sonde__mastery_restore_ids(mastery, reader, (size_t)known));
    mastery->loss_turn = 0;
    mastery->d2_turn = 0;
    sonde__take_bytes(reader, mastery->chain, mastery->known);
    sonde__take_bytes(reader, mastery->state, mastery->known);
    for (size_t p = 0; p < sonde__mastery_plane_count(mastery); p++)
        for (size_t i = 0; i < mastery->known; i++)
            mastery->values[p * mastery->capacity + i] = sonde__take_f32(reader);
    if (reader->failed)
        return sonde__fail(mastery->context, SONDE_ERROR_TRUNCATED,
                           "mastery state: ends too early");
    if (!marks_are_legal(mastery) || !counts_are_legal(mastery))
        return sonde__fail(mastery->context, SONDE_ERROR_CORRUPT,
                           "mastery state: a value in it is impossible");
    mastery->mastered = sonde__mastery_count_mastered(mastery);
    mastery->annealing = mastery->epochs > 0 && sonde__mastery_anneals_next(mastery);
    return SONDE_OK;
}
