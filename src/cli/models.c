/* From names on the command line to model files; see models.h. */
#include "cli/models.h"

#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/path.h"
#include "file/model_internal.h"

static bool is_folder(const char *path)
{
    struct stat facts;
    return stat(path, &facts) == 0 && S_ISDIR(facts.st_mode);
}

/* A folder that holds an index or one model alone; its error is of no interest, since the folder may
 * as well hold a series. */
static bool holds_one_model(sonde_context *context, const char *folder)
{
    char *path = NULL;
    const bool found = sonde__model_in_folder(context, folder, &path) == SONDE_OK;
    sonde__free(context, path);
    return found;
}

static sonde_status of_folder(sonde_context *context, const char *path, sonde__series *series)
{
    if (!sonde__cli_is_run(context, path))
        return sonde__series_of_folder(context, path, series);
    char *checkpoints = sonde__path_join(context, path, "checkpoints");
    if (!checkpoints)
        return SONDE_ERROR_MEMORY;
    const sonde_status status = sonde__series_of_folder(context, checkpoints, series);
    sonde__free(context, checkpoints);
    return status;
}

sonde_status sonde__cli_models(sonde__call *call, sonde__series *series)
{
    sonde_context *context = call->context;
    const char *path = call->positional;
    if (call->positional_count == 1 && is_folder(path) &&
        (sonde__cli_is_run(context, path) || !holds_one_model(context, path)))
        return of_folder(context, path, series);
    return sonde__series_of_paths(context, (const char *const *)call->positionals,
                                  (size_t)call->positional_count, series);
}

bool sonde__cli_names_model(const char *path)
{
    static const char *const endings[] = {".safetensors", ".pt",  ".pth",  ".bin",       ".ckpt",
                                          ".npy",         ".npz", ".gguf", ".index.json"};
    const size_t length = strlen(path);
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        const size_t end = strlen(endings[i]);
        if (length >= end && strcasecmp(path + length - end, endings[i]) == 0)
            return true;
    }
    return false;
}
