/* The parts of a page; see page.h. */
#include "report/page.h"

#include <stdio.h>
#include <string.h>

#include "report/style.h"

/* Escaped, with a number and its per cent sign kept on one line. */
static void prose(sonde__text *text, const char *content)
{
    char piece[2048];
    const char *sign;
    while ((sign = strstr(content, " %")) != NULL && (size_t)(sign - content) < sizeof piece) {
        snprintf(piece, sizeof piece, "%.*s", (int)(sign - content), content);
        sonde__text_html(text, piece);
        sonde__text_add(text, "&#160;%");
        content = sign + 2;
    }
    sonde__text_html(text, content);
}

void sonde__page_element(sonde__text *text, const char *open, const char *content,
                         const char *close)
{
    sonde__text_add(text, open);
    prose(text, content);
    sonde__text_add(text, close);
}

const char *sonde__page_name(const char *path)
{
    const char *name = path;
    if (strlen(path) <= 48)
        return path;
    for (const char *at = path; *at; at++)
        if (*at == '/' && at[1] && at[1] != '/')
            name = at + 1;
    return name;
}

void sonde__page_open(sonde__text *text, const char *title)
{
    sonde__text_add(text,
                    "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                    "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
                    "<meta name=\"generator\" content=\"Sonde ");
    sonde__text_html(text, sonde_version());
    sonde__text_add(text, "\">\n");
    sonde__page_element(text, "<title>", title, " \xC2\xB7 Sonde</title>\n<style>\n");
    for (size_t i = 0; sonde__report_style[i]; i++)
        sonde__text_add(text, sonde__report_style[i]);
    sonde__text_add(text, "</style>\n</head>\n<body>\n<main>\n");
}

void sonde__page_close(sonde__text *text, const char *from)
{
    sonde__page_element(text, "<footer>Made by Sonde ", sonde_version(), " from <code>");
    sonde__page_element(text, "", from,
                        "</code>. This page needs no network.</footer>\n</main>\n</body>\n"
                        "</html>\n");
}

void sonde__page_fact(sonde__text *text, const char *name, const char *value)
{
    sonde__page_element(text, "<li>", name, " <b>");
    sonde__page_element(text, "", value, "</b></li>");
}

static const char *badge_open(sonde__tone tone)
{
    switch (tone) {
    case SONDE__TONE_SURE:
        return "<p class=\"badge good\"><span aria-hidden=\"true\">\xE2\x9C\x93 </span>";
    case SONDE__TONE_CARE:
        return "<p class=\"badge care\"><span aria-hidden=\"true\">! </span>";
    case SONDE__TONE_UNSURE:
        return "<p class=\"badge bad\"><span aria-hidden=\"true\">\xC3\x97 </span>";
    default:
        return "<p class=\"badge\">";
    }
}

void sonde__page_card(sonde__text *text, const sonde__words *words, const char *file)
{
    sonde__page_element(text, "<section class=\"card\"><div><h2 class=\"eyebrow\">", words->topic,
                        "</h2>");
    sonde__page_element(text, "<p class=\"question\">", words->question, "</p></div>\n");
    sonde__page_element(text, "<p class=\"answer\">", words->answer, "</p>\n");
    if (words->sure[0])
        sonde__page_element(text, badge_open(words->tone), words->sure, "</p>\n");
    for (int i = 0; i < words->line_count; i++)
        sonde__page_element(text, "<p class=\"why\">", words->lines[i], "</p>\n");
    if (file)
        sonde__page_element(text, "<p class=\"why\"><code>", file, "</code></p>\n");
    sonde__text_add(text, "</section>\n");
}

void sonde__page_warnings(sonde__text *text, const sonde__warnings *warnings)
{
    if (warnings->count == 0)
        return;
    sonde__text_add(text, "<h2>Warnings</h2>\n<ul class=\"warnings\">\n");
    for (int i = 0; i < warnings->count; i++)
        sonde__page_element(text, "<li>", warnings->lines[i], "</li>\n");
    sonde__text_add(text, "</ul>\n");
}
