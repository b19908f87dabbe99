/*
 * The clock of the runner: time() and gettimeofday() answer what it sets, the rest of the process keeps the real time.
 * Linked into the program, or preloaded into a Node binary.
 */
#include <stdint.h>
#include <sys/time.h>
#include <time.h>

/* Milliseconds since the epoch; negative: the real time. */
int64_t sslctx_clock_ms = -1;

static int64_t now_us(void)
{
    struct timespec now;

    if (sslctx_clock_ms >= 0)
        return sslctx_clock_ms * 1000;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

time_t time(time_t *out)
{
    time_t seconds = (time_t)(now_us() / 1000000);

    if (out != NULL)
        *out = seconds;
    return seconds;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
    int64_t now = now_us();

    (void)zone;
    out->tv_sec = (time_t)(now / 1000000);
    out->tv_usec = (suseconds_t)(now % 1000000);
    return 0;
}
