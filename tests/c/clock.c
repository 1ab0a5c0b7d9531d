// Preloaded by a test: the wall clock of one process, ahead or behind by as many seconds as the file STEPPED_CLOCK says.
// Each step it finds there is a line in the file STEPPED_CLOCK_LOG. The other clocks are left alone, and what waits for a time of day waits by the stepped one: as on a machine whose clock is set.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

static long offset(void) {
    static _Atomic long known;
    static _Atomic long next_ms;
    struct timespec now;
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC_COARSE, &now);
    long ms = now.tv_sec * 1000 + now.tv_nsec / 1000000;
    if (ms >= next_ms) {
        next_ms = ms + 50;
        FILE *file = fopen(getenv("STEPPED_CLOCK"), "re");
        long read;
        int is_step = file && fscanf(file, "%ld", &read) == 1 && read != known;
        if (file) fclose(file);
        if (is_step) {
            known = read;
            FILE *log = fopen(getenv("STEPPED_CLOCK_LOG"), "ae");
            if (log) fprintf(log, "%ld\n", read), fclose(log);
        }
    }
    return known;
}

int clock_gettime(clockid_t id, struct timespec *time) {
    int failed = syscall(SYS_clock_gettime, id, time);
    if (!failed && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) time->tv_sec += offset();
    return failed;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}

// librdkafka waits by the wall clock. In slices, so that a step finds those who wait already.
int cnd_timedwait(cnd_t *restrict condition, mtx_t *restrict mutex, const struct timespec *restrict until) {
    static int (*wait)(cnd_t *, mtx_t *, const struct timespec *);
    if (!wait) wait = (int (*)(cnd_t *, mtx_t *, const struct timespec *))dlsym(RTLD_NEXT, "cnd_timedwait");
    for (;;) {
        struct timespec now, slice;
        clock_gettime(CLOCK_REALTIME, &now);
        long left_ms = (until->tv_sec - now.tv_sec) * 1000 + (until->tv_nsec - now.tv_nsec) / 1000000;
        if (left_ms > 50) left_ms = 50;
        if (left_ms < 0) left_ms = 0;
        syscall(SYS_clock_gettime, CLOCK_REALTIME, &slice);
        slice.tv_nsec += left_ms * 1000000;
        slice.tv_sec += slice.tv_nsec / 1000000000;
        slice.tv_nsec %= 1000000000;
        int result = wait(condition, mutex, &slice);
        clock_gettime(CLOCK_REALTIME, &now);
        int is_over = now.tv_sec > until->tv_sec || (now.tv_sec == until->tv_sec && now.tv_nsec >= until->tv_nsec);
        if (result != thrd_timedout || is_over) return result;
    }
}
