/*
 * Named architectures. A spec is "name" or "name:option=value,option=value", as in
 * "mlp:widths=512x512" or "resnet20:option=B"; families name a member first, as in "s1:713" or
 * "nb201:CELL,cells=3". To add one, write a function that adds operators to a graph and put it in the
 * table of arch.c.
 */
#ifndef SONDE_NET_ARCH_H
#define SONDE_NET_ARCH_H

#include "net/graph.h"

typedef struct sonde__arch_info {
    const char *name;
    const char *summary; /* one line for --help */
    const char *options; /* "widths=512x512 (hidden widths), dropout=0" or "" */
} sonde__arch_info;

/* The i-th architecture, or NULL past the end. */
const sonde__arch_info *sonde__arch(int index);
/* A finished graph. `dropout` < 0: the architecture's own. Unknown names and options, and inputs too
 * small for the network, are errors that say what would be right. */
sonde_status sonde__arch_build(sonde_context *context, const char *spec, sonde__shape input,
                               int classes, double dropout, sonde__graph **graph);

#endif
