/* Preloaded, makes each sync of a file take SLOWER_SYNC_US microseconds longer: a slower disk. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

static int then_wait(const char *name, int file)
{
    int (*sync_file)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    int result = sync_file(file);
    int failure = errno;
    const char *given = getenv("SLOWER_SYNC_US");
    long microseconds = given ? atol(given) : 0;
    struct timespec left = {microseconds / 1000000, microseconds % 1000000 * 1000};
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        ;
    errno = failure;
    return result;
}

int fdatasync(int file) { return then_wait("fdatasync", file); }

int fsync(int file) { return then_wait("fsync", file); }
