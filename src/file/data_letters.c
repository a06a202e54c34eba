/*
 * Generated text: sentences of made-up words, for language models without a file.
 *
 * A lexicon of words is drawn once: one to three syllables of a consonant, a vowel and sometimes a
 * consonant more. Text is a walk over the lexicon: after word w comes one of a few words that depend
 * on w, the first of them most often; a sentence has three to eight. So letters follow from letters
 * within a word, and words from words. Difficulty multiplies how many words may follow.
 *
 * Characters are a to z, the space and the full stop, in ASCII order. Example i has its own random
 * stream, so that it is the same in a set of any size, drawn by any number of threads.
 */
#include <stdio.h>
#include <string.h>

#include "base/random.h"
#include "base/thread.h"
#include "file/data_internal.h"

enum { WORDS = 128, WORD_MAX = 9, VOCABULARY = 28, TRAIN_SIZE = 4096, TEST_SIZE = 512 };

typedef struct lexicon {
    char words[WORDS][WORD_MAX + 1];
    int followers;
} lexicon;

typedef struct drawing {
    const lexicon *lexicon;
    sonde__dataset *dataset;
    uint64_t seed, first_index;
} drawing;

static char pick(sonde__stream *stream, const char *letters)
{
    return letters[sonde__random_below(stream, strlen(letters))];
}

static void draw_word(sonde__stream *stream, char *word)
{
    const int syllables = 1 + (int)sonde__random_below(stream, 3);
    int length = 0;
    for (int s = 0; s < syllables; s++) {
        word[length++] = pick(stream, "bcdfghjklmnpqrstvwxyz");
        word[length++] = pick(stream, "aeiou");
        if (sonde__random_below(stream, 3) == 0)
            word[length++] = pick(stream, "lmnrst");
    }
    word[length] = '\0';
}

static void draw_lexicon(uint64_t seed, double difficulty, lexicon *made)
{
    sonde__stream stream = sonde__stream_open(seed, SONDE__RANDOM_DATA, SONDE__SET_INDEX);
    for (int i = 0; i < WORDS; i++)
        draw_word(&stream, made->words[i]);
    const double followers = 6 * difficulty + 0.5;
    made->followers = followers < 1 ? 1 : followers > WORDS ? WORDS : (int)followers;
}

/* Where in the lexicon the text goes on: small steps are likelier. */
static int next_word(const lexicon *words, sonde__stream *stream, int word)
{
    const double u = sonde__random_uniform(stream);
    return (word * 37 + 11 + (int)((double)words->followers * u * u)) % WORDS;
}

static uint8_t id_of(char letter)
{
    return letter == ' ' ? 0 : letter == '.' ? 1 : (uint8_t)(2 + letter - 'a');
}

/* `count` characters, beginning somewhere within the first words. */
static void draw_text(const lexicon *words, sonde__stream *stream, uint8_t *ids, size_t count)
{
    int word = (int)sonde__random_below(stream, WORDS), left = 0;
    size_t skip = (size_t)sonde__random_below(stream, 16), written = 0;
    while (written < count) {
        char piece[WORD_MAX + 3];
        if (left == 0)
            left = 3 + (int)sonde__random_below(stream, 6);
        left--;
        snprintf(piece, sizeof piece, "%s%s", words->words[word], left == 0 ? ". " : " ");
        for (const char *at = piece; *at && written < count; at++) {
            if (skip > 0)
                skip--;
            else
                ids[written++] = id_of(*at);
        }
        word = next_word(words, stream, word);
    }
}

static void draw_range(void *argument, size_t begin, size_t end)
{
    const drawing *d = argument;
    const size_t tokens = (size_t)d->dataset->rows;
    uint8_t text[SONDE__CONTEXT_MAX + 1];
    for (size_t i = begin; i < end; i++) {
        sonde__stream stream = sonde__stream_open(d->seed, SONDE__RANDOM_DATA, d->first_index + i);
        draw_text(d->lexicon, &stream, text, tokens + 1);
        for (size_t t = 0; t < tokens; t++) {
            d->dataset->bytes[i * tokens + t] = text[t];
            d->dataset->labels[i * tokens + t] = text[t + 1];
        }
    }
}

static sonde_status draw_part(sonde_context *context, sonde__pool *pool, drawing *d, size_t count,
                              size_t tokens, sonde__dataset **out)
{
    SONDE_TRY(sonde__dataset_text(context, "letters", count, tokens, VOCABULARY, out));
    d->dataset = *out;
    sonde__parallel_for(pool, count, 64, draw_range, d);
    return SONDE_OK;
}

sonde_status sonde__load_letters(sonde_context *context, const sonde__data_request *request,
                                 sonde__dataset **train, sonde__dataset **test)
{
    const double difficulty = request->difficulty > 0 ? request->difficulty : 1;
    const size_t tokens = request->tokens ? request->tokens : SONDE__CONTEXT;
    const size_t train_size = request->train_size ? request->train_size : TRAIN_SIZE;
    const size_t test_size = request->test_size ? request->test_size : TEST_SIZE;
    if (tokens > SONDE__CONTEXT_MAX)
        return sonde__fail_at(context, SONDE_ERROR_RANGE, NULL, "context", -1,
                              "a context of %zu characters; 1 to %d are possible", tokens,
                              SONDE__CONTEXT_MAX);
    lexicon words;
    draw_lexicon(request->seed, difficulty, &words);
    drawing d = {.lexicon = &words, .seed = request->seed};
    sonde__pool *pool = NULL;
    sonde_status status;
    if (sonde__threads(context) > 1)
        SONDE_TRY(sonde__pool_create(context, sonde__threads(context) - 1, false, &pool));
    SONDE_TRY_CLEAN(draw_part(context, pool, &d, train_size, tokens, train));
    d.first_index = SONDE__TEST_INDEX;
    SONDE_TRY_CLEAN(draw_part(context, pool, &d, test_size, tokens, test));
cleanup:
    sonde__pool_free(pool);
    return status;
}
