/* A shard index from memory. In one that is accepted no name leaves the folder. */
#include "file/shards_internal.h"
#include "fuzz.h"

/* Said once more, in other words than the reader's. */
static bool stays(const char *name)
{
    size_t length = strlen(name);
    if (length == 0 || name[0] == '/' || strchr(name, '\\'))
        return false;
    if ((name[0] | 0x20) >= 'a' && (name[0] | 0x20) <= 'z' && length > 1 && name[1] == ':')
        return false;
    if (strcmp(name, "..") == 0 || strncmp(name, "../", 3) == 0 || strstr(name, "/../"))
        return false;
    return length < 3 || strcmp(name + length - 3, "/..") != 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sonde_context *context = fuzz_context();
    sonde__index index;
    char *text = sonde__alloc(context, size + 1, 1);
    fuzz_require(text != NULL);
    if (size)
        memcpy(text, data, size);
    if (sonde__index_parse(context, "fuzz", text, size, &index) == SONDE_OK) {
        fuzz_require(index.count > 0 && index.total_size >= -1);
        for (size_t i = 0; i < index.count; i++) {
            const sonde__mapping *pair = &index.map[i];
            const sonde__mapping *first = &index.map[pair->first];
            fuzz_require(stays(pair->shard));
            fuzz_require(pair->first <= i && first->first == pair->first);
            fuzz_require(strcmp(pair->shard, first->shard) == 0);
            fuzz_require(strlen(pair->tensor) < size);
        }
    }
    sonde__index_free(context, &index);
    sonde__free(context, text);
    fuzz_finish(context);
    return 0;
}
