/*
 * What every page of ours is made of: head with the style sheet, facts, cards with a decision in
 * words, warnings, foot. One self-contained file; nothing is fetched.
 */
#ifndef SONDE_REPORT_PAGE_H
#define SONDE_REPORT_PAGE_H

#include "base/text.h"
#include "report/words.h"

/* What people call a run or a file: its path as they gave it, or the last part of a long one. */
const char *sonde__page_name(const char *path);
/* Up to <main>. `title` is escaped, as is everything below. */
void sonde__page_open(sonde__text *text, const char *title);
/* The foot names where the page was made from. */
void sonde__page_close(sonde__text *text, const char *from);
/* `open` and `close` as they are, the content between them escaped; a per cent sign stays with its
 * number. */
void sonde__page_element(sonde__text *text, const char *open, const char *content,
                         const char *close);
/* One entry of a list of class "facts". */
void sonde__page_fact(sonde__text *text, const char *name, const char *value);
/* `file` is shown below the words; may be NULL. */
void sonde__page_card(sonde__text *text, const sonde__words *words, const char *file);
/* Nothing where there are none. */
void sonde__page_warnings(sonde__text *text, const sonde__warnings *warnings);

#endif
