/* What the run tells its user meanwhile: the live line, events, and whether to go on. */
#include "run/session.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/thread.h"

static const double seconds_between_lines = 0.05;

static double seconds_left(const sonde__session *session, double share, double now)
{
    double left = (double)(session->config.epochs - session->epoch) + 1 - share;
    if (session->epoch_seconds > 0)
        return left * session->epoch_seconds;
    if (session->epoch_begun < 0 || share <= 0)
        return (double)NAN;
    return left * (now - session->epoch_begun) / share;
}

void sonde__session_show(sonde__session *session, double share, const char *activity)
{
    if (!session->hooks || !session->hooks->progress)
        return;
    double now = sonde__seconds();
    if (share < 1 && now - session->last_shown < seconds_between_lines)
        return;
    session->last_shown = now;
    sonde__train_progress progress = {
        .epoch = session->epoch,
        .epochs = session->config.epochs,
        .epoch_share = share,
        .train_loss = session->row.train_loss,
        .images_per_second = session->row.images_per_second,
        .active_share =
            session->positions ? (double)session->active / (double)session->positions : 1,
        .head_score = session->head_score,
        .worst_ratio = session->decision.worst_ratio,
        .worst_layer = session->decision.worst_layer,
        .test_accuracy = session->test_accuracy,
        .seconds_left = seconds_left(session, share, now),
        .activity = activity,
    };
    session->hooks->progress(session->hooks->user, &progress);
}

void sonde__session_event(sonde__session *session, const char *format, ...)
{
    sonde__event_row event = {.epoch = session->epoch};
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(event.text, sizeof(event.text), format, arguments);
    va_end(arguments);
    if (session->event_count < SONDE__EVENTS_MAX)
        session->events[session->event_count++] = event;
    if (session->hooks && session->hooks->event)
        session->hooks->event(session->hooks->user, event.text);
}

sonde_status sonde__session_pause(sonde__session *session)
{
    bool asked = sonde__cancelled(session->context);
    if (!asked && session->hooks && session->hooks->interrupted)
        asked = session->hooks->interrupted(session->hooks->user);
    return asked ? sonde__fail(session->context, SONDE_ERROR_CANCELLED, "interrupted") : SONDE_OK;
}
