/*
 * Runs a fuzz target over saved inputs: the driver that stands in for libFuzzer where the corpus is
 * replayed as a test. Usage: fuzz_NAME FILE_OR_FOLDER... An input is handed over in a block of exactly
 * its size, so that the address sanitizer sees one byte too many.
 *
 * An empty corpus is a failure: it would test nothing.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 64 << 20 };

static size_t inputs_run;

static void fail(const char *path, const char *what)
{
    fprintf(stderr, "replay: %s: %s\n", path, what);
    exit(1);
}

static void run_file(const char *path)
{
    struct stat info;
    FILE *file = fopen(path, "rb");
    if (file == NULL || fstat(fileno(file), &info) != 0 || info.st_size > INPUT_MAX) {
        fail(path, "cannot be read");
    }
    const size_t size = (size_t)info.st_size;
    uint8_t *data = malloc(size > 0 ? size : 1);
    if (data == NULL || fread(data, 1, size, file) != size) {
        fail(path, "cannot be read whole");
    }
    fclose(file);
    LLVMFuzzerTestOneInput(data, size);
    free(data);
    inputs_run++;
}

static void run_folder(const char *path)
{
    struct dirent **entries = NULL;
    const int count = scandir(path, &entries, NULL, alphasort);
    if (count < 0) {
        fail(path, "cannot be listed");
    }
    for (int i = 0; i < count; i++) {
        char name[4096];
        const int length = snprintf(name, sizeof name, "%s/%s", path, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.') {
            if (length < 0 || (size_t)length >= sizeof name) {
                fail(path, "holds a name that is too long");
            }
            run_file(name);
        }
        free(entries[i]);
    }
    free(entries);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        struct stat info;
        if (stat(argv[i], &info) != 0) {
            fail(argv[i], "does not exist");
        }
        if (S_ISDIR(info.st_mode)) {
            run_folder(argv[i]);
        } else {
            run_file(argv[i]);
        }
    }
    printf("%zu inputs\n", inputs_run);
    return inputs_run > 0 ? 0 : 1;
}
