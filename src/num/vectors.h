/* Sums over two arrays of doubles, in vectors. The order of a sum depends on n alone. */
#ifndef SONDE_NUM_VECTORS_H
#define SONDE_NUM_VECTORS_H

#include <stddef.h>

double sonde__dot(const double *a, const double *b, size_t n);
/* sum (a - b)^2 and sum |a - b| */
double sonde__squared_distance(const double *a, const double *b, size_t n);
double sonde__absolute_distance(const double *a, const double *b, size_t n);

#endif
