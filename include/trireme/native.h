/* Requests over the native protocol from C: the client of native.hpp. Link trireme_native (pkg-config: trireme-native), with the
 * C++ compiler or -lstdc++.
 *
 *   trireme_native_client* client = trireme_native_open(NULL, NULL);            // where TRIREME_SOCKET says
 *   trireme_native_answer answer;
 *   if (trireme_native_request(client, "noop", "/", "hello", 5, 10.0, &answer) == TRIREME_NATIVE_OK) use(answer.body, answer.length);
 *   else complain(answer.error);
 *   trireme_native_release(&answer);
 *   trireme_native_close(client);
 *
 * Every function may be called from any thread. Every answer that has been filled in, with whatever outcome, is released once.
 */
#ifndef TRIREME_NATIVE_H
#define TRIREME_NATIVE_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct trireme_native_client trireme_native_client;
typedef struct trireme_native_pending trireme_native_pending;

typedef enum trireme_native_outcome {
  TRIREME_NATIVE_OK = 0,      /* there is an answer, whatever its status */
  TRIREME_NATIVE_UNREACHABLE, /* there is no connection to the proxy: the request has not left */
  TRIREME_NATIVE_LOST,        /* the connection, or the answer, broke off; the service may have seen the request */
  TRIREME_NATIVE_DEADLINE,    /* no answer came in time; the request has been cancelled */
  TRIREME_NATIVE_CANCELLED,   /* by trireme_native_cancel() */
  TRIREME_NATIVE_INVALID      /* it fits no frame */
} trireme_native_outcome;

typedef struct trireme_native_answer {
  int status;        /* as HTTP's */
  const char* body;  /* followed by a zero */
  size_t length;
  const char* error; /* in words for the user; empty where there is an answer */
  void* held;        /* what the others point into */
} trireme_native_answer;

/* `socket` NULL: what TRIREME_SOCKET says; `token` NULL: what TRIREME_TOKEN says. Connects at the first request. NULL only where
 * there is no memory. */
trireme_native_client* trireme_native_open(const char* socket, const char* token);
/* Requests in progress have the outcome LOST; those that trireme_native_submit() gave are still to be waited for. */
void trireme_native_close(trireme_native_client* client);

/* One request (POST) to `path` of a service, and its answer. `deadline` in seconds; 0: ten minutes. */
trireme_native_outcome trireme_native_request(trireme_native_client* client, const char* service, const char* path, const void* body,
                                              size_t length, double deadline, trireme_native_answer* answer);

/* Sends it and does not wait for the answer; the body is not needed any more when it returns. To be waited for once. */
trireme_native_pending* trireme_native_submit(trireme_native_client* client, const char* service, const char* path, const void* body,
                                              size_t length, double deadline);
/* Waits for the outcome, and frees `pending`. */
trireme_native_outcome trireme_native_wait(trireme_native_pending* pending, trireme_native_answer* answer);
/* Its outcome is CANCELLED, if it has none yet. */
void trireme_native_cancel(trireme_native_pending* pending);
/* The same request once more, for another thread: one waits, and the other may cancel, whenever that is. Each of the two is freed,
 * by trireme_native_wait() or trireme_native_drop(). NULL where there is no memory. */
trireme_native_pending* trireme_native_share(const trireme_native_pending* pending);
/* Frees `pending` without waiting. The request goes on; cancel it where nobody wants its answer. */
void trireme_native_drop(trireme_native_pending* pending);

void trireme_native_release(trireme_native_answer* answer);

#ifdef __cplusplus
}
#endif

#endif
