/*
 * The numbers of one planned matrix: tiles of a tensor in a file, of one position of a convolution's
 * kernel, or of base + up * down.
 *
 * Every read of a model happens under run->reading, one thread at a time: a model has one buffer and
 * the context one error record. The first read that fails for the file's sake ends the survey: its
 * detail is in that record, and all later reads are SONDE_ERROR_CANCELLED without touching it.
 */
#include <string.h>

#include "base/checked.h"
#include "model/survey_internal.h"

enum {
    ROW = 65536,          /* elements of a strided row that are read at once */
    WHOLE_MOST = 64 << 20 /* bytes of a kernel that is kept, since each position passes over it */
};

/* --- reading ------------------------------------------------------------------------------------ */

/* `rows` runs of `count` elements of a tensor, `step` elements from one to the next. */
typedef struct runs {
    sonde_model *model;
    size_t tensor;
    uint64_t first, step;
    size_t rows, count;
} runs;

static bool ends_survey(sonde_status status)
{
    return status != SONDE_OK && status != SONDE_ERROR_MEMORY && status != SONDE_ERROR_CANCELLED &&
           status != SONDE_ERROR_UNSUPPORTED;
}

/* With `reading` held. */
static sonde_status read_held(sonde__source *source, const runs *of, double *out)
{
    sonde__survey_run *const run = source->run;
    const bool dense = of->count == of->step;
    const size_t calls = dense ? 1 : of->rows;
    const uint64_t count = dense ? (uint64_t)of->rows * of->count : of->count;
    sonde_status status = SONDE_OK;
    for (size_t i = 0; i < calls && status == SONDE_OK; i++)
        status = sonde_model_read(of->model, of->tensor, of->first + i * of->step, count, SONDE_F64,
                                  out + i * of->count);
    if (ends_survey(status)) {
        run->read_failure = status;
        source->layer->read_failed = true;
    }
    if (status == SONDE_ERROR_UNSUPPORTED)
        sonde__layer_skip(run, source->layer, "%s", sonde_context_error(run->context)->message);
    return status;
}

static sonde_status read_runs(sonde__source *source, const runs *of, double *out)
{
    sonde__survey_run *const run = source->run;
    if (sonde__cancelled(run->context))
        return SONDE_ERROR_CANCELLED;
    pthread_mutex_lock(&run->reading);
    const sonde_status status =
        run->read_failure == SONDE_OK ? read_held(source, of, out) : SONDE_ERROR_CANCELLED;
    pthread_mutex_unlock(&run->reading);
    return status;
}

/* --- tiles -------------------------------------------------------------------------------------- */

/* Every `step`-th of the elements. */
static void pick(const double *from, size_t step, size_t count, double *out)
{
    for (size_t i = 0; i < count; i++)
        out[i] = from[i * step];
}

static sonde_status read_dense(void *user, size_t row, size_t rows, size_t col, size_t cols,
                               double *out)
{
    sonde__source *const source = user;
    const sonde__matrix *const matrix = source->layer->matrix;
    const runs of = {
        source->run->model, matrix->tensor, matrix->first + row * matrix->row_step + col,
        matrix->row_step,   rows,           cols};
    return read_runs(source, &of, out);
}

/* Entries of one kernel position, `col_step` apart. */
static sonde_status read_kernel(void *user, size_t row, size_t rows, size_t col, size_t cols,
                                double *out)
{
    sonde__source *const source = user;
    const sonde__matrix *const matrix = source->layer->matrix;
    const size_t step = (size_t)matrix->col_step, most = ROW / step > 0 ? ROW / step : 1;
    for (size_t i = 0; i < rows; i++) {
        const uint64_t begin = matrix->first + source->slice + (row + i) * matrix->row_step;
        for (size_t j = 0; j < cols; j += most) {
            const size_t count = cols - j < most ? cols - j : most;
            const uint64_t at = begin + (col + j) * step;
            const size_t span = (count - 1) * step + 1;
            const runs of = {source->run->model, matrix->tensor, at, span, 1, span};
            if (!source->whole)
                SONDE_TRY(read_runs(source, &of, source->row));
            pick(source->whole ? source->whole + at : source->row, step, count, out + i * cols + j);
        }
    }
    return SONDE_OK;
}

/* base + up * down. */
static sonde_status read_sum(void *user, size_t row, size_t rows, size_t col, size_t cols,
                             double *out)
{
    sonde__source *const source = user;
    const sonde__matrix *const matrix = source->layer->matrix;
    const runs of = {source->run->options->base,
                     matrix->lora.base,
                     (uint64_t)row * matrix->cols + col,
                     matrix->cols,
                     rows,
                     cols};
    SONDE_TRY(read_runs(source, &of, out));
    sonde__product_add(&source->product, row, rows, col, cols, out);
    return SONDE_OK;
}

/* Formats whose numbers, and their squares, lie well within the range of doubles. */
static bool is_narrow(const sonde__matrix *matrix)
{
    return matrix->number != SONDE_NUMBER_F64 && matrix->lora.rank == 0;
}

sonde__tiles sonde__source_tiles(sonde__source *source)
{
    const sonde__matrix *const matrix = source->layer->matrix;
    sonde__tiles tiles = {.rows = matrix->rows,
                          .cols = matrix->cols,
                          .narrow = is_narrow(matrix),
                          .read = read_dense,
                          .user = source};
    if (matrix->lora.rank > 0)
        tiles.read = read_sum;
    else if (matrix->col_step > 1)
        tiles.read = read_kernel;
    return tiles;
}

/* --- opening ------------------------------------------------------------------------------------ */

/* Bytes of the kernel where it is to be kept, else 0. */
static size_t whole_bytes(const sonde__matrix *matrix)
{
    size_t bytes;
    if (matrix->col_step <= 1 || matrix->slices == 1 ||
        !sonde__multiply(matrix->rows, (size_t)matrix->row_step, &bytes) ||
        !sonde__multiply(bytes, sizeof(double), &bytes))
        return 0;
    return bytes <= WHOLE_MOST ? bytes : 0;
}

/* Doubles of room for a strided row. */
static size_t row_room(const sonde__matrix *matrix)
{
    if (matrix->col_step <= 1 || whole_bytes(matrix) > 0)
        return 0;
    return matrix->col_step < ROW ? ROW : (size_t)matrix->col_step;
}

static size_t factor_size(const sonde__matrix *matrix)
{
    return matrix->lora.rank * (matrix->rows + matrix->cols);
}

size_t sonde__source_memory(const sonde__matrix *matrix)
{
    return whole_bytes(matrix) + row_room(matrix) * sizeof(double) +
           2 * factor_size(matrix) * sizeof(double);
}

/* A factor as it is in the file, rows x cols, or its transpose. */
static sonde_status load_factor(sonde__source *source, size_t tensor, size_t rows, size_t cols,
                                double *out)
{
    sonde__survey_run *const run = source->run;
    if (!source->layer->matrix->lora.transposed)
        return read_runs(source, &(runs){run->model, tensor, 0, cols, rows, cols}, out);
    double *const stored = sonde__alloc_quiet(run->context, rows * cols, sizeof *stored);
    if (!stored)
        return SONDE_ERROR_MEMORY;
    const sonde_status status =
        read_runs(source, &(runs){run->model, tensor, 0, rows, cols, rows}, stored);
    for (size_t i = 0; status == SONDE_OK && i < rows; i++)
        pick(stored + i, rows, cols, out + i * cols);
    sonde__free(run->context, stored);
    return status;
}

static sonde_status load_product(sonde__source *source)
{
    const sonde__matrix *const matrix = source->layer->matrix;
    const sonde__lora *const lora = &matrix->lora;
    const size_t rank = lora->rank, rows = matrix->rows, cols = matrix->cols;
    double *const left =
        sonde__alloc_quiet(source->run->context, factor_size(matrix), sizeof *left);
    if (!left)
        return SONDE_ERROR_MEMORY;
    source->product = (sonde__product){left, left + rows * rank, rows, rank, cols};
    SONDE_TRY(load_factor(source, lora->transposed ? lora->down : lora->up, rows, rank, left));
    SONDE_TRY(load_factor(source, lora->transposed ? lora->up : lora->down, rank, cols,
                          source->product.right));
    for (size_t i = 0; i < rows * rank; i++)
        left[i] *= lora->scale;
    return SONDE_OK;
}

static sonde_status load_whole(sonde__source *source, size_t bytes)
{
    const sonde__matrix *const matrix = source->layer->matrix;
    const size_t elements = bytes / sizeof(double);
    source->whole = sonde__alloc_quiet(source->run->context, elements, sizeof(double));
    if (!source->whole)
        return SONDE_ERROR_MEMORY;
    const runs of = {source->run->model, matrix->tensor, 0, elements, 1, elements};
    return read_runs(source, &of, source->whole);
}

sonde_status sonde__source_open(sonde__survey_run *run, sonde__survey_layer *layer,
                                sonde__source *source)
{
    const sonde__matrix *const matrix = layer->matrix;
    const size_t bytes = whole_bytes(matrix), room = row_room(matrix);
    *source = (sonde__source){.run = run, .layer = layer};
    if (matrix->lora.rank > 0)
        return load_product(source);
    if (bytes > 0)
        return load_whole(source, bytes);
    if (room > 0) {
        source->row = sonde__alloc_quiet(run->context, room, sizeof *source->row);
        return source->row ? SONDE_OK : SONDE_ERROR_MEMORY;
    }
    return SONDE_OK;
}

void sonde__source_close(sonde__source *source)
{
    sonde__free(source->run->context, source->product.left);
    sonde__free(source->run->context, source->whole);
    sonde__free(source->run->context, source->row);
}
