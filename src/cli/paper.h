/*
 * What a stream can show, columns and colours, and text that is fitted to it.
 *
 * Names come from files and may hold anything: they are made plain before they are measured, and
 * are shortened in the middle, where long tensor names differ least.
 */
#ifndef SONDE_CLI_PAPER_H
#define SONDE_CLI_PAPER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "report/words.h"

enum { SONDE__INDENT = 8, SONDE__PAPER_MOST = 100 };

typedef struct sonde__paper {
    FILE *to;
    int width; /* 40 to 100 */
    bool colour;
} sonde__paper;

sonde__paper sonde__paper_of(FILE *to);
/* Columns of a UTF-8 text: bytes that begin a character. */
int sonde__columns(const char *text, size_t bytes);
/* Made plain in place and wrapped at spaces; lines after the first begin at `indent`. */
void sonde__paper_wrapped(const sonde__paper *paper, char *text, int indent);
/* Topic, answer, how sure, and the lines behind it. Words are made plain in place. */
void sonde__paper_words(const sonde__paper *paper, sonde__words *words);
/* "Warning" and the line, wrapped. */
void sonde__paper_warning(const sonde__paper *paper, char *line);
/* A plain copy of at most `most` columns: "model.layers.1..mlp.up_proj". Never splits a character. */
void sonde__paper_shorten(const char *name, int most, char *to, size_t size);
/* Bytes of the folder that two paths share, of at most `limit`: begin with SIZE_MAX and go on with
 * what came back, to find that of many. */
size_t sonde__shared_folder(const char *first, const char *path, size_t limit);
/* The text in `width` columns, at the left or (width < 0) at the right. */
void sonde__paper_cell(const sonde__paper *paper, const char *text, int width);

#endif
