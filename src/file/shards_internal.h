/*
 * The index of a sharded model, in pieces: its text, which names are shard names, where links lead.
 * For shards.c, its tests and its fuzzer.
 */
#ifndef SONDE_FILE_SHARDS_INTERNAL_H
#define SONDE_FILE_SHARDS_INTERNAL_H

#include "base/context.h"

enum { SONDE__SHARD_NAME_MAX = 1024, SONDE__INDEX_MAX = 100000000 };

/* A pair of the map; both strings stand in the text of the index. */
typedef struct sonde__mapping {
    const char *tensor, *shard;
    uint32_t first;      /* index of the first pair with the same shard */
    uint32_t begin, end; /* of a first pair: the model's tensors that its shard brought */
} sonde__mapping;

typedef struct sonde__index {
    sonde__mapping *map;
    size_t count, room;
    int64_t total_size; /* bytes of all tensors as the index has it; -1: not told */
} sonde__index;

/* `text` is overwritten, must stay as long as the index, and has room for one byte behind `size`. */
sonde_status sonde__index_parse(sonde_context *context, const char *path, char *text, size_t size,
                                sonde__index *index);
/* Also after a failure. */
void sonde__index_free(sonde_context *context, sonde__index *index);
/* What is wrong with a shard's name, as the end of a sentence, or NULL. */
const char *sonde__shard_name_fault(const char *name);
/* Refuses a link that leads out of the folder; `index` (or NULL) is who names the file. */
sonde_status sonde__check_inside(sonde_context *context, const char *folder, const char *path,
                                 const char *index);

#endif
