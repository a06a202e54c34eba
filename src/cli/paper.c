/* Text fitted to a terminal or a file; see paper.h. */
#include "cli/paper.h"

#include <string.h>
#include <unistd.h>

#include "cli/live.h"
#include "cli/verb.h"

sonde__paper sonde__paper_of(FILE *to)
{
    sonde__paper paper = {.to = to};
    const int width = sonde__terminal_width(fileno(to), 96);
    paper.width = width < 40 ? 40 : width > SONDE__PAPER_MOST ? SONDE__PAPER_MOST : width;
    paper.colour = sonde__terminal_colour(fileno(to));
    return paper;
}

static bool begins_character(char byte)
{
    return ((unsigned char)byte & 0xC0) != 0x80;
}

int sonde__columns(const char *text, size_t bytes)
{
    int count = 0;
    for (size_t i = 0; i < bytes; i++)
        count += begins_character(text[i]);
    return count;
}

void sonde__paper_wrapped(const sonde__paper *paper, char *text, int indent)
{
    int used = 0;
    sonde__cli_plain(text);
    while (*text) {
        const size_t word = strcspn(text, " ");
        const int wide = sonde__columns(text, word);
        if (used && used + 1 + wide > paper->width - indent) {
            fprintf(paper->to, "\n%*s", indent, "");
            used = 0;
        }
        if (used)
            fputc(' ', paper->to);
        fwrite(text, 1, word, paper->to);
        used += wide + (used ? 1 : 0);
        text += word;
        text += strspn(text, " ");
    }
    fputc('\n', paper->to);
}

void sonde__paper_words(const sonde__paper *paper, sonde__words *words)
{
    static const char *const tones[] = {"", "\033[32m", "\033[33m", "\033[31m"};
    fprintf(paper->to, "%s%-*s", paper->colour ? "\033[1m" : "", SONDE__INDENT, words->topic);
    if (sonde__columns(words->answer, strlen(words->answer)) > paper->width - SONDE__INDENT) {
        sonde__paper_wrapped(paper, words->answer, SONDE__INDENT);
        fputs(paper->colour ? "\033[0m" : "", paper->to);
    } else {
        sonde__cli_plain(words->answer);
        fprintf(paper->to, "%s%s\n", words->answer, paper->colour ? "\033[0m" : "");
    }
    if (words->sure[0]) {
        char sure[sizeof words->sure + 2];
        snprintf(sure, sizeof sure, "%s.", words->sure);
        fprintf(paper->to, "%*s%s", SONDE__INDENT, "", paper->colour ? tones[words->tone] : "");
        sonde__paper_wrapped(paper, sure, SONDE__INDENT);
        fputs(paper->colour ? "\033[0m" : "", paper->to);
    }
    for (int i = 0; i < words->line_count; i++) {
        fprintf(paper->to, "%*s", SONDE__INDENT, "");
        sonde__paper_wrapped(paper, words->lines[i], SONDE__INDENT);
    }
}

void sonde__paper_warning(const sonde__paper *paper, char *line)
{
    fprintf(paper->to, "%s%-*s%s", paper->colour ? "\033[33m" : "", SONDE__INDENT, "Warning",
            paper->colour ? "\033[0m" : "");
    sonde__paper_wrapped(paper, line, SONDE__INDENT);
}

/* Bytes of the first `columns` characters. */
static size_t front(const char *text, int columns)
{
    size_t at = 0;
    for (; text[at]; at++)
        if (begins_character(text[at]) && columns-- == 0)
            break;
    return at;
}

/* Where the last `columns` characters begin. */
static size_t back(const char *text, int columns)
{
    size_t at = strlen(text);
    while (at > 0 && columns > 0)
        columns -= begins_character(text[--at]);
    return at;
}

/* Whether the text between its first `head` and its last `tail` columns has digits. */
static bool loses_digits(const char *text, int head, int tail)
{
    const size_t end = back(text, tail);
    for (size_t i = front(text, head); i < end; i++)
        if (text[i] >= '0' && text[i] <= '9')
            return true;
    return false;
}

/* Columns in front of the cut. The end tells more than the beginning: two thirds for it; but numbers
 * tell layers apart, so the nearest cut that keeps all of them, if there is one. */
static int head_columns(const char *text, int most)
{
    enum { TAIL_LEAST = 4 };
    const int usual = (most - 2) / 3;
    for (int i = 0; i < 2 * most; i++) {
        const int head = usual + (i % 2 ? -(i + 1) / 2 : i / 2), tail = most - 2 - head;
        if (head >= 0 && tail >= TAIL_LEAST && !loses_digits(text, head, tail))
            return head;
    }
    return usual;
}

void sonde__paper_shorten(const char *name, int most, char *to, size_t size)
{
    enum { NAME_MOST = 4096 };
    char plain[NAME_MOST];
    snprintf(plain, sizeof plain, "%s", name);
    sonde__cli_plain(plain);
    const int wide = sonde__columns(plain, strlen(plain));
    if (wide <= most || most < 4) {
        const size_t end = front(plain, most);
        snprintf(to, size, "%.*s", (int)end, plain);
        sonde__cli_plain(to); /* of a character that was cut */
        return;
    }
    const int head = head_columns(plain, most), tail = most - 2 - head;
    snprintf(to, size, "%.*s..%s", (int)front(plain, head), plain, plain + back(plain, tail));
    sonde__cli_plain(to);
}

size_t sonde__shared_folder(const char *first, const char *path, size_t limit)
{
    size_t folder = 0;
    for (size_t i = 0; i < limit && first[i] && first[i] == path[i]; i++)
        folder = first[i] == '/' ? i + 1 : folder;
    return folder;
}

void sonde__paper_cell(const sonde__paper *paper, const char *text, int width)
{
    const int wide = sonde__columns(text, strlen(text));
    const int room = (width < 0 ? -width : width) - wide;
    if (width < 0)
        fprintf(paper->to, "%*s", room > 0 ? room : 0, "");
    fputs(text, paper->to);
    if (width > 0)
        fprintf(paper->to, "%*s", room > 0 ? room : 0, "");
}
