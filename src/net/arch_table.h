/* What the files of architectures share: the request that each building function reads. */
#ifndef SONDE_NET_ARCH_TABLE_H
#define SONDE_NET_ARCH_TABLE_H

#include "net/arch.h"
#include "net/nb201.h"

enum { SONDE__WIDTHS_MAX = 32 };

/* The options of a spec, filled with the architecture's defaults where it names none. */
typedef struct sonde__arch_request {
    int classes;
    double dropout;
    int widths[SONDE__WIDTHS_MAX], width_count;
    char shortcut; /* 'A' or 'B' */
    int depth;     /* which of its family: the 20 of resnet20 */
    int blocks[3]; /* of the stages of S1 */
    sonde__nb201_cell cell;
    int cells, channels; /* of a stage; of the first stage */
    int multiple;        /* of which height and width must be; 0: any */
    bool affine;         /* batch norm inside of cells has scale and shift */
    int width, heads;    /* of transformers and mixers */
    int patch;           /* height and width of a patch */
    double factor;       /* of all widths */
    int growth;          /* channels that a layer of a dense network adds */
    bool bottleneck;     /* dense networks with bottleneck and compression */
} sonde__arch_request;

/* Adds the network to `graph` behind its input `x` and returns the logits. */
typedef sonde__node (*sonde__arch_fn)(sonde__graph *graph, sonde__node x,
                                      const sonde__arch_request *request);

sonde__node sonde__arch_mlp(sonde__graph *graph, sonde__node x, const sonde__arch_request *request);
sonde__node sonde__arch_lenet(sonde__graph *graph, sonde__node x,
                              const sonde__arch_request *request);
sonde__node sonde__arch_mini_alexnet(sonde__graph *graph, sonde__node x,
                                     const sonde__arch_request *request);
sonde__node sonde__arch_cnn(sonde__graph *graph, sonde__node x, const sonde__arch_request *request);
sonde__node sonde__arch_vgg(sonde__graph *graph, sonde__node x, const sonde__arch_request *request);
sonde__node sonde__arch_resnet_cifar(sonde__graph *graph, sonde__node x,
                                     const sonde__arch_request *request);
sonde__node sonde__arch_resnet(sonde__graph *graph, sonde__node x,
                               const sonde__arch_request *request);

sonde__node sonde__arch_s1(sonde__graph *graph, sonde__node x, const sonde__arch_request *request);
sonde__node sonde__arch_mobilenet(sonde__graph *graph, sonde__node x,
                                  const sonde__arch_request *request);
sonde__node sonde__arch_densenet(sonde__graph *graph, sonde__node x,
                                 const sonde__arch_request *request);
sonde__node sonde__arch_vit(sonde__graph *graph, sonde__node x, const sonde__arch_request *request);
sonde__node sonde__arch_gpt(sonde__graph *graph, sonde__node x, const sonde__arch_request *request);
sonde__node sonde__arch_mixer(sonde__graph *graph, sonde__node x,
                              const sonde__arch_request *request);
sonde__node sonde__arch_nb201(sonde__graph *graph, sonde__node x,
                              const sonde__arch_request *request);

/* relu(linear(x)) and, where the request has a rate, dropout. */
sonde__node sonde__arch_hidden(sonde__graph *graph, const char *name, sonde__node x, int out,
                               const sonde__arch_request *request);
/* Dropout where the request has a rate, then the linear layer that gives the logits. */
sonde__node sonde__arch_head(sonde__graph *graph, const char *name, sonde__node x,
                             const sonde__arch_request *request);
/* relu(batch norm(convolution)); a kernel of 3 with padding 1. */
sonde__node sonde__arch_conv_norm(sonde__graph *graph, const char *conv, const char *norm,
                                  sonde__node x, int out, int stride, bool bias);

#endif
