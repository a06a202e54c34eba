/* Progress of any long work on stderr: what is done, which share, how long it will take. */
#ifndef SONDE_CLI_LIVE_WORK_H
#define SONDE_CLI_LIVE_WORK_H

#include "cli/live.h"

typedef struct sonde__work_live {
    sonde__live live;
    char title[96];     /* "epoch 12", shown in front */
    size_t part, parts; /* of several of equal size: 1 of 12 */
    double began, told; /* monotonic seconds: of the whole, of the last plain line */
} sonde__work_live;

void sonde__work_live_init(sonde__work_live *live, bool quiet);
/* `user` is the sonde__work_live; `share` of the part, in [0, 1]. False after the first Ctrl-C. */
bool sonde__work_live_progress(void *user, const char *what, double share);
void sonde__work_live_end(sonde__work_live *live);

#endif
