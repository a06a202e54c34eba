/*
 * Learning-rate schedules in closed form; PyTorch's recursive forms differ from these only in
 * rounding. t is the number of whole epochs behind (PyTorch's last_epoch); after a warm-up of W
 * epochs the other schedules count from there over the remaining epochs, milestones excepted, which
 * are epochs of the whole run.
 */
#include "run/schedule.h"

#include <math.h>

static double step_rate(const sonde__schedule *schedule, int64_t t)
{
    double rate = schedule->rate;
    for (int i = 0; i < schedule->milestone_count; i++)
        if (t >= schedule->milestones[i])
            rate *= schedule->gamma;
    return rate;
}

static double cosine_rate(const sonde__schedule *schedule, double share)
{
    static const double pi = 3.14159265358979323846;
    return schedule->final + (schedule->rate - schedule->final) * (1 + cos(pi * share)) / 2;
}

double sonde__schedule_rate(const sonde__schedule *schedule, int64_t epoch)
{
    int64_t t = epoch - 1, past = t - schedule->warm_up;
    if (past < 0)
        return schedule->rate * (double)(t + 1) / (double)schedule->warm_up;
    double share = (double)past / (double)(schedule->epochs - schedule->warm_up);
    share = share > 1 ? 1 : share;
    switch (schedule->kind) {
    case SONDE__SCHEDULE_STEP:
        return step_rate(schedule, t);
    case SONDE__SCHEDULE_COSINE:
        return cosine_rate(schedule, share);
    case SONDE__SCHEDULE_EXPONENTIAL:
        return schedule->rate * pow(schedule->gamma, (double)past);
    case SONDE__SCHEDULE_LINEAR:
        return schedule->rate + (schedule->final - schedule->rate) * share;
    case SONDE__SCHEDULE_CONSTANT:
    default:
        return schedule->rate;
    }
}
