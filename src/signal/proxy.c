/* The proxies of an untrained network by name; see SONDE_PROXY_LIST in sonde.h for what each is. */
#include <sonde.h>

#include <string.h>

const char *sonde_proxy_name(sonde_proxy_kind kind)
{
    switch (kind) {
#define SONDE_PROXY_NAME(name, number, text, sentence) \
    case name: \
        return text;
        SONDE_PROXY_LIST(SONDE_PROXY_NAME)
#undef SONDE_PROXY_NAME
    }
    return "?";
}

const char *sonde_proxy_sentence(sonde_proxy_kind kind)
{
    switch (kind) {
#define SONDE_PROXY_SENTENCE(name, number, text, sentence) \
    case name: \
        return sentence;
        SONDE_PROXY_LIST(SONDE_PROXY_SENTENCE)
#undef SONDE_PROXY_SENTENCE
    }
    return "?";
}

sonde_direction sonde_proxy_direction(sonde_proxy_kind kind)
{
    return (int)kind >= 0 && (int)kind < SONDE_PROXY_COUNT ? SONDE_HIGHER_IS_BETTER : SONDE_NEUTRAL;
}

bool sonde_proxy_find(const char *name, sonde_proxy_kind *kind)
{
    for (int i = 0; name && kind && i < SONDE_PROXY_COUNT; i++)
        if (strcmp(name, sonde_proxy_name((sonde_proxy_kind)i)) == 0) {
            *kind = (sonde_proxy_kind)i;
            return true;
        }
    return false;
}
