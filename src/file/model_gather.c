/*
 * Elements of tensors that are not contiguous: transposed, sliced, expanded views of a storage.
 *
 * A slice of the row-major order is cut into boxes (at most two a dimension); each box is walked in
 * the order of the storage, largest stride outermost, so that the file is read forwards, through a
 * window that is filled ahead only where most of what it covers is wanted. Transposed matrices go
 * through tiles, so that neither side is touched an element at a time.
 */
#include <string.h>

#include "file/model_state.h"

enum { PIECE = 512, NEAR_BYTES = 2048 };
/* A tile of a transposed matrix, at most 16 bytes an element. Its rows are no multiple of 4096 bytes
 * apart, which would put a column of it into one set of the cache. */
enum { TILE_ROWS = 16, TILE_COLS = 504 };
_Static_assert(TILE_ROWS *TILE_COLS * 16 <= SONDE__STAGING, "a tile fits where the window was");

typedef struct axis {
    uint64_t size;
    uint64_t from, to; /* strides, in elements, in the storage and in the result */
} axis;

typedef struct gather {
    sonde_model *model;
    const sonde__record *record;
    sonde__target target;
    size_t size, width; /* bytes of an element in the file, and in the result */
    uint64_t skip;
    uint64_t low, high; /* elements of the storage that the window holds */
    bool packed;        /* a stream, which is read forwards alone */
    bool ahead;
    uint64_t end; /* of the box: the element behind its furthest */
} gather;

/* `need` elements from `position` on, in the window. */
static sonde_status fetch(gather *g, uint64_t position, size_t need, const uint8_t **bytes)
{
    if (position < g->low || position + need > g->high) {
        size_t count = need;
        if (g->ahead) {
            const uint64_t most = SONDE__STAGING / g->size;
            count = (size_t)(g->end - position < most ? g->end - position : most);
        }
        if (sonde__cancelled(g->model->context))
            return sonde__fail(g->model->context, SONDE_ERROR_CANCELLED, "reading was cancelled");
        g->low = g->high = 0;
        SONDE_TRY(sonde__storage_read(g->model, g->record->storage, g->record->name,
                                      g->skip + position * g->size, g->model->staging,
                                      count * g->size));
        g->low = position;
        g->high = position + count;
    }
    *bytes = g->model->staging + (position - g->low) * g->size;
    return SONDE_OK;
}

/* Elements of `size` bytes, `stride` elements apart, to elements one behind the other. */
static void pick(const uint8_t *from, uint64_t stride, size_t n, size_t size, uint8_t *to)
{
    switch (size) { /* for constant sizes memcpy is a move */
    case 2:
        for (size_t i = 0; i < n; i++)
            memcpy(to + 2 * i, from + 2 * i * stride, 2);
        break;
    case 4:
        for (size_t i = 0; i < n; i++)
            memcpy(to + 4 * i, from + 4 * i * stride, 4);
        break;
    default:
        for (size_t i = 0; i < n; i++)
            memcpy(to + size * i, from + size * i * stride, size);
    }
}

/* The reverse: spreads elements over the result. */
static void spread(const uint8_t *from, uint64_t stride, size_t n, size_t size, uint8_t *to)
{
    switch (size) {
    case 4:
        for (size_t i = 0; i < n; i++)
            memcpy(to + 4 * i * stride, from + 4 * i, 4);
        break;
    case 8:
        for (size_t i = 0; i < n; i++)
            memcpy(to + 8 * i * stride, from + 8 * i, 8);
        break;
    default:
        for (size_t i = 0; i < n; i++)
            memcpy(to + size * i * stride, from + size * i, size);
    }
}

/* At most PIECE elements along an axis, none further apart than the window can hold. */
static sonde_status copy_piece(gather *g, const axis *along, uint64_t position, size_t n,
                               uint8_t *out)
{
    uint8_t raw[PIECE * 16], decoded[PIECE * 16];
    const uint8_t *bytes = NULL;
    SONDE_TRY(fetch(g, position, (size_t)((n - 1) * along->from + 1), &bytes));
    if (along->from != 1) {
        pick(bytes, along->from, n, g->size, raw);
        bytes = raw;
    }
    if (along->to == 1) {
        sonde__model_decode(g->model, g->record, bytes, n, g->target, out);
        return SONDE_OK;
    }
    sonde__model_decode(g->model, g->record, bytes, n, g->target, decoded);
    spread(decoded, along->to, n, g->width, out);
    return SONDE_OK;
}

static sonde_status copy_run(gather *g, const axis *along, uint64_t position, uint8_t *out)
{
    uint64_t most = PIECE;
    if (along->from > 1) {
        const uint64_t window = SONDE__STAGING / g->size;
        const bool near = along->from <= NEAR_BYTES / g->size;
        most = near || g->ahead ? (window - 1) / along->from + 1 : 1;
        most = most < PIECE ? most : PIECE;
    }
    for (uint64_t done = 0; done < along->size;) {
        const uint64_t left = along->size - done, n = left < most ? left : most;
        SONDE_TRY(copy_piece(g, along, position + done * along->from, (size_t)n,
                             out + done * along->to * g->width));
        done += n;
    }
    return SONDE_OK;
}

/* --- transposed --------------------------------------------------------------------------------- */

/* One element of each row, and the next: whole cache lines of the result. */
static void write_columns(const uint8_t *tile, size_t rows, size_t cols, size_t size, uint64_t to,
                          uint8_t *out)
{
    for (size_t j = 0; j < cols; j++)
        for (size_t i = 0; i < rows; i++) {
            const uint8_t *from = tile + (i * TILE_COLS + j) * size;
            uint8_t *place = out + (j * to + i) * size;
            switch (size) { /* for constant sizes memcpy is a move */
            case 4:
                memcpy(place, from, 4);
                break;
            case 8:
                memcpy(place, from, 8);
                break;
            default:
                memcpy(place, from, size);
            }
        }
}

/* `along` lies dense in the file, `across` in the result. */
static sonde_status copy_tile(gather *g, const axis *across, const axis *along, uint64_t position,
                              uint8_t *out)
{
    uint8_t raw[TILE_COLS * 16], *tile = g->model->staging;
    const size_t rows = (size_t)across->size, cols = (size_t)along->size;
    g->low = g->high = 0; /* the window makes room for the tile */
    for (size_t i = 0; i < rows; i++) {
        SONDE_TRY(sonde__storage_read(g->model, g->record->storage, g->record->name,
                                      g->skip + (position + i * across->from) * g->size, raw,
                                      cols * g->size));
        sonde__model_decode(g->model, g->record, raw, cols, g->target,
                            tile + i * TILE_COLS * g->width);
    }
    write_columns(tile, rows, cols, g->width, along->to, out);
    return SONDE_OK;
}

static sonde_status copy_transposed(gather *g, const axis *across, const axis *along,
                                    uint64_t position, uint8_t *out)
{
    for (uint64_t i = 0; i < across->size; i += TILE_ROWS)
        for (uint64_t j = 0; j < along->size; j += TILE_COLS) {
            axis rows = *across, cols = *along;
            rows.size = rows.size - i < TILE_ROWS ? rows.size - i : TILE_ROWS;
            cols.size = cols.size - j < TILE_COLS ? cols.size - j : TILE_COLS;
            if (sonde__cancelled(g->model->context))
                return sonde__fail(g->model->context, SONDE_ERROR_CANCELLED,
                                   "reading was cancelled");
            SONDE_TRY(copy_tile(g, &rows, &cols, position + i * across->from + j,
                                out + (i + j * along->to) * g->width));
        }
    return SONDE_OK;
}

/* --- boxes -------------------------------------------------------------------------------------- */

/* Moves the axis that lies dense in the result next to the last one, which lies dense in the file;
 * false where that is not worth a tile. */
static bool find_transposed(const gather *g, axis *axes, int count)
{
    const axis *along = &axes[count - 1];
    if (g->packed || along->from != 1 || along->to == 1 || along->size < 64)
        return false;
    for (int i = 0; i < count - 1; i++)
        if (axes[i].to == 1 && axes[i].size >= TILE_ROWS / 2) {
            const axis across = axes[i];
            for (int k = i; k < count - 2; k++)
                axes[k] = axes[k + 1];
            axes[count - 2] = across;
            return true;
        }
    return false;
}

/* All runs, or transposed matrices, of a box; the last axis is the innermost. */
static sonde_status copy_box(gather *g, axis *axes, int count, uint64_t position, uint8_t *out)
{
    uint64_t index[SONDE_TENSOR_DIMS_MAX] = {0};
    const bool transposed = find_transposed(g, axes, count);
    for (;;) {
        if (transposed)
            SONDE_TRY(copy_transposed(g, &axes[count - 2], &axes[count - 1], position, out));
        else
            SONDE_TRY(copy_run(g, &axes[count - 1], position, out));
        int d = count - (transposed ? 3 : 2);
        for (; d >= 0; d--) {
            position += axes[d].from;
            out += axes[d].to * g->width;
            if (++index[d] < axes[d].size)
                break;
            position -= axes[d].size * axes[d].from;
            out -= axes[d].size * axes[d].to * g->width;
            index[d] = 0;
        }
        if (d < 0)
            return SONDE_OK;
    }
}

/* Sorts by stride in the storage, the largest first; sizes of 1 are left out. What is repeated
 * (stride 0) is read again rather than strewn over the result, but of a stream. */
static int order_axes(const gather *g, const axis *from, int count, axis *to)
{
    int kept = 0;
    for (int i = 0; i < count; i++) {
        if (from[i].size == 1)
            continue;
        /* Less one, unless it is a stream: 0 becomes the largest. */
        const uint64_t rank = from[i].from - !g->packed;
        int at = kept++;
        for (; at > 0 && to[at - 1].from - !g->packed < rank; at--)
            to[at] = to[at - 1];
        to[at] = from[i];
    }
    if (kept == 0)
        to[kept++] = (axis){1, 1, 1};
    return kept;
}

static sonde_status gather_box(gather *g, const axis *box, int count, uint64_t position,
                               uint8_t *out)
{
    axis axes[SONDE_TENSOR_DIMS_MAX];
    const int kept = order_axes(g, box, count, axes);
    uint64_t wanted = 1, span = 1;
    for (int i = 0; i < kept; i++) {
        span += (axes[i].size - 1) * axes[i].from;
        if (axes[i].from > 0)
            wanted *= axes[i].size;
    }
    g->ahead = wanted >= span / 8;
    g->end = position + span;
    return copy_box(g, axes, kept, position, out);
}

sonde_status sonde__model_gather(sonde_model *model, const sonde__record *record, uint64_t first,
                                 uint64_t count, sonde__target target, void *out)
{
    int64_t dense[SONDE_TENSOR_DIMS_MAX];
    const int dims = record->dims;
    const int64_t *strides = sonde__record_strides(record, dense);
    gather g = {.model = model,
                .record = record,
                .target = target,
                .size = sonde__number_find((sonde_number)record->number)->bytes,
                .width = sonde__target_size(record, target),
                .skip = model->storages[record->storage].about.skip,
                .packed = model->storages[record->storage].about.deflated};
    axis all[SONDE_TENSOR_DIMS_MAX];
    (void)sonde__dense_strides(dims, record->shape, dense);
    for (int i = 0; i < dims; i++)
        all[i] = (axis){(uint64_t)record->shape[i], (uint64_t)strides[i], (uint64_t)dense[i]};
    for (uint64_t done = 0; done < count;) {
        /* The outermost dimension along which whole units remain from here on. */
        const uint64_t at = first + done, left = count - done;
        int d = dims - 1;
        while (d > 0 && at % all[d - 1].to == 0 && left >= all[d - 1].to)
            d--;
        uint64_t position = record->first;
        for (int i = 0; i < dims; i++)
            position += at / all[i].to % all[i].size * all[i].from;
        axis box[SONDE_TENSOR_DIMS_MAX];
        memcpy(box, all + d, (size_t)(dims - d) * sizeof *box);
        const uint64_t room = all[d].size - at / all[d].to % all[d].size;
        box[0].size = left / all[d].to < room ? left / all[d].to : room;
        SONDE_TRY(gather_box(&g, box, dims - d, position, (uint8_t *)out + done * g.width));
        done += box[0].size * all[d].to;
    }
    return SONDE_OK;
}
