/*
 * Stand-ins for readers that are not written yet, so that the tree links; a reader of the same name
 * takes the place of its stand-in. This file goes away with the last of them.
 */
#include "file/model_internal.h"

#define WEAK __attribute__((weak))

#define STAND_IN(name) \
    WEAK sonde_status name(sonde_model *model, int number); \
    WEAK sonde_status name(sonde_model *model, int number) \
    { \
        (void)number; \
        return sonde__fail(sonde__model_context(model), SONDE_ERROR_UNSUPPORTED, \
                           "this format is not read yet"); \
    }

STAND_IN(sonde__model_read_safetensors)
STAND_IN(sonde__model_read_torch_zip)
STAND_IN(sonde__model_read_torch_legacy)
STAND_IN(sonde__model_read_npy)
STAND_IN(sonde__model_read_npz)
STAND_IN(sonde__model_read_gguf)

WEAK sonde_status sonde__shards_open(sonde_model *model, const char *index_path,
                                     sonde__shard_fn open_shard, void *user)
{
    (void)index_path, (void)open_shard, (void)user;
    return sonde__fail(sonde__model_context(model), SONDE_ERROR_UNSUPPORTED, "not read yet");
}

WEAK sonde_status sonde__model_in_folder(sonde_context *context, const char *folder, char **path)
{
    (void)folder, (void)path;
    return sonde__fail(context, SONDE_ERROR_UNSUPPORTED, "not read yet");
}
