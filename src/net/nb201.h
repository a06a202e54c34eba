/*
 * Cells of NAS-Bench-201: their strings, and their order in the benchmark's files.
 *
 * A string lists, node by node, the operator of each edge and the node it comes from:
 * |nor_conv_3x3~0|+|skip_connect~0|none~1|+|avg_pool_3x3~0|nor_conv_1x1~1|none~2|
 */
#ifndef SONDE_NET_NB201_H
#define SONDE_NET_NB201_H

#include "base/context.h"

enum { SONDE__NB201_EDGES = 6, SONDE__NB201_CELLS = 15625, SONDE__NB201_TEXT = 112 };

/* In the order in which the benchmark counts them up. */
typedef enum sonde__nb201_operator {
    SONDE__NB201_NONE,
    SONDE__NB201_SKIP,
    SONDE__NB201_CONV_1X1,
    SONDE__NB201_CONV_3X3,
    SONDE__NB201_AVG_POOL,
    SONDE__NB201_OPERATORS
} sonde__nb201_operator;

/* Edges 0-1; 0-2, 1-2; 0-3, 1-3, 2-3. */
typedef struct sonde__nb201_cell {
    sonde__nb201_operator operators[SONDE__NB201_EDGES];
} sonde__nb201_cell;

/* A string as above, or an index 0 to 15624 in the official order. */
sonde_status sonde__nb201_read(sonde_context *context, const char *text, sonde__nb201_cell *cell);
/* The string of a cell. */
void sonde__nb201_write(const sonde__nb201_cell *cell, char text[SONDE__NB201_TEXT]);
/* The first `count` cells of the official order (at most all 15,625). */
sonde_status sonde__nb201_list(sonde_context *context, sonde__nb201_cell *cells, int count);

#endif
