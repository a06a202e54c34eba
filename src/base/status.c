/* Names and sentences of statuses and validities, and the version. From the lists in sonde.h. */
#include <sonde.h>

const char *sonde_version(void)
{
    return SONDE_VERSION_TEXT;
}

const char *sonde_status_name(sonde_status status)
{
    switch (status) {
#define NAME(name, number, sentence) \
    case name: \
        return #name;
        SONDE_STATUS_LIST(NAME)
#undef NAME
    }
    return "SONDE_ERROR_UNKNOWN";
}

const char *sonde_status_sentence(sonde_status status)
{
    switch (status) {
#define SENTENCE(name, number, sentence) \
    case name: \
        return sentence;
        SONDE_STATUS_LIST(SENTENCE)
#undef SENTENCE
    }
    return "an unknown status";
}

const char *sonde_validity_sentence(sonde_validity validity)
{
    switch (validity) {
#define SENTENCE(name, number, sentence) \
    case name: \
        return sentence;
        SONDE_VALIDITY_LIST(SENTENCE)
#undef SENTENCE
    }
    return "of unknown validity";
}
