/*
 * DisWOT (arXiv 2303.15678): how alike an untrained student is to an untrained teacher, in the
 * gradients of their classifiers (semantic) and in how examples relate to each other (relation).
 *
 *   semantic  -(1 / (d C)) sum_c ||G_c^T - G_c^S||_F^2, G_c = g_c g_c^T, rows divided by their norm
 *   relation  -(1 / B^2) ||G^T - G^S||_F^2, G = A A^T, rows divided by their norm
 *
 * Row i of an outer product f f^T is f_i f: divided by its norm it is sign(f_i) f / ||f||. So of two
 * rows the squared distance is a_t^2 + a_s^2 - 2 a_t a_s sign(t_i s_i) cos(t, s), with a = 1 but where
 * the norm falls below EPS, and d x d matrices are never formed (section 5.6 of the methods).
 *
 * The authors' scripts pass single tensors where their loss expects lists, so that only the first
 * example is looked at: mode REPO, and sonde_diswot_channels for the space S1.
 */
#include "signal/arrays.h"

#include <math.h>

#include "num/formats.h"
#include "num/linalg.h"
#include "num/products.h"
#include "num/vectors.h"

/* Of PyTorch's normalize: a norm below it divides no further. */
static const double EPS = 1e-12;

/* What is left of the norm of a row after division: 1, or less below EPS. */
static double left_norm(double norm)
{
    return norm < EPS ? norm / EPS : 1;
}

/* ||G(t) - G(s)||_F^2 for G(f) = f f^T with rows of norm 1. */
static double outer_distance(const double *t, const double *s, size_t d)
{
    const double t_norm = sqrt(sonde__dot(t, t, d)), s_norm = sqrt(sonde__dot(s, s, d));
    double cosine = sonde__dot(t, s, d) / t_norm / s_norm;
    if (t_norm == 0 || s_norm == 0)
        cosine = 0;
    double sum = 0;
    for (size_t i = 0; i < d; i++) {
        const double a = left_norm(fabs(t[i]) * t_norm), b = left_norm(fabs(s[i]) * s_norm);
        const double same = signbit(t[i]) == signbit(s[i]) ? cosine : -cosine;
        sum += a * a + b * b - 2 * a * b * same;
    }
    return sum;
}

/* Mean over the first `rows` rows of outer_distance / cols, negated. */
static sonde_status outer_score(sonde_context *context, sonde_proxy_kind kind,
                                const sonde_matrix *teacher, const sonde_matrix *student,
                                sonde_score *score)
{
    double *t, *s, sum = 0;
    SONDE_TRY(sonde__pair_rows(context, teacher, student, &t, &s));
    for (size_t row = 0; row < teacher->rows; row++) {
        sonde__matrix_row(teacher, row, 0, teacher->cols, t);
        sonde__matrix_row(student, row, 0, student->cols, s);
        sum += outer_distance(t, s, teacher->cols);
    }
    sonde__free(context, t);
    const double divisor = (double)teacher->rows * (double)teacher->cols;
    *score = sonde__score_of(0 - sum / divisor, sonde_proxy_direction(kind), teacher, student);
    return SONDE_OK;
}

sonde_status sonde_diswot_semantic(sonde_context *context, const sonde_matrix *teacher,
                                   const sonde_matrix *student, sonde_score *score)
{
    if (!context)
        return SONDE_ERROR_ARGUMENT;
    SONDE_TRY(sonde__check_pair(context, "DisWOT semantic", (sonde__named){teacher, "teacher"},
                                (sonde__named){student, "student"}));
    if (!score)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT, "DisWOT semantic: score is NULL");
    return outer_score(context, SONDE_PROXY_DISWOT_SEMANTIC, teacher, student, score);
}

/* ||G_t - G_s||_F^2 of the Gram matrices of the rows, each row divided by its norm. */
static sonde_status gram_distance(sonde_context *context, const sonde_matrix *teacher,
                                  const sonde_matrix *student, double *distance)
{
    const size_t n = teacher->rows;
    double *const t = sonde__alloc(context, n, n * sizeof *t);
    double *const s = t ? sonde__alloc(context, n, n * sizeof *s) : NULL;
    sonde_status status = s ? SONDE_OK : SONDE_ERROR_MEMORY;
    if (status == SONDE_OK)
        status = sonde__row_gram(context, teacher, NULL, t);
    if (status == SONDE_OK)
        status = sonde__row_gram(context, student, NULL, s);
    double sum = 0;
    for (size_t i = 0; i < n && status == SONDE_OK; i++) {
        const double *const a = t + i * n, *const b = s + i * n;
        const double a_norm = fmax(sqrt(sonde__dot(a, a, n)), EPS),
                     b_norm = fmax(sqrt(sonde__dot(b, b, n)), EPS);
        for (size_t j = 0; j < n; j++) {
            const double away = a[j] / a_norm - b[j] / b_norm;
            sum += away * away;
        }
    }
    sonde__free(context, s);
    sonde__free(context, t);
    *distance += sum;
    return status;
}

static sonde_status check_rows(sonde_context *context, const char *call,
                               const sonde_matrix *teacher, const sonde_matrix *student)
{
    SONDE_TRY(sonde__matrix_check(context, teacher, "teacher"));
    SONDE_TRY(sonde__matrix_check(context, student, "student"));
    if (teacher->rows != student->rows)
        return sonde__fail(context, SONDE_ERROR_SHAPE,
                           "%s: the teacher has %zu rows, the student %zu; they must be the same",
                           call, teacher->rows, student->rows);
    if (teacher->rows > SONDE__ORDER_MAX)
        return sonde__fail(context, SONDE_ERROR_UNSUPPORTED,
                           "%s: %zu rows; more than %d are not supported", call, teacher->rows,
                           (int)SONDE__ORDER_MAX);
    return SONDE_OK;
}

static sonde_status relation_of_batch(sonde_context *context, const sonde_matrix *teacher,
                                      const sonde_matrix *student, sonde_score *score)
{
    double distance = 0;
    const sonde_status status = gram_distance(context, teacher, student, &distance);
    if (status != SONDE_OK)
        return sonde__fail(context, status, "DisWOT relation: %zu rows", teacher->rows);
    const double rows = (double)teacher->rows;
    *score = sonde__score_of(0 - distance / rows / rows,
                             sonde_proxy_direction(SONDE_PROXY_DISWOT_RELATION), teacher, student);
    return SONDE_OK;
}

static sonde_status relation_of_first(sonde_context *context, const sonde_matrix *teacher,
                                      const sonde_matrix *student, sonde_score *score)
{
    sonde_matrix t = *teacher, s = *student;
    t.rows = s.rows = 1;
    SONDE_TRY(sonde__check_pair(context, "DisWOT relation", (sonde__named){&t, "teacher"},
                                (sonde__named){&s, "student"}));
    sonde_score mean;
    SONDE_TRY(outer_score(context, SONDE_PROXY_DISWOT_RELATION, &t, &s, &mean));
    mean.value /= (double)t.cols;
    *score = mean;
    return SONDE_OK;
}

sonde_status sonde_diswot_relation(sonde_context *context, sonde_diswot_mode mode,
                                   const sonde_matrix *teacher, const sonde_matrix *student,
                                   sonde_score *score)
{
    if (!context)
        return SONDE_ERROR_ARGUMENT;
    SONDE_TRY(check_rows(context, "DisWOT relation", teacher, student));
    if (!score)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT, "DisWOT relation: score is NULL");
    if (mode == SONDE_DISWOT_PAPER)
        return relation_of_batch(context, teacher, student, score);
    if (mode == SONDE_DISWOT_REPO)
        return relation_of_first(context, teacher, student, score);
    return sonde__fail(context, SONDE_ERROR_RANGE, "DisWOT relation: mode %d is unknown",
                       (int)mode);
}

/* Rows [first, first + n). */
static sonde_matrix rows_of(const sonde_matrix *matrix, size_t first, size_t n)
{
    const size_t stride = sonde__matrix_stride(matrix);
    sonde_matrix part = *matrix;
    part.data =
        (const unsigned char *)matrix->data + first * stride * sonde__dtype_size(matrix->dtype);
    part.rows = n;
    return part;
}

sonde_status sonde_diswot_channels(sonde_context *context, size_t channels,
                                   const sonde_matrix *teacher, const sonde_matrix *student,
                                   sonde_score *score)
{
    if (!context)
        return SONDE_ERROR_ARGUMENT;
    SONDE_TRY(check_rows(context, "DisWOT channels", teacher, student));
    if (!score)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT, "DisWOT channels: score is NULL");
    if (channels == 0 || teacher->rows % channels != 0)
        return sonde__fail(context, SONDE_ERROR_SHAPE,
                           "DisWOT channels: %zu rows are not a multiple of %zu channels",
                           teacher->rows, channels);
    const size_t height = teacher->rows / channels;
    double distance = 0;
    for (size_t c = 0; c < channels; c++) {
        const sonde_matrix t = rows_of(teacher, c * height, height);
        const sonde_matrix s = rows_of(student, c * height, height);
        const sonde_status status = gram_distance(context, &t, &s, &distance);
        if (status != SONDE_OK)
            return sonde__fail(context, status, "DisWOT channels: %zu rows", height);
    }
    *score = sonde__score_of(0 - distance / (double)teacher->rows,
                             sonde_proxy_direction(SONDE_PROXY_DISWOT_RELATION), teacher, student);
    return SONDE_OK;
}
