/*
 * The saved state of a steer: whatever the bytes, restoring them fails and changes nothing, or gives a
 * steer that saves the same again and can go on.
 *
 * An input is one byte of options (see `options_of`) and a state. The checksum at its end is put
 * right before it is handed over, so that damage reaches the parsers behind it.
 */
#include "fuzz.h"

#include "base/bytes.h"

enum { DENSE = 1, MODE = 2 | 4, RAW = 8, BASELINE = 16, AS_IT_IS = 128, EXAMPLES = 6 };

typedef struct state {
    uint8_t *bytes;
    size_t size;
} state;

static sonde_steer_options options_of(uint8_t choice)
{
    sonde_steer_options options;
    sonde_steer_options_init(&options);
    options.skip.examples = (choice & DENSE) ? EXAMPLES : 0;
    options.skip.mode = (sonde_mastery_mode)((choice & MODE) / 2 % 3);
    options.skip.total_epochs = 12;
    options.keep_by = (choice & RAW) ? SONDE_SCORE_RAW : SONDE_SCORE_HEAD_SCALED;
    options.stop.baseline = (choice & BASELINE) != 0;
    options.wait = true;
    return options;
}

/* A few observations of one epoch and its end; any of it may be refused. */
static void go_on(sonde_steer *steer, int64_t epoch)
{
    const uint64_t ids[] = {0, 1, 2, 5};
    const float losses[] = {0.5f, 0.25f, 2, 0};
    sonde_decision decision;
    (void)sonde_steer_losses(steer, ids, losses, sizeof ids / sizeof ids[0]);
    (void)sonde_steer_end_epoch(steer, epoch, &decision);
    (void)sonde_steer_decide(steer, &decision);
    size_t count = 0;
    fuzz_require(sonde_steer_list(steer, true, NULL, 0, &count) == SONDE_OK);
    (void)sonde_steer_active(steer, 2);
}

static state saved(sonde_context *context, sonde_steer *steer)
{
    state now = {NULL, 0};
    fuzz_require(sonde_steer_save(steer, NULL, 0, &now.size) == SONDE_OK);
    now.bytes = sonde__alloc(context, now.size, 1);
    fuzz_require(now.bytes != NULL);
    fuzz_require(sonde_steer_save(steer, now.bytes, now.size, &now.size) == SONDE_OK);
    return now;
}

static void require_same(sonde_context *context, state a, state b)
{
    fuzz_require(a.size == b.size && memcmp(a.bytes, b.bytes, a.size) == 0);
    sonde__free(context, a.bytes);
    sonde__free(context, b.bytes);
}

static state state_of(sonde_context *context, uint8_t choice, const uint8_t *data, size_t size)
{
    state given = {sonde__alloc(context, size, 1), size};
    fuzz_require(given.bytes != NULL);
    if (size > 0)
        memcpy(given.bytes, data, size);
    if (size < 4 || (choice & AS_IT_IS))
        return given;
    uint32_t crc = sonde__crc32(0, given.bytes, size - 4);
    for (int i = 0; i < 4; i++)
        given.bytes[size - 4 + (size_t)i] = (uint8_t)(crc >> 8 * i);
    return given;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    sonde_context *context = fuzz_context();
    sonde_steer_options options = options_of(data[0]);
    sonde_steer *steer = NULL;
    fuzz_require(sonde_steer_create(context, &options, &steer) == SONDE_OK);
    go_on(steer, 3);
    state given = state_of(context, data[0], data + 1, size - 1);
    state before = saved(context, steer);
    if (sonde_steer_restore(steer, given.bytes, given.size) != SONDE_OK) {
        require_same(context, before, saved(context, steer));
    } else {
        sonde__free(context, before.bytes);
        state first = saved(context, steer);
        fuzz_require(sonde_steer_restore(steer, first.bytes, first.size) == SONDE_OK);
        require_same(context, first, saved(context, steer));
        go_on(steer, 1000);
    }
    sonde__free(context, given.bytes);
    sonde_steer_free(steer);
    fuzz_finish(context);
    return 0;
}
