/* A block of random bytes for masking keys, one for each thread: no lock, and no state that interpreters share.
 *
 * A forked child must not go on with its parent's bytes. Only the thread that forked lives on in the child, so its block is
 * the only one to empty.
 */
#ifndef CWS_POOL_H
#define CWS_POOL_H

#include <stddef.h>
#include <stdint.h>

#ifdef _MSC_VER
#define CWS_THREAD_LOCAL __declspec(thread)
#else
#define CWS_THREAD_LOCAL __thread
#endif

#define CWS_POOL_SIZE 4096

typedef struct {
    size_t left; /* bytes at the end that were not handed out yet */
    uint8_t bytes[CWS_POOL_SIZE];
} cws_pool;

static CWS_THREAD_LOCAL cws_pool cws_this_pool;

static inline cws_pool *cws_get_pool(void) { return &cws_this_pool; }

#ifdef _WIN32
static inline int cws_empty_pool_after_fork(void) { return 0; }
#else
#include <pthread.h>
static void cws_empty_pool(void) { cws_this_pool.left = 0; }
/* Returns 0, or an errno. Called once for each process, not for each interpreter. */
static inline int cws_empty_pool_after_fork(void) {
    static int done = 0;
    int error = 0;
    if (!done) {
        error = pthread_atfork(NULL, NULL, cws_empty_pool);
        done = !error;
    }
    return error;
}
#endif

#endif
