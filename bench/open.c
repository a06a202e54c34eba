/*
 * Opening a model, listing every tensor, closing it: milliseconds and memory, as JSON lines.
 * bench/peer_open.py does the same on the same files with the safetensors library.
 *
 *     bench_open [FOLDER]        the files are made there and stay; default: a folder that goes again
 *
 * Three sets: 10,000 tensors in one file; 100,000 in 150 shards; and 92,000 of 400 GB in 150 shards,
 * whose data are holes on the disk, since listing must not read them. What is timed comes from the
 * page cache.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/thread.h"
#include "base/context.h"

typedef struct model_set {
    const char *name;
    int shards, tensors; /* `tensors` in all; 1 shard: a plain file */
    long rows, cols;     /* of each, in BF16 */
} model_set;

static const model_set SETS[] = {
    {"10,000 tensors, one file", 1, 10000, 4, 8},
    {"100,000 tensors, 150 shards", 150, 100000, 4, 8},
    {"92,000 tensors of 400 GB, 150 shards", 150, 92000, 1474, 1475},
};

static void die(const char *path)
{
    perror(path);
    exit(1);
}

/* "layer 7 of 1000" as large models name their experts. */
static void tensor_name(char *to, size_t room, int i)
{
    snprintf(to, room, "model.layers.%d.mlp.experts.%d.down_proj.weight", i / 1000, i % 1000);
}

static int first_of(const model_set *set, int shard)
{
    return (int)((long long)set->tensors * shard / set->shards);
}

static void shard_path(char *to, size_t room, const char *folder, const model_set *set, int shard)
{
    if (set->shards == 1)
        snprintf(to, room, "%s/model.safetensors", folder);
    else
        snprintf(to, room, "%s/model-%05d-of-%05d.safetensors", folder, shard + 1, set->shards);
}

/* The header, then a hole of the size of the data. */
static void make_shard(const char *folder, const model_set *set, int shard)
{
    char path[600], name[100];
    const int first = first_of(set, shard), end = first_of(set, shard + 1);
    const long long bytes = 2LL * set->rows * set->cols;
    shard_path(path, sizeof path, folder, set, shard);
    FILE *file = fopen(path, "wb");
    if (!file || fseek(file, 8, SEEK_SET) != 0)
        die(path);
    for (int i = first; i < end; i++) {
        tensor_name(name, sizeof name, i);
        fprintf(file,
                "%c\"%s\":{\"dtype\":\"BF16\",\"shape\":[%ld,%ld],\"data_offsets\":[%lld,%lld]}",
                i == first ? '{' : ',', name, set->rows, set->cols, (i - first) * bytes,
                (i - first + 1) * bytes);
    }
    fputc('}', file);
    const long long header = ftell(file) - 8;
    rewind(file);
    for (int i = 0; i < 8; i++)
        fputc((int)(header >> (8 * i) & 255), file);
    if (fclose(file) != 0 || truncate(path, 8 + header + (end - first) * bytes) != 0)
        die(path);
}

static void make_index(const char *folder, const model_set *set)
{
    char path[600], name[100];
    snprintf(path, sizeof path, "%s/model.safetensors.index.json", folder);
    FILE *file = fopen(path, "wb");
    if (!file)
        die(path);
    fprintf(file, "{\"metadata\":{\"total_size\":%lld},\"weight_map\":",
            2LL * set->rows * set->cols * set->tensors);
    for (int shard = 0, i = 0; shard < set->shards; shard++)
        for (; i < first_of(set, shard + 1); i++) {
            tensor_name(name, sizeof name, i);
            fprintf(file, "%c\n  \"%s\": \"model-%05d-of-%05d.safetensors\"", i ? ',' : '{', name,
                    shard + 1, set->shards);
        }
    fprintf(file, "}}");
    if (fclose(file) != 0)
        die(path);
}

static void make_set(const char *folder, const model_set *set)
{
    if (mkdir(folder, 0777) != 0)
        return; /* from an earlier run */
    for (int shard = 0; shard < set->shards; shard++)
        make_shard(folder, set, shard);
    if (set->shards > 1)
        make_index(folder, set);
}

typedef struct measured {
    double open, list, close;
    size_t peak, tensors, files;
    unsigned long long bytes;
} measured;

static bool time_once(const char *folder, measured *timing)
{
    sonde_context *context = NULL;
    sonde_model *model = NULL;
    sonde_model_info info;
    sonde_tensor tensor;
    if (sonde_context_create(NULL, &context) != SONDE_OK)
        return false;
    const double begin = sonde__seconds();
    if (sonde_model_open(context, folder, NULL, &model) != SONDE_OK) {
        fprintf(stderr, "%s\n", sonde_context_error(context)->message);
        sonde_context_free(context);
        return false;
    }
    const double opened = sonde__seconds();
    timing->bytes = 0;
    for (size_t i = 0; i < sonde_model_count(model); i++)
        if (sonde_model_tensor(model, i, &tensor) == SONDE_OK)
            timing->bytes += tensor.bytes;
    const double listed = sonde__seconds();
    sonde_model_describe(model, &info);
    sonde_model_close(model);
    timing->close = sonde__seconds() - listed;
    timing->open = opened - begin;
    timing->list = listed - opened;
    timing->tensors = info.tensors;
    timing->files = info.files;
    timing->peak = sonde_context_memory_peak(context);
    sonde_context_free(context);
    return true;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void bench(const char *folder, const model_set *set)
{
    enum { MOST = 50 };
    double all[MOST], begin = sonde__seconds();
    measured one = {0}, best = {.open = 1e9};
    int count = 0;
    struct rusage usage;
    while (count < MOST && (count < 5 || sonde__seconds() - begin < 2.0)) {
        if (!time_once(folder, &one))
            return;
        all[count++] = one.open + one.list + one.close;
        if (all[count - 1] < best.open + best.list + best.close)
            best = one;
    }
    qsort(all, (size_t)count, sizeof all[0], compare);
    getrusage(RUSAGE_SELF, &usage);
    printf("{\"bench\": \"open\", \"set\": \"%s\", \"tensors\": %zu, \"files\": %zu, "
           "\"gigabytes\": %.3f, \"ms\": %.3f, \"ms_median\": %.3f, \"open_ms\": %.3f, "
           "\"list_ms\": %.3f, \"close_ms\": %.3f, \"peak_kb\": %zu, \"resident_kb\": %ld}\n",
           set->name, best.tensors, best.files, (double)best.bytes * 1e-9, all[0] * 1e3,
           all[count / 2] * 1e3, best.open * 1e3, best.list * 1e3, best.close * 1e3,
           best.peak / 1024, usage.ru_maxrss);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    char own[] = "/tmp/sonde-bench-open-XXXXXX", folder[512], command[128];
    const char *base = argc > 1 ? argv[1] : mkdtemp(own);
    if (!base)
        die(own);
    for (size_t i = 0; i < sizeof SETS / sizeof *SETS; i++) {
        snprintf(folder, sizeof folder, "%s/%zu", base, i + 1);
        make_set(folder, &SETS[i]);
        bench(folder, &SETS[i]);
    }
    if (argc <= 1) {
        snprintf(command, sizeof command, "rm -rf '%s'", own);
        return system(command) != 0;
    }
    return 0;
}
