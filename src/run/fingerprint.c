/*
 * Whether a run is resumed with the data it began with: a checksum of the training part's shape, of
 * all labels, and of up to 1024 examples spread over it, kept as the fact "data". Not a proof, but
 * what a file that was replaced, cut or put in another order does not pass.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "run/session.h"

enum { SAMPLES = 1024, TEXT = 32 };

static void describe(const sonde__dataset *data, char *text)
{
    size_t features = (size_t)data->channels * (size_t)data->height * (size_t)data->width;
    const int shape[] = {data->channels, data->height, data->width, data->classes};
    size_t step = data->count / SAMPLES + 1;
    uint32_t crc = sonde__crc32(0, shape, sizeof(shape));
    crc = sonde__crc32(crc, data->labels, data->count * (size_t)data->rows * sizeof(*data->labels));
    for (size_t i = 0; i < data->count; i += step) {
        if (data->bytes)
            crc = sonde__crc32(crc, data->bytes + i * features, features);
        else
            crc = sonde__crc32(crc, data->floats + i * features, features * sizeof(float));
    }
    snprintf(text, TEXT, "%zu %08" PRIx32, data->count, crc);
}

sonde_status sonde__fingerprint_write(sonde__session *session)
{
    char text[TEXT];
    describe(session->train, text);
    return sonde__store_set(session->store, "data", text);
}

sonde_status sonde__fingerprint_check(sonde__session *session)
{
    char text[TEXT], *stored = NULL;
    describe(session->train, text);
    SONDE_TRY(sonde__store_get(session->store, "data", &stored));
    bool same = !stored || strcmp(stored, text) == 0; /* none: a run of before this was kept */
    sonde__free(session->context, stored);
    if (same)
        return SONDE_OK;
    return sonde__fail_at(
        session->context, SONDE_ERROR_STATE, sonde__store_folder(session->store), NULL, -1,
        "%s was trained on other data than %s holds now (%zu examples); bring "
        "back the files it began with, or train anew",
        sonde__store_folder(session->store), session->config.data, session->train->count);
}
