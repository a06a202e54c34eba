/*
 * Opens a model under a byte budget, lists it, reads every readable tensor in slices, and prints one
 * JSON object about it; bad.py compares that with what a table of bad files expects.
 *
 *     open_model PATH [--budget BYTES] [--cut FILE BYTES] [--no-read]
 *
 * --cut shortens a file after the model was opened and before it is read. Exit status 0 when the
 * model was read, 1 when something was refused; a crash is neither.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <sonde.h>

enum { SLICE = 1 << 16, SHOWN_TENSORS = 40, SHOWN_VALUES = 16, SHOWN_PAIRS = 40 };
/* Elements read at most, all in all: a sparse file may hold terabytes of zeros. */
#define ELEMENTS_MAX (UINT64_C(1) << 22)

typedef struct request {
    const char *path, *cut_file;
    long cut_bytes;
    size_t budget;
    bool no_read;
} request;

static void print_string(const char *text)
{
    putchar('"');
    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        if (*c < 0x20 || *c == '"' || *c == '\\')
            printf("\\u%04x", *c);
        else
            putchar(*c);
    putchar('"');
}

static void print_pair(const char *key, const char *value)
{
    printf("\"%s\": ", key);
    if (value)
        print_string(value);
    else
        printf("null");
    printf(", ");
}

/* Of the process, so that a busy machine does not count. */
static double cpu_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

static long resident_kb(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

/* NaN and infinities as Python's json reads them. */
static void print_value(double value)
{
    if (value != value)
        printf("NaN");
    else if (value - value != 0)
        printf("%sInfinity", value < 0 ? "-" : "");
    else
        printf("%.17g", value);
}

static void print_values(sonde_model *model, size_t index, uint64_t elements)
{
    double values[SHOWN_VALUES];
    uint64_t n = elements < SHOWN_VALUES ? elements : SHOWN_VALUES;
    printf("\"values\": [");
    if (sonde_model_read(model, index, 0, n, SONDE_F64, values) != SONDE_OK)
        n = 0;
    for (uint64_t i = 0; i < n; i++) {
        printf("%s", i ? ", " : "");
        print_value(values[i]);
    }
    printf("]");
}

static void print_tensor(sonde_model *model, size_t index)
{
    sonde_tensor tensor;
    if (sonde_model_tensor(model, index, &tensor) != SONDE_OK)
        return;
    printf("%s{", index ? ", " : "");
    print_pair("name", tensor.name);
    print_pair("number", sonde_number_name(tensor.number));
    print_pair("tied_to", tensor.tied_to);
    print_pair("scale", tensor.scale);
    print_pair("file", tensor.file);
    printf("\"shape\": [");
    for (int i = 0; i < tensor.dims; i++)
        printf("%s%lld", i ? ", " : "", (long long)tensor.shape[i]);
    printf("], \"readable\": %s, \"contiguous\": %s, \"bytes\": %llu, \"offset\": %lld, ",
           tensor.readable ? "true" : "false", tensor.contiguous ? "true" : "false",
           (unsigned long long)tensor.bytes, (long long)tensor.offset);
    print_values(model, index, tensor.readable ? tensor.elements : 0);
    printf("}");
}

static void print_model(sonde_model *model)
{
    sonde_model_info info;
    const char *key, *value;
    sonde_model_describe(model, &info);
    printf("\"kind\": \"%s\", \"files\": %zu, \"tensors\": %zu, \"tied\": %zu, \"listing\": [",
           sonde_model_kind_name(info.kind), info.files, info.tensors, info.tied);
    for (size_t i = 0; i < info.tensors && i < SHOWN_TENSORS; i++)
        print_tensor(model, i);
    printf("], \"metadata\": {");
    for (size_t i = 0; i < info.metadata && i < SHOWN_PAIRS; i++)
        if (sonde_model_metadata(model, i, &key, &value) == SONDE_OK) {
            printf("%s", i ? ", " : "");
            print_string(key);
            printf(": ");
            print_string(value);
        }
    printf("}, \"warnings\": [");
    for (size_t i = 0; (value = sonde_model_warning(model, i)); i++) {
        printf("%s", i ? ", " : "");
        print_string(value);
    }
    printf("], ");
}

static sonde_status read_tensor(sonde_model *model, size_t index, float *room, uint64_t *read)
{
    sonde_tensor tensor;
    sonde_status status = sonde_model_tensor(model, index, &tensor);
    for (uint64_t done = 0; status == SONDE_OK && tensor.readable && done < tensor.elements;) {
        uint64_t left = tensor.elements - done, n = left < SLICE ? left : SLICE;
        if (*read > ELEMENTS_MAX)
            return SONDE_OK;
        status = sonde_model_read(model, index, done, n, SONDE_F32, room);
        *read += n;
        done += n;
    }
    return status;
}

static sonde_status read_model(sonde_model *model, const request *asked)
{
    static float room[SLICE];
    sonde_status status = SONDE_OK;
    uint64_t read = 0;
    for (size_t i = 0; i < sonde_model_count(model) && status == SONDE_OK && !asked->no_read; i++)
        status = read_tensor(model, i, room, &read);
    return status;
}

static sonde_status work(sonde_context *context, const request *asked, sonde_model **model)
{
    sonde_status status = sonde_model_open(context, asked->path, NULL, model);
    if (status != SONDE_OK)
        return status;
    if (asked->cut_file && truncate(asked->cut_file, asked->cut_bytes) != 0)
        perror(asked->cut_file);
    return read_model(*model, asked);
}

static int run(const request *asked)
{
    sonde_context *context = NULL;
    sonde_model *model = NULL;
    sonde_context_options options;
    sonde_context_options_init(&options);
    options.memory_limit = asked->budget;
    options.threads = 1;
    if (sonde_context_create(&options, &context) != SONDE_OK)
        return 2;
    const long resident = resident_kb();
    const double begin = cpu_ms();
    const sonde_status status = work(context, asked, &model);
    const double ms = cpu_ms() - begin;
    const size_t peak = sonde_context_memory_peak(context);
    const sonde_error *error = sonde_context_error(context);
    printf("{");
    print_pair("status", sonde_status_name(status));
    print_pair("message", status == SONDE_OK ? "" : error->message);
    print_pair("file", status == SONDE_OK ? "" : error->file);
    print_pair("item", status == SONDE_OK ? "" : error->item);
    printf("\"at\": %lld, \"ms\": %.3f, \"peak\": %zu, \"resident_kb\": %ld, ",
           status == SONDE_OK ? -1LL : (long long)error->offset, ms, peak,
           resident_kb() - resident);
    printf("\"opened\": %s, ", model ? "true" : "false");
    if (status == SONDE_OK)
        print_model(model);
    sonde_model_close(model);
#ifdef SONDE_SANITIZED
    printf("\"sanitized\": true, ");
#endif
    printf("\"left\": %zu}\n", sonde_context_memory_used(context));
    sonde_context_free(context);
    return status == SONDE_OK ? 0 : 1;
}

int main(int argc, char **argv)
{
    request asked = {.budget = 64 << 20};
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--budget") == 0 && i + 1 < argc) {
            asked.budget = strtoull(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--cut") == 0 && i + 2 < argc) {
            asked.cut_file = argv[++i];
            asked.cut_bytes = strtol(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--no-read") == 0) {
            asked.no_read = true;
        } else {
            asked.path = argv[i];
        }
    if (!asked.path) {
        fprintf(stderr, "usage: open_model PATH [--budget BYTES] [--cut FILE BYTES] [--no-read]\n");
        return 2;
    }
    return run(&asked);
}
