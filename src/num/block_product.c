/*
 * Y += A^T A V, a group of rows at a time. Both inner loops keep GROUP x BLOCK numbers in registers
 * and stream through the rows once; the matrix is neither packed nor copied, which is what makes a
 * general matrix product slow for so few vectors.
 */
#include "num/block_product.h"

#include "base/compiler.h"

/* GROUP x WIDE sums and WIDE vectors of V fit the 32 registers of AVX-512. */
enum { LANES = 16, WIDE = SONDE__BLOCK / LANES, GROUP = 12 };

/* u (`group` x BLOCK) = the group's rows times V. */
SONDE_INLINE void forward(const float *a, int group, size_t cols, const sonde__vector16 *v,
                          sonde__vector16 *u)
{
    for (int r = 0; r < group * WIDE; r++)
        u[r] = (sonde__vector16){0};
    for (size_t j = 0; j < cols; j++)
        for (int r = 0; r < group; r++)
            for (int k = 0; k < WIDE; k++)
                u[r * WIDE + k] += a[(size_t)r * cols + j] * v[j * WIDE + (size_t)k];
}

/* Y += the group's rows, transposed, times u. */
SONDE_INLINE void backward(const float *a, int group, size_t cols, const sonde__vector16 *u,
                           sonde__vector16 *y)
{
    for (size_t j = 0; j < cols; j++)
        for (int k = 0; k < WIDE; k++) {
            sonde__vector16 sum = y[j * WIDE + (size_t)k];
            for (int r = 0; r < group; r++)
                sum += a[(size_t)r * cols + j] * u[r * WIDE + k];
            y[j * WIDE + (size_t)k] = sum;
        }
}

SONDE_INLINE void group_of_rows(const float *a, int group, size_t cols, const float *v, float *y)
{
    sonde__vector16 u[GROUP * WIDE];
    forward(a, group, cols, (const sonde__vector16 *)(const void *)v, u);
    backward(a, group, cols, u, (sonde__vector16 *)(void *)y);
}

SONDE_CLONES
static void product(const float *a, size_t rows, size_t cols, const float *v, float *y)
{
    size_t row = 0;
    for (; row + GROUP <= rows; row += GROUP)
        group_of_rows(a + row * cols, GROUP, cols, v, y);
    for (; row < rows; row++)
        group_of_rows(a + row * cols, 1, cols, v, y);
}

void sonde__block_product(const float *a, size_t rows, size_t cols, const float *v, float *y)
{
    product(a, rows, cols, v, y);
}
