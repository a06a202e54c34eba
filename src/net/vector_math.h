/*
 * exp and the normal law's distribution in float, written without branches or calls so that a loop
 * over them becomes vector code.
 *
 * exp: x = n ln 2 + r, |r| <= ln 2 / 2, a polynomial of degree 6 in r (Cephes, expf); relative error
 * below 2e-7 in [-87, 88], constant outside; NaN stays. erfc: a Chebyshev fit of relative error below
 * 1.2e-7 everywhere (Press et al., Numerical Recipes, section 6.2), of which P(x) = erfc(-x / sqrt 2)
 * / 2 is the normal law.
 */
#ifndef SONDE_NET_VECTOR_MATH_H
#define SONDE_NET_VECTOR_MATH_H

#include <stdint.h>
#include <string.h>

#include "base/compiler.h"

SONDE_INLINE float sonde__exp(float x)
{
    const float magic = 12582912.0F; /* 1.5 * 2^23: the integer part ends up in the low bits */
    x = x < -87.0F ? -87.0F : x;
    x = x > 88.0F ? 88.0F : x;
    const float shifted = x * 1.44269504F + magic;
    const float n = shifted - magic;
    const float r = (x - n * 0.693359375F) + n * 2.12194440e-4F;
    float p = 1.9875691500e-4F;
    p = p * r + 1.3981999507e-3F;
    p = p * r + 8.3334519073e-3F;
    p = p * r + 4.1665795894e-2F;
    p = p * r + 1.6666665459e-1F;
    p = p * r + 5.0000001201e-1F;
    p = p * r * r + r + 1.0F;
    uint32_t bits;
    float power;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 127U) << 23; /* of the magic number only zeros are left */
    memcpy(&power, &bits, sizeof power);
    return p * power;
}

/* P(x), the normal law's distribution. */
SONDE_INLINE float sonde__normal_law(float x)
{
    const float z = 0.70710678F * (x < 0 ? -x : x), t = 1.0F / (1.0F + 0.5F * z);
    float p = 0.17087277F;
    p = p * t - 0.82215223F;
    p = p * t + 1.48851587F;
    p = p * t - 1.13520398F;
    p = p * t + 0.27886807F;
    p = p * t - 0.18628806F;
    p = p * t + 0.09678418F;
    p = p * t + 0.37409196F;
    p = p * t + 1.00002368F;
    p = p * t - 1.26551223F;
    const float tail = 0.5F * t * sonde__exp(p - z * z);
    return x < 0 ? tail : 1.0F - tail;
}

#endif
